use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicUsize;

use super::*;

static ONES: &[u8] = &[1; 1 << 20];
static TWOS: &[u8] = &[2; 1 << 20];

/// A sender and one receiver, with the messages between them delivered at once.
struct Pair {
    arena: Arena,
    mappings: Mappings,
    returns: Arc<AtomicUsize>,
}

impl Pair {
    fn new(private: bool) -> Self {
        let returns = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&returns);
        let on_return = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        Self {
            arena: Arena::new(),
            mappings: Mappings::new(private, on_return),
            returns,
        }
    }

    fn lend(&self, shared: &Shared) -> Mapped {
        let lent = self.arena.lend(1, shared);
        if let Some(fd) = &lent.fd {
            self.mappings
                .attach(lent.segment, lent.size, fd.try_clone().unwrap())
                .unwrap();
        }
        self.mappings
            .map(lent.segment, lent.offset, lent.len, lent.region)
            .unwrap()
    }

    /// Tells the sender what was returned, and the receiver what it need not keep.
    fn deliver(&self) {
        for region in self.mappings.take_returned() {
            self.arena.returned(1, region & !SEEN_BY_FORK);
        }
        for segment in self.arena.dropped(1) {
            self.mappings.drop_segment(segment);
        }
    }
}

fn segment(shared: &Shared) -> u64 {
    shared.0.segment.as_ref().unwrap().id
}

#[test]
fn a_receiver_reads_what_was_shared() {
    let pair = Pair::new(false);
    let shared = pair
        .arena
        .share(&[b"one", &ONES[..100_000], b"", b"four"])
        .unwrap();
    let mapped = pair.lend(&shared);
    assert_eq!(mapped.len(), 100_007);
    assert_eq!(&mapped[..4], b"one\x01");
    assert_eq!(&mapped[100_003..], b"four");
    assert_eq!(mapped.as_ptr() as usize % 64, 0);
    assert!(pair.lend(&pair.arena.share(&[]).unwrap()).is_empty());
}

#[test]
fn a_segment_is_used_again_when_nothing_refers_to_it_and_is_sent_once() {
    let pair = Pair::new(false);
    let first = pair.arena.share(&[ONES]).unwrap();
    let number = segment(&first);
    assert_eq!(pair.lend(&first)[9], 1);
    drop(first);
    pair.deliver();
    let second = pair.arena.share(&[TWOS]).unwrap();
    assert_eq!(segment(&second), number);
    assert!(pair.arena.lend(1, &second).fd.is_none());
    assert_eq!(pair.lend(&second)[9], 2);
    assert!(pair.arena.lend(2, &second).fd.is_some());
}

#[test]
fn a_segment_is_not_used_again_while_a_receiver_has_it() {
    let pair = Pair::new(false);
    let first = pair.arena.share(&[ONES]).unwrap();
    let number = segment(&first);
    let held = [pair.lend(&first), pair.lend(&first)];
    drop(first);
    for mapped in held {
        pair.deliver();
        let other = pair.arena.share(&[TWOS]).unwrap();
        assert_ne!(segment(&other), number);
        assert!(mapped.iter().all(|&byte| byte == 1));
    }
    assert_eq!(pair.returns.load(Ordering::SeqCst), 2);
    pair.deliver();
    // The idle ones are `other` and the first, which became idle last.
    assert_eq!(segment(&pair.arena.share(&[TWOS]).unwrap()), number);
}

#[test]
fn what_a_dead_receiver_had_is_used_again() {
    let pair = Pair::new(false);
    let shared = pair.arena.share(&[ONES]).unwrap();
    let number = segment(&shared);
    let mapped = pair.lend(&shared);
    drop(shared);
    assert_eq!(pair.arena.idle(), 0);
    pair.arena.peer_gone(1);
    assert_eq!(segment(&pair.arena.share(&[TWOS]).unwrap()), number);
    drop(mapped);
    // It says so too late, to a sender that does not know it any more.
    pair.deliver();
}

#[test]
fn what_a_fork_may_still_see_is_not_written_again() {
    let pair = Pair::new(false);
    let shared = pair.arena.share(&[b"seen"]).unwrap();
    let mapped = pair.lend(&shared);
    note_fork();
    drop((mapped, shared));
    let returned = pair.mappings.take_returned();
    assert!(returned[0] & SEEN_BY_FORK != 0);
    pair.arena.returned(1, returned[0]);
    assert_eq!(pair.arena.idle(), 0);
    assert_eq!(pair.arena.dropped(1).len(), 1);
}

#[test]
fn writes_of_a_receiver_are_its_own_and_gone_with_its_buffer() {
    let pair = Pair::new(true);
    let shared = pair.arena.share(&[&[5; 4096]]).unwrap();
    let own = pair.lend(&shared);
    // SAFETY: within the buffer, which is mapped writable.
    unsafe { own.as_ptr().write(9) };
    assert_eq!(own[..2], [9, 5]);
    drop((own, shared));
    pair.deliver();
    let again = pair.arena.share(&[&[6; 4096]]).unwrap();
    assert_eq!(pair.lend(&again)[..2], [6, 6]);
}

#[test]
fn a_private_view_does_not_change_what_others_see() {
    let pair = Pair::new(false);
    let shared = pair.arena.share(&[&[5; 4096]]).unwrap();
    let mapped = pair.lend(&shared);
    let own = mapped.private().unwrap();
    // SAFETY: within the buffer, which is mapped writable.
    unsafe { own.as_ptr().write(9) };
    assert_eq!((own[0], mapped[0], mapped.private().unwrap()[0]), (9, 5, 5));
    drop(mapped);
    assert!(pair.mappings.take_returned().is_empty());
    drop(own);
    assert_eq!(pair.mappings.take_returned().len(), 1);
}

#[test]
fn buffers_outside_of_their_segment_and_short_files_are_refused() {
    let pair = Pair::new(false);
    let lent = pair.arena.lend(1, &pair.arena.share(&[b"short"]).unwrap());
    let file = lent.fd.unwrap();
    let attach = |size| pair.mappings.attach(7, size, file.try_clone().unwrap());
    assert_eq!(
        attach(1 << 40).unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
    attach(lent.size).unwrap();
    assert!(pair.mappings.map(7, lent.size - 1, 2, 1).is_err());
    assert!(pair.mappings.map(7, u64::MAX, 2, 1).is_err());
    assert!(pair.mappings.map(8, 0, 1, 1).is_err());
}

#[test]
fn what_is_kept_idle_is_bounded_and_leaves_after_a_while() {
    let pair = Pair::new(false);
    let many: Vec<_> = (0..100)
        .map(|_| pair.arena.share(&[b"small"]).unwrap())
        .collect();
    let mapped = pair.lend(&many[0]);
    drop((mapped, many));
    pair.deliver();
    assert_eq!(pair.arena.idle(), 64 * (64 << 10));
    let now = Instant::now();
    assert!(pair.arena.tidy_at(now).unwrap() <= Duration::from_secs(5));
    assert_eq!(pair.arena.tidy_at(now + Duration::from_secs(6)), None);
    assert_eq!(pair.arena.idle(), 0);
    // Its receiver is told that the one it had is not coming back.
    assert_eq!(pair.arena.dropped(1).len(), 1);
    assert_eq!(pair.arena.dropped(1).len(), 0);
}

#[test]
fn descriptors_are_back_when_the_arena_is_gone() {
    let pair = Pair::new(false);
    let shared: Vec<_> = (0..8).map(|_| pair.arena.share(&[b"x"]).unwrap()).collect();
    let mapped: Vec<_> = shared.iter().map(|shared| pair.lend(shared)).collect();
    // Descriptors of other tests come and go meanwhile: these are told by what they lead to.
    let inode = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_ino);
    let files: Vec<_> = shared
        .iter()
        .map(|shared| Arc::clone(&shared.0.segment.as_ref().unwrap().file))
        .map(|file| (file.as_raw_fd(), inode(file.as_fd()).unwrap()))
        .collect();
    drop((shared, mapped));
    drop(pair);
    for (number, file) in files {
        // SAFETY: only asked for its status; it may be closed, or another file by now.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        assert!(inode(fd) != Ok(file));
    }
}

#[test]
fn a_buffer_outlives_arena_and_mappings() {
    let pair = Pair::new(true);
    let shared = pair.arena.share(&[b"still here"]).unwrap();
    let mapped = pair.lend(&shared);
    drop(shared);
    drop(pair);
    assert_eq!(&*mapped, b"still here");
}

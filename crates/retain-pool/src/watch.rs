//! Whether memory was written to since a moment: told by the kernel page by page, where it can, so that a large array
//! need not be read again to know that it is as it was.

#[cfg(target_os = "linux")]
pub use linux::Watch;
#[cfg(not(target_os = "linux"))]
pub use nowhere::Watch;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{BufRead, BufReader};
    use std::ops::Range;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    use rustix::mm::UserfaultfdFlags;

    use crate::fork::Generation;

    const UFFDIO_API: u32 = 0xc018_aa3f;
    const UFFDIO_REGISTER: u32 = 0xc020_aa00;
    const UFFDIO_UNREGISTER: u32 = 0x8010_aa01;
    const UFFDIO_WRITEPROTECT: u32 = 0xc018_aa06;
    const PAGEMAP_SCAN: u32 = 0xc060_6610;

    const UFFD_API: u64 = 0xaa;
    /// Handlers of user space are not asked for: the kernel lets each write pass and remembers it.
    const FEATURES: u64 = 1 << 15 | 1 << 13;
    const REGISTER_WP: u64 = 1 << 1;
    const WRITEPROTECT_WP: u64 = 1;
    const SCAN_CHECK_WPASYNC: u64 = 1 << 1;
    const PAGE_IS_WRITTEN: u64 = 1 << 1;

    #[repr(C)]
    struct Api {
        version: u64,
        features: u64,
        ioctls: u64,
    }

    #[repr(C)]
    struct Pages {
        start: u64,
        len: u64,
    }

    #[repr(C)]
    struct Register {
        pages: Pages,
        mode: u64,
        ioctls: u64,
    }

    #[repr(C)]
    struct WriteProtect {
        pages: Pages,
        mode: u64,
    }

    #[repr(C)]
    struct Region {
        start: u64,
        end: u64,
        categories: u64,
    }

    #[repr(C)]
    struct Scan {
        size: u64,
        flags: u64,
        start: u64,
        end: u64,
        walk_end: u64,
        vec: u64,
        vec_len: u64,
        max_pages: u64,
        category_inverted: u64,
        category_mask: u64,
        category_anyof_mask: u64,
        return_mask: u64,
    }

    /// Memory that is watched. It is to stay where it is meanwhile.
    #[derive(Debug)]
    pub struct Watch {
        faults: OwnedFd,
        pagemap: File,
        /// The addresses of whole pages.
        pages: Range<usize>,
        /// Which bytes of the memory these are.
        inner: Range<usize>,
        generation: Generation,
    }

    impl Watch {
        /// Begins to watch memory of this process. `None` where the kernel cannot (before Linux 6.7, or where it is
        /// forbidden), or where others could write to it unseen.
        #[must_use]
        pub fn begin(memory: &[u8]) -> Option<Self> {
            let page = rustix::param::page_size();
            let start = memory.as_ptr() as usize;
            let pages = start.next_multiple_of(page)..(start + memory.len()) / page * page;
            if pages.is_empty() || !is_private(&pages) {
                return None;
            }
            let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::from_bits_retain(1);
            // SAFETY: what it is used for changes no memory, and hands no faults to anyone.
            let faults = unsafe { rustix::mm::userfaultfd(flags) }.ok()?;
            let pagemap = File::open("/proc/self/pagemap").ok()?;
            let mut api = Api {
                version: UFFD_API,
                features: FEATURES,
                ioctls: 0,
            };
            control(&faults, UFFDIO_API, &mut api)?;
            let mut register = Register {
                pages: whole(&pages),
                mode: REGISTER_WP,
                ioctls: 0,
            };
            // Refused for memory of which another watch has a part: that one's is not to end with this.
            control(&faults, UFFDIO_REGISTER, &mut register)?;
            let watch = Self {
                faults,
                pagemap,
                inner: pages.start - start..pages.end - start,
                pages,
                generation: Generation::current(),
            };
            let mut protect = WriteProtect {
                pages: whole(&watch.pages),
                mode: WRITEPROTECT_WP,
            };
            control(&watch.faults, UFFDIO_WRITEPROTECT, &mut protect)?;
            Some(watch)
        }

        /// Which bytes of the memory are watched: all but those that share a page with something else.
        #[must_use]
        pub fn watched(&self) -> Range<usize> {
            self.inner.clone()
        }

        /// Whether nobody has written to them since the beginning.
        #[must_use]
        pub fn is_untouched(&self) -> bool {
            let mut region = Region {
                start: 0,
                end: 0,
                categories: 0,
            };
            let mut scan = Scan {
                size: size_of::<Scan>() as u64,
                flags: SCAN_CHECK_WPASYNC,
                start: self.pages.start as u64,
                end: self.pages.end as u64,
                walk_end: 0,
                vec: (&raw mut region) as u64,
                vec_len: 1,
                max_pages: 1,
                category_inverted: 0,
                category_mask: PAGE_IS_WRITTEN,
                category_anyof_mask: 0,
                return_mask: PAGE_IS_WRITTEN,
            };
            let found = control(&self.pagemap, PAGEMAP_SCAN, &mut scan);
            found == Some(0) && scan.walk_end == self.pages.end as u64
        }
    }

    fn whole(pages: &Range<usize>) -> Pages {
        Pages {
            start: pages.start as u64,
            len: pages.len() as u64,
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            // A forked child may keep the descriptor open, and it is the parent's memory there as well.
            if self.generation.is_ours() {
                let _ = control(&self.faults, UFFDIO_UNREGISTER, &mut whole(&self.pages));
            }
        }
    }

    /// Asks the kernel for something; `None` if it refuses.
    fn control<T>(fd: &impl AsFd, request: u32, argument: &mut T) -> Option<i32> {
        #[allow(
            clippy::cast_lossless,
            clippy::cast_possible_wrap,
            reason = "C libraries declare it with one sign or the other"
        )]
        let request = request as libc::Ioctl;
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: each request is used with the structure that it is defined for, and what that points to lives as
        // long as the call.
        let result = unsafe { libc::ioctl(fd, request, std::ptr::from_mut(argument)) };
        (result >= 0).then_some(result)
    }

    /// Whether the addresses are memory of this process alone, and of no file: no other process writes to it.
    fn is_private(pages: &Range<usize>) -> bool {
        let Ok(maps) = File::open("/proc/self/maps") else {
            return false;
        };
        let mut reached = pages.start;
        for line in BufReader::with_capacity(64 << 10, maps).lines() {
            let Some((range, private)) = line.ok().as_deref().and_then(mapping) else {
                return false;
            };
            if range.end <= reached {
                continue;
            }
            if range.start > reached || !private {
                return false;
            }
            reached = range.end;
            if reached >= pages.end {
                return true;
            }
        }
        false
    }

    /// The addresses of a line of the list of mappings, and whether it is private and of no file.
    fn mapping(line: &str) -> Option<(Range<usize>, bool)> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        let rights = words.next()?;
        let inode = words.nth(2)?;
        Some((start..end, rights.ends_with('p') && inode == "0"))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_list_of_mappings_is_read() {
            let heap = "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0     [heap]";
            assert_eq!(
                mapping(heap),
                Some((0x55d0_c000_0000..0x55d0_c002_1000, true))
            );
            let file = "7f00-8000 r--p 00001000 fe:00 1234   /a file";
            assert_eq!(mapping(file), Some((0x7f00..0x8000, false)));
            let shared = "7f00-8000 rw-s 00000000 00:01 77 /dev/zero (deleted)";
            assert_eq!(mapping(shared), Some((0x7f00..0x8000, false)));
            assert_eq!(mapping("7f00 rw-p"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::ops::Range;

    /// Memory that is watched; there is none here.
    #[derive(Debug)]
    pub enum Watch {}

    impl Watch {
        /// There is no such thing on this system.
        #[must_use]
        pub fn begin(_memory: &[u8]) -> Option<Self> {
            None
        }

        /// Which bytes of the memory are watched.
        #[must_use]
        pub fn watched(&self) -> Range<usize> {
            match *self {}
        }

        /// Whether nobody has written to them since the beginning.
        #[must_use]
        pub fn is_untouched(&self) -> bool {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;

    /// Pages of their own; `None` where the kernel does not watch.
    fn watched(memory: &[u8]) -> Option<Watch> {
        let watch = Watch::begin(memory);
        if watch.is_none() {
            eprintln!("this kernel does not tell what is written to");
        }
        watch
    }

    #[test]
    fn each_write_is_seen_wherever_it_is() {
        let size = 4 << 20;
        for at in [0, 1, 4096, 8191, 1 << 20, size / 2 + 17, size - 1] {
            let mut memory = vec![7_u8; size];
            let Some(watch) = watched(&memory) else {
                return;
            };
            assert!(watch.is_untouched());
            // SAFETY: within the memory. The write is not to be left out, as nothing reads it.
            unsafe { memory.as_mut_ptr().add(at).write_volatile(8) };
            assert_eq!(watch.is_untouched(), !watch.watched().contains(&at), "{at}");
        }
    }

    #[test]
    fn memory_that_was_not_used_yet_is_watched_as_well() {
        let mut memory = vec![0_u8; 8 << 20];
        let Some(watch) = watched(&memory) else {
            return;
        };
        assert!(watch.is_untouched());
        let sum: u64 = memory.iter().map(|byte| u64::from(*byte)).sum();
        assert_eq!(sum, 0);
        assert!(watch.is_untouched(), "it was only read");
        // SAFETY: within the memory.
        unsafe { memory.as_mut_ptr().add(5 << 20).write_volatile(1) };
        assert!(!watch.is_untouched());
    }

    #[test]
    fn what_the_kernel_writes_is_seen() {
        let mut memory = vec![0_u8; 8 << 20];
        let Some(watch) = watched(&memory) else {
            return;
        };
        let file = std::fs::File::open("/dev/zero").unwrap();
        let at = 3 << 20;
        std::os::unix::fs::FileExt::read_at(&file, &mut memory[at..at + 10], 0).unwrap();
        assert!(!watch.is_untouched());
    }

    #[test]
    fn memory_that_others_can_write_to_is_not_watched() {
        use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
        let (size, rights) = (1 << 20, ProtFlags::READ | ProtFlags::WRITE);
        let file = tempfile::tempfile().unwrap();
        file.set_len(size as u64).unwrap();
        let null = std::ptr::null_mut();
        // SAFETY: fresh mappings at addresses of the kernel's choice.
        let mappings = unsafe {
            [
                mmap_anonymous(null, size, rights, MapFlags::SHARED).unwrap(),
                mmap(null, size, rights, MapFlags::SHARED, &file, 0).unwrap(),
                mmap(null, size, rights, MapFlags::PRIVATE, &file, 0).unwrap(),
            ]
        };
        for mapping in mappings {
            // SAFETY: mapped above, so long, until it is unmapped after its last use.
            unsafe {
                let memory = std::slice::from_raw_parts(mapping.cast::<u8>(), size);
                assert!(Watch::begin(memory).is_none());
                munmap(mapping, size).unwrap();
            }
        }
    }

    #[test]
    fn a_watch_that_cannot_begin_leaves_another_alone() {
        let mut memory = vec![1_u8; 8 << 20];
        let Some(watch) = watched(&memory) else {
            return;
        };
        let overlaps = Watch::begin(&memory[4 << 20..]);
        assert!(overlaps.is_none(), "one watch of a page at a time");
        assert!(watch.is_untouched());
        // SAFETY: within the memory.
        unsafe { memory.as_mut_ptr().add(6 << 20).write_volatile(2) };
        let overlaps = Watch::begin(&memory[5 << 20..]);
        assert!(overlaps.is_none(), "one watch of a page at a time");
        assert!(!watch.is_untouched());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_forked_child_ends_no_watch_of_its_parent() {
        let memory = vec![1_u8; 8 << 20];
        let Some(watch) = watched(&memory) else {
            return;
        };
        // SAFETY: the child calls nothing but the kernel.
        let child = unsafe { libc::fork() };
        if child == 0 {
            crate::fork::after_fork_in_child();
            drop(watch);
            // SAFETY: it only ends.
            unsafe { libc::_exit(0) };
        }
        let mut status = -1;
        // SAFETY: the child made above, waited for once.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert!(watch.is_untouched());
    }

    #[test]
    fn too_little_memory_has_no_page_of_its_own() {
        assert!(Watch::begin(&[]).is_none());
        assert!(Watch::begin(&[1; 100]).is_none());
    }

    #[test]
    fn memory_is_as_before_when_it_is_watched_no_more() {
        let mut memory = vec![3_u8; 1 << 20];
        for round in 0..10 {
            let watch = watched(&memory);
            memory.fill(round);
            assert!(watch.is_none_or(|watch| !watch.is_untouched()));
            assert!(memory.iter().all(|byte| *byte == round));
        }
    }
}

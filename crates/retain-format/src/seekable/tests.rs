use std::io::{self, ErrorKind, Read, Write};

use super::{FRAME, Framed, Seekable};
use crate::codec::{Codec, Encoder};
use crate::read_at::ReadAt;

fn sample(length: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(length + 12);
    for i in 0_u32.. {
        if content.len() >= length {
            break;
        }
        // Each number three times, so that there is something to compress.
        let number = i.wrapping_mul(2_654_435_761).to_le_bytes();
        content.extend([number, number, number].as_flattened());
    }
    content.truncate(length);
    content
}

fn packed(content: &[u8], threads: usize, piece: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Box::new(Framed::new(&mut file, 1).with_threads(threads));
    for piece in content.chunks(piece.max(1)) {
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap();
    file
}

fn from_start(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    Codec::Zstd.decoder(file)?.read_to_end(&mut content)?;
    Ok(content)
}

#[test]
fn neither_threads_nor_pieces_change_the_file() {
    for length in [0, 10, FRAME - 1, FRAME, FRAME + 1, 9 * FRAME + 12_345] {
        let content = sample(length);
        let file = packed(&content, 1, usize::MAX);
        assert!(from_start(&file).unwrap() == content, "{length}");
        for threads in [2, 8] {
            for piece in [100_003, 3 * FRAME + 7, usize::MAX] {
                assert!(
                    packed(&content, threads, piece) == file,
                    "{length} {threads} {piece}"
                );
            }
        }
    }
}

#[test]
fn any_range_is_read() {
    let content = sample(5 * FRAME + 4321);
    let file = packed(&content, 2, usize::MAX);
    let seekable = Seekable::open(file).unwrap().unwrap();
    assert_eq!(seekable.len(), content.len() as u64);
    assert_eq!(seekable.frames(), 6);
    let edges = [
        0,
        1,
        1000,
        FRAME - 1,
        FRAME,
        FRAME + 1,
        3 * FRAME,
        5 * FRAME + 1,
        content.len(),
    ];
    for &start in &edges {
        for &end in &edges {
            if start > end {
                continue;
            }
            let mut into = vec![0xee; end - start];
            seekable.read_exact_at(&mut into, start as u64).unwrap();
            assert!(into == content[start..end], "{start}..{end}");
        }
        let mut beyond = vec![0; content.len() - start + 1];
        let error = seekable
            .read_exact_at(&mut beyond, start as u64)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
    let error = seekable.read_exact_at(&mut [0], u64::MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_file_is_read_as_memory_is() {
    let content = sample(3 * FRAME);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&packed(&content, 2, usize::MAX)).unwrap();
    let seekable = Seekable::open(file).unwrap().unwrap();
    let mut into = vec![0; content.len()];
    seekable.read_exact_at(&mut into, 0).unwrap();
    assert!(into == content);
}

#[test]
fn empty_content_has_one_empty_frame() {
    let file = packed(&[], 2, 1);
    let seekable = Seekable::open(file.as_slice()).unwrap().unwrap();
    assert!(seekable.is_empty());
    assert_eq!(seekable.frames(), 1);
    seekable.read_exact_at(&mut [], 0).unwrap();
    assert!(from_start(&file).unwrap().is_empty());
}

#[test]
fn without_a_table_there_is_nothing_to_seek() {
    let file = packed(&sample(FRAME), 1, usize::MAX);
    for other in [
        &b""[..],
        b"short",
        &file[..file.len() - 17 - 8],
        &file[..file.len() - 1],
        &[0; 100],
    ] {
        assert!(Seekable::open(other).unwrap().is_none());
    }
}

#[test]
fn a_damaged_table_is_an_error_or_no_table() {
    let content = sample(2 * FRAME + 5);
    let file = packed(&content, 1, usize::MAX);
    let table = 8 + 3 * 8 + 9;
    for at in file.len() - table..file.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = file.clone();
            if damaged[at] == value {
                continue;
            }
            damaged[at] = value;
            let Ok(Some(seekable)) = Seekable::open(damaged.as_slice()) else {
                continue;
            };
            // The lengths of the content are believed only as far as the frames agree.
            let most = usize::try_from(seekable.len()).unwrap();
            let mut into = vec![0; most];
            match seekable.read_exact_at(&mut into, 0) {
                Ok(()) => assert!(into == content, "{at}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData),
            }
        }
    }
}

#[test]
fn a_damaged_frame_is_told_and_the_others_are_read() {
    let content = sample(4 * FRAME);
    let mut file = packed(&content, 1, usize::MAX);
    let at = file.len() / 2;
    file[at] ^= 0x10;
    let seekable = Seekable::open(file).unwrap().unwrap();
    let mut into = vec![0; content.len()];
    let error = seekable.read_exact_at(&mut into, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let mut first = vec![0; FRAME];
    seekable.read_exact_at(&mut first, 0).unwrap();
    assert!(first == content[..FRAME]);
}

/// Panics in the middle of a write.
struct Panics(usize);

impl Write for Panics {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        assert!(self.0 < 4, "as the test wants it");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_panics_leaves_no_thread_waiting() {
    for piece in [300_000, usize::MAX] {
        let content = sample(8 * FRAME);
        let writer = std::panic::AssertUnwindSafe(move || {
            let mut writer = Framed::new(Panics(0), 1).with_threads(3);
            for piece in content.chunks(piece) {
                writer.write_all(piece).unwrap();
            }
            Box::new(writer).finish().unwrap();
        });
        assert!(std::panic::catch_unwind(writer).is_err());
    }
}

//! Whether a file agrees with the checksums that it holds.

use std::fs::File;
use std::io::{self, Read, Seek};

use retain_format::{Codec, Error, Stored, Window};

/// Whether all of a file is as it was written, as far as it tells: one of another kind holds no checksums.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn is_sound(file: File) -> io::Result<bool> {
    match check(file) {
        Ok(()) => Ok(true),
        Err(Error::Io(error)) if !is_of_the_data(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Decoders report what is wrong with their input so.
fn is_of_the_data(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other
    )
}

fn check(mut file: File) -> Result<(), Error> {
    let mut start = Vec::new();
    (&mut file).take(64).read_to_end(&mut start)?;
    file.rewind()?;
    if let Some(codec) = Codec::detect(&start) {
        io::copy(&mut codec.decoder(file)?, &mut io::sink())?;
        return Ok(());
    }
    if let Ok(mut stored) = Stored::open(file)? {
        stored.check_skeleton()?;
        let mut window = Window::new();
        let mut into = Vec::new();
        for index in 0..stored.buffers().len() {
            let length = usize::try_from(stored.buffers()[index].len).unwrap_or(usize::MAX);
            into.resize(length, 0);
            stored.read_buffer(&mut window, index, &mut into)?;
        }
    }
    Ok(())
}

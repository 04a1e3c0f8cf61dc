//! The file that says what a folder holds.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::path::Path;

use retain_format::Publication;

use super::{Layout, place};
use crate::Error;

/// Its name.
pub(crate) const MARKER: &str = "retain-store";
/// The version of both layouts that this writes and reads.
const VERSION: &str = "1";

/// The layout that a folder has, once it is made: what `asked` says, or what is there.
pub(super) fn layout_of(folder: &Path, asked: Layout) -> Result<Layout, Error> {
    let path = folder.join(MARKER);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let at = |source| Error::Io {
                path: folder.to_path_buf(),
                source,
            };
            make(folder).map_err(at)?;
            let layout = match asked {
                Layout::Auto if place::is_network(folder) => Layout::Plain,
                Layout::Auto => Layout::Indexed,
                layout => layout,
            };
            furnish(folder, layout).map_err(at)?;
            return Ok(layout);
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(source) => return Err(Error::Io { path, source }),
    };
    let mut words = text.split_whitespace();
    let (name, layout, version) = (words.next(), words.next(), words.next());
    if name != Some(MARKER) {
        return Err(Error::Unsupported(format!(
            "{} does not say what the folder holds: it is damaged, or none of retain's; remove the folder to begin anew",
            path.display()
        )));
    }
    let found = match (layout, version) {
        (Some("indexed"), Some(VERSION)) => Layout::Indexed,
        (Some("plain"), Some(VERSION)) => Layout::Plain,
        (layout, version) => {
            return Err(Error::Unsupported(format!(
                "{} holds a store of layout {} {}, and this version of retain knows indexed {VERSION} and plain \
                 {VERSION}: use a newer retain, or another folder",
                folder.display(),
                layout.unwrap_or("?"),
                version.unwrap_or("?"),
            )));
        }
    };
    if asked != Layout::Auto && asked != found {
        return Err(Error::Unsupported(format!(
            "{} holds a store of layout {}, not {}: leave the layout out, or use another folder",
            folder.display(),
            found.name(),
            asked.name(),
        )));
    }
    Ok(found)
}

/// Makes a folder, with all that it is in, for its owner alone.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Makes a folder and what every store has in it.
pub(crate) fn furnish(folder: &Path, layout: Layout) -> io::Result<()> {
    make(folder)?;
    let write = |name: &str, text: &str| -> io::Result<()> {
        let path = folder.join(name);
        if path.exists() {
            return Ok(());
        }
        let file = Publication::begin(&path)?;
        file.file().write_all(text.as_bytes())?;
        file.publish()
    };
    write(".gitignore", "# Made by retain.\n*\n")?;
    // Last: it says that the others are there.
    write(MARKER, &format!("{MARKER} {} {VERSION}\n", layout.name()))
}

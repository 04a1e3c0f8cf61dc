//! Whether others could put entries into a folder.

use std::path::Path;

use crate::Error;

/// Refuses a folder that other users could write to, or exchange for another.
#[cfg(unix)]
pub(super) fn check(folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;

    let me = rustix::process::geteuid().as_raw();
    // Links are followed: what counts is where entries are kept in the end.
    let real = std::fs::canonicalize(folder).map_err(|source| Error::Io {
        path: folder.to_path_buf(),
        source,
    })?;
    for place in real.ancestors() {
        let state = std::fs::metadata(place).map_err(|source| Error::Io {
            path: place.to_path_buf(),
            source,
        })?;
        let is_folder = place == real;
        let owner = state.uid();
        if owner != me && owner != 0 {
            return Err(Error::Untrusted(format!(
                "{} belongs to another user, who could put anything there: use a folder of your own, or give key=",
                place.display()
            )));
        }
        let mode = state.mode();
        // Nobody can rename what is another's in a sticky folder.
        let is_sticky = !is_folder && mode & 0o1000 != 0;
        let by_group = mode & 0o020 != 0 && !is_private(state.gid(), me);
        let by_others = mode & 0o002 != 0;
        if (by_group || by_others) && !is_sticky {
            return Err(Error::Untrusted(format!(
                "other users can write to {}, and what they put there would run when it is loaded: \
                 run \"chmod go-w {}\", or give key=",
                place.display(),
                place.display()
            )));
        }
    }
    Ok(())
}

/// Whether a group has no member but one user, as on systems where each user has a group of their own.
#[cfg(unix)]
fn is_private(group: u32, user: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let field = |line: &str, index: usize| line.split(':').nth(index).map(str::to_owned);
    let users = read("/etc/passwd");
    let mut name = None;
    for line in users.lines() {
        let id = field(line, 2).and_then(|id| id.parse().ok());
        if id == Some(user) {
            name = field(line, 0);
        } else if field(line, 3).and_then(|id| id.parse().ok()) == Some(group) {
            return false;
        }
    }
    let Some(name) = name else {
        return false;
    };
    let groups = read("/etc/group");
    let mut known = groups
        .lines()
        .filter(|line| field(line, 2).and_then(|id| id.parse().ok()) == Some(group))
        .peekable();
    known.peek().is_some()
        && known.all(|line| {
            field(line, 3)
                .unwrap_or_default()
                .split(',')
                .all(|member| member.is_empty() || member == name)
        })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
pub(super) fn check(_folder: &Path) -> Result<(), Error> {
    Ok(())
}

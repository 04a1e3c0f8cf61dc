//! Files appear whole or not at all.

use std::fs;
use std::io::{ErrorKind, Write};

use retain_format::Publication;

fn write(publication: &Publication, text: &str) {
    publication.file().write_all(text.as_bytes()).unwrap();
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_when_it_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for text in ["first", "second, in its place"] {
        let before = fs::read_to_string(&path).unwrap_or_default();
        let publication = Publication::begin(&path).unwrap();
        write(&publication, text);
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), before);
        publication.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(names(&folder), ["file"]);
    }
}

#[test]
fn a_file_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    let publication = Publication::begin(&path).unwrap();
    write(&publication, "new");
    drop(publication);
    assert_eq!(names(&folder), ["file"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[test]
fn what_cannot_be_replaced_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path: &std::path::Path| Publication::begin(path).err().map(|error| error.kind());
    assert_eq!(kind(folder.path()), Some(ErrorKind::IsADirectory));
    assert_eq!(
        kind(&folder.path().join("no/file")),
        Some(ErrorKind::NotFound)
    );
    #[cfg(unix)]
    assert_eq!(kind("/dev/null".as_ref()), Some(ErrorKind::InvalidInput));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let link = folder.path().join("link");
    symlink("file", &link).unwrap();
    let publication = Publication::begin(&link).unwrap();
    write(&publication, "first");
    publication.publish().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let publication = Publication::begin(&link).unwrap();
    write(&publication, "second");
    publication.publish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "second");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    symlink(&one, &two).unwrap();
    symlink(&two, &one).unwrap();
    assert!(Publication::begin(&one).is_err());
}

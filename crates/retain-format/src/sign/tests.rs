use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use super::{PublicKey, SecretKey, claimed_signer, sign_file, verify_file};
use crate::codec::Codec;
use crate::error::Error;
use crate::read_at::ReadAt;
use crate::seekable::Seekable;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn bytes_of(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn zstd(content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = Codec::Zstd.encoder(&mut packed, None).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap();
    packed
}

/// The pickle of `None`, and something that looks like one and is long.
const NONE: &[u8] = b"\x80\x05N.";

#[test]
fn what_is_signed_is_verified_and_any_change_is_told() {
    for body in [NONE.to_vec(), zstd(NONE), zstd(&[b'.'; 3000])] {
        let file = file_of(&body);
        assert!(matches!(
            verify_file(&file, &key(1).public()),
            Err(Error::Signature(_))
        ));
        sign_file(&file, &key(1)).unwrap();
        verify_file(&file, &key(1).public()).unwrap();
        assert_eq!(claimed_signer(&file).unwrap(), Some(key(1).public()));
        let error = verify_file(&file, &key(2).public()).unwrap_err();
        assert!(
            error.to_string().contains(&key(1).public().to_string()),
            "{error}"
        );

        let signed = bytes_of(&file);
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 0x40;
            assert!(
                matches!(
                    verify_file(&changed, &key(1).public()),
                    Err(Error::Signature(_))
                ),
                "{at}"
            );
            assert!(matches!(
                verify_file(&signed[..at], &key(1).public()),
                Err(Error::Signature(_))
            ));
        }
        for behind in [&b"."[..], b"0.", b"\x50\x2a\x4d\x18\0\0\0\0"] {
            let longer = [&signed, behind].concat();
            assert!(matches!(
                verify_file(&longer, &key(1).public()),
                Err(Error::Signature(_))
            ));
        }
    }
}

#[test]
fn a_signed_pickle_ends_as_pickles_do() {
    let file = file_of(NONE);
    sign_file(&file, &key(1)).unwrap();
    let signed = bytes_of(&file);
    // SHORT_BINBYTES 104 … POP STOP in the place of STOP.
    assert_eq!(signed.len(), NONE.len() + 2 + 104 + 1);
    assert_eq!(&signed[..5], b"\x80\x05NC\x68");
    assert!(signed.ends_with(b"0."));
}

#[test]
fn signing_again_replaces() {
    for body in [NONE.to_vec(), zstd(NONE)] {
        let file = file_of(&body);
        sign_file(&file, &key(1)).unwrap();
        let first = bytes_of(&file);
        sign_file(&file, &key(2)).unwrap();
        verify_file(&file, &key(2).public()).unwrap();
        sign_file(&file, &key(1)).unwrap();
        assert_eq!(bytes_of(&file), first);
    }
}

#[test]
fn a_signed_zstd_file_is_read_as_before() {
    let content = b"content ".repeat(300_000);
    let file = file_of(&zstd(&content));
    sign_file(&file, &key(1)).unwrap();
    let signed = bytes_of(&file);
    let mut plain = Vec::new();
    Codec::Zstd
        .decoder(signed.as_slice())
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    assert!(plain == content);
    let seekable = Seekable::open(&file).unwrap().unwrap();
    assert_eq!(seekable.len(), content.len() as u64);
    let mut some = [0; 8];
    seekable.read_exact_at(&mut some, 1_600_000).unwrap();
    assert_eq!(&some, b"content ");
}

#[test]
fn other_files_cannot_be_signed() {
    for body in [
        &b""[..],
        b"N.",
        b"\x1f\x8b\x08\x00",
        b"\x80\x05N",
        b"\x93NUMPY\x01",
    ] {
        let file = file_of(body);
        assert!(
            matches!(sign_file(&file, &key(1)), Err(Error::Unsupported(_))),
            "{body:?}"
        );
        assert_eq!(bytes_of(&file), body);
    }
}

#[test]
fn the_algorithm_is_ed25519() {
    // RFC 8032, section 7.1, test 1: the empty message.
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    let key = SecretKey::from_seed(seed);
    assert_eq!(
        key.public().to_string(),
        "retain-public-key:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
    let signature = key.sign(b"");
    assert_eq!(
        signature[..8],
        [0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72]
    );
    assert!(key.public().verifies(b"", &signature));
    assert!(!key.public().verifies(b"x", &signature));
}

#[test]
fn a_key_of_low_order_verifies_nothing() {
    // With such a "key" anyone could make signatures that hold for many messages.
    for first in [0, 1] {
        let mut bytes = [0; 32];
        bytes[0] = first;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey::from_bytes(bytes).verifies(b"any", &signature));
    }
}

#[test]
fn keys_are_written_down_and_read_back() {
    let key = SecretKey::generate().unwrap();
    assert_ne!(key.public(), SecretKey::generate().unwrap().public());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    key.write_new(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(SecretKey::read(&path).unwrap().public(), key.public());
    let again = key.write_new(&path).unwrap_err();
    assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);

    let line = key.public().to_string();
    assert_eq!(
        format!(" {line}\n").parse::<PublicKey>().unwrap(),
        key.public()
    );
    let secret = key.to_secret_line();
    for bad in [
        "",
        &secret,
        &line[..line.len() - 1],
        &line.replace(':', ""),
        &format!("{}é", &line[..line.len() - 2]),
    ] {
        assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
    }
    assert!(line.parse::<SecretKey>().is_err());
    // Not even by accident, in a log.
    assert!(!format!("{key:?}").contains(&secret[secret.len() - 64..]));
    std::fs::write(&path, vec![0xff; 5000]).unwrap();
    assert!(matches!(SecretKey::read(&path), Err(Error::Signature(_))));
}

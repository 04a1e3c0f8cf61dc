//! Waits that would never end: the holder of what is waited for waits, by however many others, for what the waiter holds.
//!
//! Only who leads something can be part of such a circle. Before it waits, it notes in the lock file what it leads and
//! what it waits for; then it follows such notes from what it is about to wait for. Whoever closes the circle finds it,
//! and does not wait. A note counts as long as what its author leads is locked; one that the dead have left is at worst
//! taken for that of their successor, and something is computed twice. A circle through a folder that this process does
//! not have open is not found.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr;

use super::Owner;
use super::lock;
use super::places::{self, Place};
use super::slots;

/// What is led, and what its leader waits for.
type Note = (u64, u64);

/// The notes of one wait, which go when it ends.
pub(super) struct Noted {
    led: Vec<(&'static Place, u64)>,
    /// Where they are.
    places: Vec<&'static Place>,
}

/// Notes that `owner` waits for `byte`; `None` if it would wait for itself.
pub(super) fn enter(place: &'static Place, byte: u64, owner: Owner) -> Option<Noted> {
    let mut noted = Noted {
        led: slots::led_by(owner),
        places: Vec::new(),
    };
    if noted.led.is_empty() {
        return Some(noted);
    }
    let mut edges = Vec::new();
    for index in 0..noted.led.len() {
        let here = noted.led[index].0;
        if !is_among(here, &noted.places) {
            noted.places.push(here);
            // What cannot be noted would not be found by others.
            edges.extend(noted.write(here, Some(byte)).ok()?);
        }
    }
    // A circle may lead through other folders. That they lead equal calls is rare, and harmless: see above.
    for other in places::used().filter(|other| !is_among(other, &noted.places)) {
        match noted.write(other, None) {
            Ok(theirs) => edges.extend(theirs),
            Err(_) if ptr::eq(other, place) => return None,
            Err(_) => {}
        }
    }
    let mut reached = vec![byte];
    let mut next = 0;
    while let Some(&from) = reached.get(next) {
        if noted.led.iter().any(|(_, led)| *led == from) {
            return None;
        }
        next += 1;
        for (led, wanted) in &edges {
            if *led == from && !reached.contains(wanted) {
                reached.push(*wanted);
            }
        }
    }
    Some(noted)
}

fn is_among(place: &Place, places: &[&Place]) -> bool {
    places.iter().any(|other| ptr::eq(*other, place))
}

impl Noted {
    /// Replaces this one's notes at a place, and hands out all that count.
    fn write(&self, place: &Place, wanted: Option<u64>) -> io::Result<Vec<Note>> {
        let led_here = || {
            let here = self.led.iter().filter(|(other, _)| ptr::eq(*other, place));
            here.map(|(_, led)| *led)
        };
        // Of its own: a lock that this thread holds is one of others to it.
        let file = lock::open(&place.path, 0)?;
        lock::with_content(&file, || {
            let mut notes = read(&file)?;
            let before = notes.len();
            notes.retain(|(led, _)| {
                !led_here().any(|here| here == *led) && lock::is_locked(&file, *led).unwrap_or(true)
            });
            if let Some(wanted) = wanted {
                notes.extend(led_here().map(|led| (led, wanted)));
            } else if notes.len() == before {
                return Ok(notes);
            }
            let bytes: Vec<u8> = notes
                .iter()
                .flat_map(|(led, wanted)| [led.to_le_bytes(), wanted.to_le_bytes()])
                .flatten()
                .collect();
            file.write_all_at(&bytes, 0)?;
            file.set_len(bytes.len() as u64)?;
            Ok(notes)
        })
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        for place in &self.places {
            // A note that stays is found to be one when what it leads is free.
            let _ = self.write(place, None);
        }
    }
}

fn read(file: &File) -> io::Result<Vec<Note>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut { file }, &mut bytes)?;
    let (numbers, _) = bytes.as_chunks::<8>();
    let (notes, _) = numbers.as_chunks::<2>();
    Ok(notes
        .iter()
        .map(|[led, wanted]| (u64::from_le_bytes(*led), u64::from_le_bytes(*wanted)))
        .collect())
}

//! Where there are no locks: everybody leads, and each computes for itself.

use std::path::Path;

use crate::{Error, Key};

/// The leads of one folder.
#[derive(Debug)]
pub(crate) struct Flights;

impl Flights {
    /// The leads of the store in a folder.
    pub(crate) fn new(_folder: &Path) -> Self {
        Self
    }

    /// A lead that holds nothing.
    ///
    /// # Errors
    /// None.
    pub(crate) fn lead(&self, _key: &Key, _owner: Owner) -> Result<Lead, Error> {
        Ok(Lead(()))
    }

    /// A lead that holds nothing.
    ///
    /// # Errors
    /// None.
    pub(crate) fn try_lead(&self, _key: &Key, _owner: Owner) -> Result<Option<Lead>, Error> {
        Ok(Some(Lead(())))
    }
}

/// The right to compute what a call comes to.
#[derive(Debug)]
pub struct Lead(());

impl Lead {
    /// Whether somebody else led when this was asked for: never.
    #[must_use]
    pub fn waited(&self) -> bool {
        false
    }

    /// Whether others wait for this one: never.
    #[must_use]
    pub fn is_held(&self) -> bool {
        false
    }
}

/// On whose behalf a call is led.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner(());

impl Owner {
    /// One that nobody else is.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// That of the calling thread.
    #[must_use]
    pub fn thread() -> Self {
        Self(())
    }
}

/// Does nothing.
pub(crate) fn after_fork_in_child() {}

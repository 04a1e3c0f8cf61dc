//! What is found in a file.

use std::fmt;

use super::Plan;

/// Whether a file may be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing but data that the rules know: it can be loaded.
    Safe,
    /// It can be loaded if the names that [`Report::wanted`] lists are trusted.
    NeedsTrust,
    /// It does what no data do.
    Unsafe,
    /// It is no whole pickle.
    Damaged,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A pickle with retain's head.
    Retain,
    /// A pickle with joblib's arrays inside.
    Joblib,
    /// A pickle.
    Pickle,
}

/// How a name is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameVerdict {
    /// A rule knows it, and checks how it is used.
    Allowed,
    /// The caller trusts it.
    Trusted,
    /// Nobody knows it.
    NeedsTrust,
    /// Data need no such thing.
    Refused,
}

/// A name that the file imports.
#[derive(Debug, Clone)]
pub struct GlobalUse {
    /// The module, in Python 3's names.
    pub module: String,
    /// The name in the module.
    pub name: String,
    /// Module and name as the file has them, where these are Python 2's.
    pub written: Option<(String, String)>,
    /// How often it is named.
    pub count: u64,
    /// Whether it may be used.
    pub verdict: NameVerdict,
    /// Why.
    pub reason: &'static str,
}

/// An array in the file.
#[derive(Debug, Clone)]
pub struct ArrayInfo {
    /// Where it is in the value, as in `[0].coef`; empty if it is the value, or lies where no path leads.
    pub path: String,
    /// The kind of its elements, as numpy writes it; a structured one as `V` and its size.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// `C` or `F`.
    pub order: char,
    /// Where its bytes begin, if they lie in the stream as they are.
    pub offset: Option<u64>,
    /// How many bytes it has in memory.
    pub nbytes: u64,
    /// Whether it holds Python's objects.
    pub object: bool,
}

/// Something that no rule allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where in the stream.
    pub offset: u64,
    /// What it is.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (at byte {})", self.reason, self.offset)
    }
}

/// All that is known of a file without loading it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What kind of file it is.
    pub format: Format,
    /// The protocol of the pickle.
    pub protocol: u8,
    /// How many opcodes it has.
    pub opcodes: u64,
    /// Where it ends: behind STOP, or where it could not be read on.
    pub bytes: u64,
    /// Bytes that loading it allocates, estimated.
    pub allocation: u64,
    /// Its arrays.
    pub arrays: Vec<ArrayInfo>,
    /// The names that it imports.
    pub globals: Vec<GlobalUse>,
    /// Where its opcodes lie.
    pub plan: Plan,
    /// What is not allowed; the first hundred.
    pub refusals: Vec<Refusal>,
    /// How many more there are.
    pub more_refusals: u64,
    /// Why it could not be read to its end.
    pub damage: Option<String>,
    /// Whether it may be loaded.
    pub verdict: Verdict,
}

impl Report {
    /// The names that would have to be trusted.
    pub fn wanted(&self) -> impl Iterator<Item = &GlobalUse> {
        self.globals
            .iter()
            .filter(|name| name.verdict == NameVerdict::NeedsTrust)
    }
}

//! Why a process that grows is not looked at.

use std::fmt;

/// The reasons that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A pattern denies it.
    Denied,
    /// Others are allowed, and it is not.
    NotAllowed,
    /// So many are looked at, and no more may be.
    Busy(usize),
}

impl Reason {
    /// Which of them it is, in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotAllowed => "not_allowed",
            Self::Busy(_) => "busy",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("it is denied"),
            Self::NotAllowed => f.write_str("it is not among those allowed"),
            Self::Busy(number) => write!(f, "{number} looked at already, as many as may be"),
        }
    }
}

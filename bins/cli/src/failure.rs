//! How a command ends other than well, and the exit code that says so.

use core::fmt;

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Fine.
    Yes,
    /// The answer is no: an expectation failed, a node is unhealthy.
    No,
    /// The same seed gave two different runs.
    Differs,
}

impl Verdict {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Differs => 3,
        }
    }
}

/// Why a command could not do its work, and what would mend it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was asked rightly and did not succeed: exit code 1.
    Failed(String),
    /// Wrong usage, or a bad file: exit code 2.
    Usage(String),
    /// Whoever read our output went away: nothing to say.
    ReaderGone,
}

impl Failure {
    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
        }
    }

    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Usage(message) => f.write_str(message),
            Self::ReaderGone => Ok(()),
        }
    }
}

impl From<std::io::Error> for Failure {
    /// An error of writing our own output.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Failed(format!("cannot write the answer: {error}"))
        }
    }
}

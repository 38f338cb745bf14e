//! Results of a command that did not fully succeed, and their exit codes.

use core::fmt;

/// Result of a command that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Success.
    Yes,
    /// A negative result: an expectation failed, or a node is unhealthy.
    No,
    /// The same seed gave two different runs.
    Differs,
    /// A run passes, so there is no failure to explain.
    Passes,
    /// A signal ended the command before its result.
    Interrupted,
}

impl Completion {
    /// Returns the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Differs => 3,
            Self::Passes => 4,
            Self::Interrupted => 130,
        }
    }
}

/// Reason why a command failed, with the way to fix it.
#[derive(Debug)]
pub enum CommandError {
    /// The usage was correct and the command did not succeed: exit code 1.
    Failed(String),
    /// Wrong usage, or a bad file: exit code 2.
    Usage(String),
    /// The reader of standard output closed it: no message is printed.
    ReaderGone,
    /// A signal ended the command before its result: exit code 130.
    Interrupted,
}

impl CommandError {
    /// Returns the exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Interrupted => Completion::Interrupted.code(),
        }
    }

    /// Creates a failure of correct usage.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// Creates a failure of wrong usage or of a bad file.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Usage(message) => f.write_str(message),
            Self::ReaderGone => Ok(()),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<std::io::Error> for CommandError {
    /// Converts an error of writing to standard output.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Failed(format!("cannot write the answer: {error}"))
        }
    }
}

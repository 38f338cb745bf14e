//! The program whose configuration is read.

/// A daemon, as its configuration messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonProgram {
    /// The name of the executable.
    pub(super) name: &'static str,
    /// The first letters of its environment variables.
    pub(super) prefix: &'static str,
    /// Variables whose value is a whole document, such as a key in PEM: kept verbatim and treated as secrets.
    pub(super) documents: &'static [&'static str],
    /// Variables of the prefix that other code reads.
    pub(super) read_elsewhere: &'static [&'static str],
}

impl DaemonProgram {
    /// A program whose variables begin with `prefix`.
    #[must_use]
    pub const fn new(name: &'static str, prefix: &'static str) -> Self {
        Self {
            name,
            prefix,
            documents: &[],
            read_elsewhere: &[],
        }
    }

    /// The program with variables that hold whole documents and have no key; see
    /// [`Layers::document`](super::Layers::document).
    #[must_use]
    pub const fn documents(self, documents: &'static [&'static str]) -> Self {
        Self { documents, ..self }
    }

    /// The program with variables that other code reads, the parser of the command line for one.
    #[must_use]
    pub const fn read_elsewhere(self, variables: &'static [&'static str]) -> Self {
        Self {
            read_elsewhere: variables,
            ..self
        }
    }
}

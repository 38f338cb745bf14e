//! A leader election with its votes on disk, and how it is simulated.
//!
//! [`machine`] is the product, which does not depend on the simulator. [`system`] describes the product to the
//! simulator in about two hundred lines, most of which are one-line match arms.

pub mod machine;
pub mod system;

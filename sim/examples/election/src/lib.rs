//! A leader election with its votes on disk, and how it is simulated.
//!
//! [`machine`] is the product: it knows nothing of the simulator. [`system`] is what the simulator needs to know of
//! it: about two hundred lines, most of them one line an arm.

pub mod machine;
pub mod system;

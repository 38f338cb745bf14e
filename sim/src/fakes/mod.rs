//! Fakes of real parts that stand beside the machines of a simulated host.
//!
//! Each fake follows measured behaviour of its real part and declares virtual costs. One conformance suite
//! (tests/conformance) runs on the fake and on the real part, so a fake that drifts from the real part fails.

pub mod dns;
pub mod nginx;

//! Fakes of real programs that run beside the machines on a simulated host.
//!
//! Each fake follows the measured behaviour of the real program and declares virtual costs. One conformance suite
//! (tests/conformance) runs on the fake and on the real program, so a fake that deviates from the real program fails
//! the suite.

pub mod dns;
pub mod nginx;

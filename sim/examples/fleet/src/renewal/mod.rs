//! Certificate renewal of a fleet: an issuer, and members that run core's credentials machine.
//!
//! Each member has links to its neighbours on a ring, and a certificate of limited lifetime. The machine decides when a
//! new certificate is requested and when links are replaced or closed; [`member`] performs its outputs. The machine
//! gets wall time only as data, so a scenario can set a member's clock.

pub mod issuer;
pub mod member;
pub mod messages;
pub mod system;

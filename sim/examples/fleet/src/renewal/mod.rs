//! Certificate renewal of a fleet: an issuer, and members that run core's credentials machine.
//!
//! Each member has links to the members beside it on a ring, and a certificate of limited life. The machine decides when
//! a new certificate is requested and when links are replaced or closed; [`member`] performs its outputs. Wall time
//! reaches the machine as data alone, so a scenario can set a member's clock.

pub mod issuer;
pub mod member;
pub mod messages;
pub mod system;

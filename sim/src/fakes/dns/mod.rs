//! A fake DNS resolver: a cache before authorities whose zones a test changes.
//!
//! [`Resolver`] answers queries for addresses as unbound 1.17 of Debian 12 does; the conformance suite (tests/conformance)
//! runs on both. It decides the order of addresses, the chain of aliases, what is kept and for how long, and how long an
//! answer takes. Randomness is not drawn here: the order follows from the query's number and the calendar.
//!
//! - Record sets (A, AAAA, CNAME) are kept each for its own time to live, names and types without records for that of the
//!   zone. A time to live counts whole seconds; a set whose rest is zero is still given.
//! - The addresses of a set come in the zone's order, rotated by the query's number plus the second of the calendar.
//! - Aliases are followed over zones; a circle of aliases is a server failure.
//! - A zone can answer, fail (SERVFAIL) or be silent. A client of a silent zone waits [`TIME_OUT`].
//! - Names outside of all zones do not exist.
//!
//! [`Dns`] makes a program of it. The engine's packets to and from it can be lost, and cuts hold them back.
//!
//! Left out: other types of records, wildcards, DNSSEC, truncation, the cache of failures.

mod program;
mod resolver;
mod zone;

pub use program::{DNS, Dns, SET, STATE};
pub use resolver::{Code, Reply, Resolver, TIME_OUT};
pub use zone::{RecordData, RecordType, ResourceRecord, State, Zone};

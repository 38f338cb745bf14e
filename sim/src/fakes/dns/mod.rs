//! A fake DNS resolver: a cache in front of authoritative zones, which a test can change.
//!
//! [`Resolver`] answers queries for addresses as unbound 1.17 of Debian 12 does; the conformance suite
//! (tests/conformance) runs on both. The resolver decides the order of addresses, the chain of aliases, which record
//! sets are cached and for how long, and the delay of an answer. The resolver draws no random numbers: the order of
//! addresses follows from the query's number and the calendar.
//!
//! - Record sets (A, AAAA, CNAME) are each cached for their own time to live; the absence of a name or type is cached
//!   for the negative time to live of the zone. A time to live counts whole seconds; a record set whose remaining time
//!   is zero is still returned.
//! - The addresses of a set come in the zone's order, rotated by the query's number plus the second of the calendar.
//! - Aliases are followed across zones; a cycle of aliases gives SERVFAIL.
//! - A zone can answer, fail (SERVFAIL) or be silent. A client of a silent zone waits [`TIME_OUT`].
//! - Names outside of all zones do not exist.
//!
//! [`Dns`] makes a program of the resolver. Packets to and from the program can be lost by the engine, and are blocked
//! by cuts.
//!
//! Not modelled: other types of records, wildcards, DNSSEC, truncation, and the caching of failures.

mod program;
mod resolver;
mod zone;

pub use program::{DNS, Dns, SET, STATE};
pub use resolver::{Code, Reply, Resolver, TIME_OUT};
pub use zone::{RecordData, RecordType, ResourceRecord, State, Zone};

//! DNS: the trait through which cases see a resolver, and the cases.

mod cases;
mod fake;
mod real;

use core::time::Duration;
use fake::Fake;
use phalanx_sim::fakes::dns::{Code, RecordType};
use real::Real;
use std::net::IpAddr;

super::conformance! {
    Fake, Real,
    cases: addresses_are_rotated_by_the_query, families_are_asked_apart, names_have_no_case,
        aliases_are_followed, a_circle_of_aliases_is_a_failure, an_alias_of_nothing_is_a_name_error,
        absent_names_and_absent_types_differ, a_zone_that_fails_is_a_failure,
        a_silent_zone_gives_no_answer, names_outside_of_all_zones_do_not_exist,
        a_change_shows_when_the_old_set_ends, an_absent_name_shows_when_its_absence_ends,
        sets_of_a_chain_end_one_by_one;
}

/// The time in seconds for which the absence of a name in the suite's zone is cached.
const NEGATIVE_SECONDS: u32 = 2;
/// The zone whose records a case sets.
const ZONE: &str = "example.test";
/// A zone that answers SERVFAIL.
const BROKEN: &str = "broken.test";
/// A zone that does not answer.
const SILENT: &str = "silent.test";

/// A record of [`ZONE`]: the first label, the time to live, the content.
#[derive(Clone, Debug)]
enum Set {
    Address(&'static str, u32, IpAddr),
    /// An alias; its target is absolute, or one label of [`ZONE`].
    Alias(&'static str, u32, &'static str),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reply {
    code: Code,
    aliases: Vec<(String, String, u32)>,
    addresses: Vec<(IpAddr, u32)>,
}

/// A resolver: the fake or the real program.
trait ResolverUnderTest {
    /// Makes [`ZONE`] hold these records; cached answers stay.
    fn set(&mut self, records: &[Set]);
    /// Sends a query and returns its answer.
    fn query(&mut self, number: u16, name: &str, kind: RecordType) -> Reply;
    /// Lets time pass.
    fn pause(&mut self, time: Duration);
    /// The current second of the calendar, and the time since its beginning.
    fn second(&self) -> (u64, Duration);
}

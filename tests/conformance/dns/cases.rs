//! The answers of a resolver, the order of their addresses, and how long they are cached.

use super::{BROKEN, NEGATIVE_SECONDS, Reply, ResolverUnderTest, SILENT, Set, ZONE};
use core::time::Duration;
use phalanx_sim::fakes::dns::{Code, RecordType};
use std::net::IpAddr;

type Part<'a> = &'a mut dyn ResolverUnderTest;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn full(label: &str) -> String {
    format!("{label}.{ZONE}")
}

fn ask(part: Part<'_>, label: &str) -> Reply {
    part.query(1, &full(label), RecordType::A)
}

/// The addresses without their remaining time to live, sorted.
fn addresses(reply: &Reply) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = reply
        .addresses
        .iter()
        .map(|(address, _)| *address)
        .collect();
    addresses.sort();
    addresses
}

fn empty(code: Code) -> Reply {
    Reply {
        code,
        aliases: Vec::new(),
        addresses: Vec::new(),
    }
}

/// Waits for the beginning of a second, so that the next few steps happen within one second. The kernel's coarse clock,
/// which resolvers read, lags by a few milliseconds.
fn begin_of_second(part: Part<'_>) -> u64 {
    let (_, gone) = part.second();
    part.pause(Duration::from_millis(1_050).saturating_sub(gone));
    part.second().0
}

/// Waits until a second of the calendar has begun.
fn wait_until(part: Part<'_>, second: u64) {
    while part.second().0 < second {
        part.pause(Duration::from_millis(50));
    }
}

const POOL: [(&str, u32); 4] = [
    ("10.0.0.1", 60),
    ("10.0.0.2", 60),
    ("10.0.0.3", 60),
    ("10.0.0.4", 60),
];

pub(super) fn addresses_are_rotated_by_the_query(part: &mut dyn ResolverUnderTest) {
    part.set(&POOL.map(|(address, ttl)| Set::Address("pool", ttl, ip(address))));
    // The answers to one client within one second; retried if a second ends in between.
    let replies = (0..5).find_map(|_| {
        let second = begin_of_second(part);
        let replies: Vec<Reply> = (7..12)
            .map(|number| part.query(number, &full("pool"), RecordType::A))
            .collect();
        (part.second().0 == second).then_some((second, replies))
    });
    let (second, replies) = replies.expect("five queries fit into a second");
    for (at, reply) in replies.iter().enumerate() {
        assert_eq!(reply.code, Code::NoError);
        let order: Vec<IpAddr> = reply
            .addresses
            .iter()
            .map(|(address, _)| *address)
            .collect();
        let mut expected = POOL.map(|(address, _)| ip(address));
        expected.rotate_left((7 + at + usize::try_from(second % 4).unwrap_or(0)) % 4);
        assert_eq!(order, expected, "query {}", 7 + at);
    }
}

pub(super) fn families_are_asked_apart(part: &mut dyn ResolverUnderTest) {
    part.set(&[
        Set::Address("both", 60, ip("10.0.0.9")),
        Set::Address("both", 30, ip("fd00::9")),
    ]);
    let four = part.query(1, &full("both"), RecordType::A);
    assert_eq!(four.addresses, [(ip("10.0.0.9"), 60)]);
    let six = part.query(1, &full("both"), RecordType::Aaaa);
    assert_eq!(six.addresses, [(ip("fd00::9"), 30)]);
}

pub(super) fn names_have_no_case(part: &mut dyn ResolverUnderTest) {
    part.set(&[Set::Address("Mixed", 60, ip("10.0.0.1"))]);
    for name in ["mixed", "MIXED"] {
        assert_eq!(addresses(&ask(part, name)), [ip("10.0.0.1")], "{name}");
    }
}

pub(super) fn aliases_are_followed(part: &mut dyn ResolverUnderTest) {
    part.set(&[
        Set::Alias("first", 50, "second"),
        Set::Alias("second", 40, "end"),
        Set::Address("end", 30, ip("10.0.0.1")),
        Set::Address("end", 30, ip("10.0.0.2")),
    ]);
    let reply = ask(part, "first");
    assert_eq!(reply.code, Code::NoError);
    let alias = |from, to, ttl| (full(from), full(to), ttl);
    assert_eq!(
        reply.aliases,
        [alias("first", "second", 50), alias("second", "end", 40)]
    );
    assert_eq!(addresses(&reply), [ip("10.0.0.1"), ip("10.0.0.2")]);
    // An alias is followed to a name without an address of the type, which is not an error.
    let six = part.query(1, &full("first"), RecordType::Aaaa);
    assert_eq!(
        (six.code, six.aliases.len(), six.addresses.len()),
        (Code::NoError, 2, 0)
    );
}

pub(super) fn a_circle_of_aliases_is_a_failure(part: &mut dyn ResolverUnderTest) {
    part.set(&[
        Set::Alias("one", 60, "other"),
        Set::Alias("other", 60, "one"),
    ]);
    assert_eq!(ask(part, "one"), empty(Code::ServerFailure));
}

pub(super) fn an_alias_of_nothing_is_a_name_error(part: &mut dyn ResolverUnderTest) {
    part.set(&[Set::Alias("dangling", 60, "nothing")]);
    let reply = ask(part, "dangling");
    assert_eq!(reply.code, Code::NameError);
    assert_eq!(reply.aliases, [(full("dangling"), full("nothing"), 60)]);
}

pub(super) fn absent_names_and_absent_types_differ(part: &mut dyn ResolverUnderTest) {
    part.set(&[
        Set::Address("four", 60, ip("10.0.0.1")),
        Set::Address("below.above", 60, ip("10.0.0.1")),
    ]);
    assert_eq!(ask(part, "nothing"), empty(Code::NameError));
    assert_eq!(
        part.query(1, &full("four"), RecordType::Aaaa),
        empty(Code::NoError)
    );
    // A name that exists only because a name below it exists has no records.
    assert_eq!(ask(part, "above"), empty(Code::NoError));
}

pub(super) fn a_zone_that_fails_is_a_failure(part: &mut dyn ResolverUnderTest) {
    part.set(&[Set::Alias("outside", 60, "x.broken.test")]);
    let broken = part.query(1, &format!("x.{BROKEN}"), RecordType::A);
    assert_eq!(broken, empty(Code::ServerFailure));
    assert_eq!(ask(part, "outside"), empty(Code::ServerFailure));
}

pub(super) fn a_silent_zone_gives_no_answer(part: &mut dyn ResolverUnderTest) {
    let silent = part.query(1, &format!("x.{SILENT}"), RecordType::A);
    assert_eq!(silent, empty(Code::TimedOut));
}

pub(super) fn names_outside_of_all_zones_do_not_exist(part: &mut dyn ResolverUnderTest) {
    assert_eq!(
        part.query(1, "elsewhere.invalid", RecordType::A),
        empty(Code::NameError)
    );
}

pub(super) fn a_change_shows_when_the_old_set_ends(part: &mut dyn ResolverUnderTest) {
    part.set(&[Set::Address("name", 3, ip("10.0.0.1"))]);
    let second = begin_of_second(part);
    assert_eq!(ask(part, "name").addresses, [(ip("10.0.0.1"), 3)]);
    part.set(&[
        Set::Address("name", 3, ip("10.0.0.2")),
        Set::Address("name", 3, ip("10.0.0.3")),
    ]);
    wait_until(part, second + 1);
    let rest = ask(part, "name").addresses;
    assert!(
        rest == [(ip("10.0.0.1"), 2)] || rest == [(ip("10.0.0.1"), 1)],
        "{rest:?}"
    );
    wait_until(part, second + 5);
    let new = ask(part, "name");
    assert_eq!(addresses(&new), [ip("10.0.0.2"), ip("10.0.0.3")]);
    assert_eq!(new.addresses[0].1, 3);
}

pub(super) fn an_absent_name_shows_when_its_absence_ends(part: &mut dyn ResolverUnderTest) {
    part.set(&[Set::Address("old", 60, ip("10.0.0.1"))]);
    let second = begin_of_second(part);
    assert_eq!(ask(part, "late"), empty(Code::NameError));
    assert_eq!(
        part.query(1, &full("old"), RecordType::Aaaa),
        empty(Code::NoError)
    );
    part.set(&[
        Set::Address("old", 60, ip("fd00::1")),
        Set::Address("late", 60, ip("10.0.0.2")),
    ]);
    assert_eq!(ask(part, "late"), empty(Code::NameError));
    assert_eq!(
        part.query(1, &full("old"), RecordType::Aaaa),
        empty(Code::NoError)
    );
    wait_until(part, second + u64::from(NEGATIVE_SECONDS) + 2);
    assert_eq!(addresses(&ask(part, "late")), [ip("10.0.0.2")]);
    let six = part.query(1, &full("old"), RecordType::Aaaa);
    assert_eq!(addresses(&six), [ip("fd00::1")]);
}

pub(super) fn sets_of_a_chain_end_one_by_one(part: &mut dyn ResolverUnderTest) {
    let end = Set::Address("end", 60, ip("10.0.0.1"));
    let other = Set::Address("other", 60, ip("10.0.0.2"));
    part.set(&[Set::Alias("name", 2, "end"), end.clone(), other.clone()]);
    let second = begin_of_second(part);
    assert_eq!(addresses(&ask(part, "name")), [ip("10.0.0.1")]);
    part.set(&[Set::Alias("name", 2, "other"), end, other]);
    assert_eq!(addresses(&ask(part, "name")), [ip("10.0.0.1")]);
    wait_until(part, second + 4);
    let reply = ask(part, "name");
    assert_eq!(addresses(&reply), [ip("10.0.0.2")]);
    assert_eq!(reply.aliases, [(full("name"), full("other"), 2)]);
    let kept = ask(part, "end").addresses;
    assert!(kept[0].1 <= 57, "{kept:?}");
}

//! The resolver: its cache and its answers.

use super::zone::{AuthorityAnswer, RecordType, State, Zone};
use core::net::IpAddr;
use core::time::Duration;
use phalanx_core::time::{Instant, Wall};
use std::collections::{BTreeMap, BTreeSet};

/// The time that a client waits for an answer from a silent zone: glibc's timeout of one attempt.
pub const TIME_OUT: Duration = Duration::from_secs(5);
/// The time for an answer from the cache, over loopback.
const KEPT: Duration = Duration::from_micros(200);
/// The time that each query to an authority adds: a round trip between two sites.
const ASKED: Duration = Duration::from_millis(20);

/// The code of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The name exists, but may have no address of the type.
    NoError,
    /// SERVFAIL.
    ServerFailure,
    /// NXDOMAIN: the name, or the name that it is an alias of, does not exist.
    NameError,
    /// No answer arrived in time.
    TimedOut,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The code.
    pub code: Code,
    /// The aliases that were followed: name, target, and remaining time to live in seconds.
    pub aliases: Vec<(String, String, u32)>,
    /// The addresses, with their remaining time to live in seconds.
    pub addresses: Vec<(IpAddr, u32)>,
    /// The time from the query to the answer.
    pub took: Duration,
}

/// A cached record set, or its cached absence, with the second of the calendar at which it expires.
#[derive(Clone, Debug)]
struct Kept {
    said: AuthorityAnswer,
    until: u64,
}

/// Maximum number of cache entries; the entry that expires first is evicted.
const KEPT_MAX: usize = 10_000;

/// A caching resolver.
#[derive(Clone, Debug)]
pub struct Resolver {
    zones: Vec<Zone>,
    kept: BTreeMap<(String, RecordType), Kept>,
    /// The calendar time at [`Instant::ZERO`].
    started: Wall,
}

impl Resolver {
    /// A resolver without zones.
    #[must_use]
    pub const fn new(started: Wall) -> Self {
        Self {
            zones: Vec::new(),
            kept: BTreeMap::new(),
            started,
        }
    }

    /// Replaces the zone with the same name, or adds the zone. Cached answers stay until they expire.
    pub fn put_zone(&mut self, zone: Zone) {
        self.zones.retain(|known| known.name != zone.name);
        self.zones.push(zone);
    }

    /// The zone that a name belongs to: the zone with the longest name that contains it.
    #[must_use]
    pub fn zone_of(&self, name: &str) -> Option<&Zone> {
        let name = name.to_ascii_lowercase();
        let zones = self.zones.iter().filter(|zone| zone.holds(&name));
        zones.max_by_key(|zone| zone.name.len())
    }

    /// The zone with a name.
    pub fn zone_mut(&mut self, name: &str) -> Option<&mut Zone> {
        self.zones.iter_mut().find(|zone| zone.name == name)
    }

    /// Forgets all cached answers.
    pub fn flush(&mut self) {
        self.kept.clear();
    }

    /// Answers a query; `number` is the query's identifier.
    pub fn query(&mut self, now: Instant, number: u16, name: &str, kind: RecordType) -> Reply {
        let second = self.started.0 + now.as_millis() / 1_000;
        let mut reply = Reply {
            code: Code::ServerFailure,
            aliases: Vec::new(),
            addresses: Vec::new(),
            took: KEPT,
        };
        let mut name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut passed = BTreeSet::new();
        while passed.insert(name.clone()) {
            let (said, rest) = match self.look_up(second, &name, kind, &mut reply.took) {
                Ok(found) => found,
                Err(code) => {
                    reply.code = code;
                    reply.aliases.clear();
                    return reply;
                }
            };
            match said {
                AuthorityAnswer::Alias(target, _) => {
                    let from = core::mem::replace(&mut name, target.clone());
                    reply.aliases.push((from, target, rest));
                    continue;
                }
                AuthorityAnswer::Addresses(mut addresses, _) => {
                    let turns = (u64::from(number) + second) % addresses.len() as u64;
                    addresses.rotate_left(usize::try_from(turns).unwrap_or(0));
                    reply.addresses = addresses.into_iter().map(|it| (it, rest)).collect();
                    reply.code = Code::NoError;
                }
                AuthorityAnswer::NoData(_) => reply.code = Code::NoError,
                AuthorityAnswer::NoName(_) => reply.code = Code::NameError,
            }
            return reply;
        }
        // The aliases form a cycle.
        reply.aliases.clear();
        reply
    }

    /// The addresses of a name as an application sees them: the IPv4 addresses, then the IPv6 addresses, each in the
    /// resolver's order; and the time that both queries took.
    ///
    /// # Errors
    /// The error is the code of the query that failed, or [`Code::NoError`] for a name without addresses.
    pub fn resolve(
        &mut self,
        now: Instant,
        number: u16,
        name: &str,
    ) -> (Result<Vec<IpAddr>, Code>, Duration) {
        let replies = [
            self.query(now, number, name, RecordType::A),
            self.query(now, number.wrapping_add(1), name, RecordType::Aaaa),
        ];
        // Both queries are sent at the same time.
        let took = replies
            .iter()
            .map(|reply| reply.took)
            .max()
            .unwrap_or_default();
        let found = replies.iter().flat_map(|reply| &reply.addresses);
        let addresses: Vec<IpAddr> = found.map(|(address, _)| *address).collect();
        if !addresses.is_empty() {
            return (Ok(addresses), took);
        }
        let mut codes = replies.iter().map(|reply| reply.code);
        let code = codes.find(|code| *code != Code::NoError);
        (Err(code.unwrap_or(Code::NoError)), took)
    }

    /// The records of a name, from the cache or its zone, with the remaining time to live.
    fn look_up(
        &mut self,
        second: u64,
        name: &str,
        kind: RecordType,
        took: &mut Duration,
    ) -> Result<(AuthorityAnswer, u32), Code> {
        let key = (name.to_owned(), kind);
        if let Some(kept) = self.kept.get(&key).filter(|kept| kept.until >= second) {
            let rest = u32::try_from(kept.until - second).unwrap_or(u32::MAX);
            return Ok((kept.said.clone(), rest));
        }
        *took += ASKED;
        let Some(zone) = self.zone_of(name) else {
            return Ok((AuthorityAnswer::NoName(0), 0));
        };
        match zone.state {
            State::Answers => {}
            State::Fails => return Err(Code::ServerFailure),
            State::Silent => {
                *took = TIME_OUT;
                return Err(Code::TimedOut);
            }
        }
        let said = zone.say(name, kind);
        let (AuthorityAnswer::Alias(_, ttl)
        | AuthorityAnswer::Addresses(_, ttl)
        | AuthorityAnswer::NoData(ttl)
        | AuthorityAnswer::NoName(ttl)) = said;
        self.keep(key, said.clone(), second + u64::from(ttl));
        Ok((said, ttl))
    }

    fn keep(&mut self, key: (String, RecordType), said: AuthorityAnswer, until: u64) {
        if self.kept.len() >= KEPT_MAX
            && let Some(first) = self.kept.iter().min_by_key(|(_, kept)| kept.until)
        {
            let first = first.0.clone();
            self.kept.remove(&first);
        }
        self.kept.insert(key, Kept { said, until });
    }
}

#[cfg(test)]
mod tests {
    use super::super::zone::{RecordData, ResourceRecord};
    use super::*;

    fn resolver(records: &[(&str, u32, RecordData)]) -> Resolver {
        let record = |(name, ttl, data): &(&str, u32, RecordData)| ResourceRecord {
            name: format!("{name}.example.test"),
            ttl: *ttl,
            data: data.clone(),
        };
        let mut resolver = Resolver::new(Wall(0));
        resolver.put_zone(Zone {
            name: "example.test".to_owned(),
            negative_ttl: 2,
            records: records.iter().map(record).collect(),
            state: State::Answers,
        });
        resolver
    }

    fn a(last: u8) -> RecordData {
        RecordData::A([10, 0, 0, last].into())
    }

    #[test]
    fn an_application_sees_both_families_in_the_resolvers_order() {
        let six = RecordData::Aaaa("fd00::1".parse().unwrap());
        let mut resolver = resolver(&[("n", 60, a(1)), ("n", 60, a(2)), ("n", 60, six)]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (found, took) = resolver.resolve(Instant::ZERO, 1, "N.example.test.");
        assert_eq!(
            found,
            Ok(vec![ip("10.0.0.2"), ip("10.0.0.1"), ip("fd00::1")])
        );
        assert_eq!(took, KEPT + ASKED);
        let (again, took) = resolver.resolve(Instant::ZERO, 2, "n.example.test");
        assert_eq!(
            again,
            Ok(vec![ip("10.0.0.1"), ip("10.0.0.2"), ip("fd00::1")])
        );
        assert_eq!(took, KEPT);
        let absent = resolver.resolve(Instant::ZERO, 1, "m.example.test").0;
        assert_eq!(absent, Err(Code::NameError));
    }

    #[test]
    fn a_silent_zone_costs_the_timeout_and_a_cached_answer_does_not() {
        let mut resolver = resolver(&[("n", 1, a(1))]);
        resolver.query(Instant::ZERO, 0, "n.example.test", RecordType::A);
        resolver.zone_mut("example.test").unwrap().state = State::Silent;
        let kept = resolver.query(
            Instant::from_millis(1_999),
            0,
            "n.example.test",
            RecordType::A,
        );
        assert_eq!((kept.code, kept.took), (Code::NoError, KEPT));
        let late = resolver.query(
            Instant::from_millis(2_000),
            0,
            "n.example.test",
            RecordType::A,
        );
        assert_eq!((late.code, late.took), (Code::TimedOut, TIME_OUT));
    }

    #[test]
    fn the_longest_zone_answers() {
        let mut resolver = resolver(&[("n.deep", 60, a(1))]);
        resolver.put_zone(Zone {
            name: "deep.example.test".to_owned(),
            ..Zone::default()
        });
        let reply = resolver.query(Instant::ZERO, 0, "n.deep.example.test", RecordType::A);
        assert_eq!(reply.code, Code::NameError);
        let other = resolver.query(Instant::ZERO, 0, "nodeep.example.test", RecordType::A);
        assert_eq!(other.code, Code::NameError);
    }
}

//! The simulator's fake, driven by a virtual clock.

use super::{BROKEN, NEGATIVE_SECONDS, Reply, ResolverUnderTest, SILENT, Set, ZONE};
use core::time::Duration;
use phalanx_core::time::{Instant, Wall};
use phalanx_sim::fakes::dns::{RecordData, RecordType, Resolver, ResourceRecord, State, Zone};
use std::net::IpAddr;

const STARTED: u64 = 1_795_000_000;

/// The fake.
pub(crate) struct Fake {
    resolver: Resolver,
    now: Instant,
}

impl Default for Fake {
    fn default() -> Self {
        let mut resolver = Resolver::new(Wall(STARTED));
        for (name, state) in [(BROKEN, State::Fails), (SILENT, State::Silent)] {
            resolver.put_zone(Zone {
                name: name.to_owned(),
                state,
                ..Zone::default()
            });
        }
        Self {
            resolver,
            now: Instant::from_millis(10_400),
        }
    }
}

impl ResolverUnderTest for Fake {
    fn set(&mut self, records: &[Set]) {
        let full = |name: &str| {
            if name.ends_with(".test") {
                name.to_owned()
            } else {
                format!("{name}.{ZONE}")
            }
        };
        let record = |set: &Set| match set {
            Set::Address(name, ttl, address) => ResourceRecord {
                name: full(name),
                ttl: *ttl,
                data: match address {
                    IpAddr::V4(address) => RecordData::A(*address),
                    IpAddr::V6(address) => RecordData::Aaaa(*address),
                },
            },
            Set::Alias(name, ttl, target) => ResourceRecord {
                name: full(name),
                ttl: *ttl,
                data: RecordData::Alias(full(target)),
            },
        };
        self.resolver.put_zone(Zone {
            name: ZONE.to_owned(),
            negative_ttl: NEGATIVE_SECONDS,
            records: records.iter().map(record).collect(),
            state: State::Answers,
        });
    }

    fn query(&mut self, number: u16, name: &str, kind: RecordType) -> Reply {
        let reply = self.resolver.query(self.now, number, name, kind);
        self.now += reply.took;
        Reply {
            code: reply.code,
            aliases: reply.aliases,
            addresses: reply.addresses,
        }
    }

    fn pause(&mut self, time: Duration) {
        self.now += time;
    }

    fn second(&self) -> (u64, Duration) {
        let gone = Duration::from_nanos(self.now.as_nanos() % 1_000_000_000);
        (STARTED + self.now.as_millis() / 1_000, gone)
    }
}

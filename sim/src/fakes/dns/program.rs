//! The fake resolver as a program of a simulated host: it answers `Effect::Resolve` of all processes.

use super::resolver::{Code, Resolver};
use super::zone::{RecordData, ResourceRecord, State, Zone};
use crate::world::{
    Answered, Effect, Effects, Process, ProcessEvent, ProcessView, Program, Query, ResolveError,
    Start,
};
use phalanx_core::random::{Random, hash_bytes};
use phalanx_core::time::Instant;
use serde_json::{Value, json};
use std::net::IpAddr;

/// The name of the program.
pub const DNS: &str = "dns";
/// The command that replaces the records of a name: `{ name, addresses, ttl }`. The command changes the zone that
/// contains the name.
pub const SET: &str = "dns-set";
/// The command that makes a zone answer, fail or be silent: `{ zone, state }`.
pub const STATE: &str = "dns-state";

/// The program: a resolver with some zones.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// The zones at the start of each process.
    pub zones: Vec<Zone>,
}

impl Program for Dns {
    fn name(&self) -> &'static str {
        DNS
    }

    fn resolves_names(&self) -> bool {
        true
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        // The process's clock begins at its start.
        let mut resolver = Resolver::new(start.wall);
        for zone in &self.zones {
            resolver.put_zone(zone.clone());
        }
        Box::new(Server {
            resolver,
            random: start.random.child("queries"),
            answered: 0,
        })
    }
}

/// A running resolver.
#[derive(Debug)]
struct Server {
    resolver: Resolver,
    random: Random,
    answered: u64,
}

/// A command of the scenario.
enum Order {
    Set(Zone),
    State(String, State),
}

impl Server {
    /// The result of a command: the zone of a name with other records for the name, or a new state of a zone.
    fn order(&self, name: &str, with: &Value) -> Option<Order> {
        match name {
            SET => {
                let name = with["name"].as_str()?;
                let ttl = u32::try_from(with["ttl"].as_u64()?).ok()?;
                let mut zone = self.resolver.zone_of(name)?.clone();
                zone.records
                    .retain(|record| !record.name.eq_ignore_ascii_case(name));
                for address in with["addresses"].as_array()? {
                    zone.records.push(ResourceRecord {
                        name: name.to_owned(),
                        ttl,
                        data: match address.as_str()?.parse().ok()? {
                            IpAddr::V4(address) => RecordData::A(address),
                            IpAddr::V6(address) => RecordData::Aaaa(address),
                        },
                    });
                }
                Some(Order::Set(zone))
            }
            STATE => {
                let state = match with["state"].as_str()? {
                    "answers" => State::Answers,
                    "fails" => State::Fails,
                    "silent" => State::Silent,
                    _ => return None,
                };
                let zone = with["zone"].as_str()?;
                self.resolver
                    .zone_of(zone)
                    .filter(|known| known.name == zone)?;
                Some(Order::State(zone.to_owned(), state))
            }
            _ => None,
        }
    }
}

impl Server {
    fn answer(&mut self, now: Instant, query: &Query, out: &mut Effects) {
        let number = u16::try_from(self.random.below(1 << 16)).unwrap_or(0);
        let (found, took) = self.resolver.resolve(now, number, &query.name);
        let addresses = match found {
            // The process that queries a silent zone receives no answer.
            Err(Code::TimedOut) => return,
            Err(Code::NameError) => Err(ResolveError::NotFound),
            Err(Code::ServerFailure) => Err(ResolveError::Failed),
            Err(Code::NoError) => Err(ResolveError::NoAddress),
            Ok(addresses) => Ok(addresses),
        };
        self.answered += 1;
        out.push(Effect::Answer(Box::new(Answered {
            number: query.number,
            addresses,
            took,
        })));
    }
}

impl ProcessView for Server {
    fn digest(&self) -> u64 {
        hash_bytes(&self.answered.to_le_bytes())
    }

    fn state(&self) -> Value {
        json!({ "answered": self.answered })
    }
}

impl Process for Server {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        if let ProcessEvent::Command(command) = event {
            return self.order(&command.name, &command.with).is_some();
        }
        matches!(event, ProcessEvent::Start | ProcessEvent::Query(_))
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        if let ProcessEvent::Query(query) = event {
            self.answer(now, &query, out);
        } else if let ProcessEvent::Command(command) = event {
            match self.order(&command.name, &command.with) {
                Some(Order::Set(zone)) => self.resolver.put_zone(zone),
                Some(Order::State(zone, state)) => {
                    if let Some(zone) = self.resolver.zone_mut(&zone) {
                        zone.state = state;
                    }
                }
                None => {}
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

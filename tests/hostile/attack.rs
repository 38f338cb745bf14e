//! The attacks, and their runs by themselves and together.

use crate::RECOVERY;
use crate::calls;
use crate::fleet::Fleet;
use crate::packets::{self, Source};
use crate::revocations;
use crate::rogue::{Rogue, RogueLink};
use crate::table::Row;
use bytes::Bytes;
use phalanx_core::random::Random;
use phalanx_net::wire::proto::ChannelKind;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time;

/// Number of times that strangers connect while nothing reads the log.
const STRANGERS: u32 = 20;
/// Interval of samples of memory.
const SAMPLES: Duration = Duration::from_millis(100);

/// The actions of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Relayed records claim the ids of all daemons at a higher epoch.
    ClaimedIds,
    /// Relayed records raise the epochs of ids to their end.
    BurnedIds,
    /// Packets with hundreds of comparisons of a channel.
    Comparisons,
    /// Map values of 9.5 MB.
    LargeValues,
    /// Messages of 10 MiB in the names of invented origins.
    RetainedMessages,
    /// Messages on invented channels.
    ChannelNames,
    /// Records of members that do not exist.
    InventedMembers,
    /// Map clocks and report versions near their end, in the names of others.
    Counters,
    /// Forty requests of 10 MB, or of 400 KB, without their ends.
    LargeCalls,
    /// A hundred connections that do nothing.
    IdleConnections,
    /// Log lines by strangers, while the reader of the log does not read.
    UnreadLog,
    /// Packets with errors.
    MalformedPackets,
    /// Revocations without a valid signature, by links and in handshakes, and lists of revocations that do not exist.
    Revocations,
}

impl Attack {
    pub(crate) const ALL: [Self; 13] = [
        Self::ClaimedIds,
        Self::BurnedIds,
        Self::Comparisons,
        Self::LargeValues,
        Self::RetainedMessages,
        Self::ChannelNames,
        Self::InventedMembers,
        Self::Counters,
        Self::LargeCalls,
        Self::IdleConnections,
        Self::UnreadLog,
        Self::MalformedPackets,
        Self::Revocations,
    ];

    /// The name in the table and in `PHALANX_HOSTILE_ATTACKS`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ClaimedIds => "claimed-ids",
            Self::BurnedIds => "burned-ids",
            Self::Comparisons => "comparisons",
            Self::LargeValues => "large-values",
            Self::RetainedMessages => "retained-messages",
            Self::ChannelNames => "channel-names",
            Self::InventedMembers => "invented-members",
            Self::Counters => "counters",
            Self::LargeCalls => "large-calls",
            Self::IdleConnections => "idle-connections",
            Self::UnreadLog => "unread-log",
            Self::MalformedPackets => "malformed-packets",
            Self::Revocations => "revocations",
        }
    }

    /// Whether the test fails if the mesh does not resist the attack. The table shows the others too.
    pub(crate) const fn is_resisted(self) -> bool {
        !matches!(self, Self::InventedMembers)
    }
}

/// A course of attacks on one mesh.
pub(crate) struct Run<'a> {
    fleet: &'a Fleet,
    rogue: &'a Rogue,
    /// Number of runs of all attacks so far. Names that attacks invent are unique by it.
    count: u64,
    /// For each attack, the number of its runs whose messages a daemon took.
    delivered: BTreeMap<&'static str, u32>,
}

impl<'a> Run<'a> {
    pub(crate) const fn new(fleet: &'a Fleet, rogue: &'a Rogue) -> Self {
        Self {
            fleet,
            rogue,
            count: 0,
            delivered: BTreeMap::new(),
        }
    }

    /// Repeats one attack for a time, at least `runs` times, and waits until the mesh is whole.
    pub(crate) async fn alone(&mut self, attack: Attack, time: Duration, runs: u32) -> Row {
        self.repeat(attack.name(), &[attack], time, runs).await
    }

    /// Repeats all attacks at one time, each on a daemon of its own.
    pub(crate) async fn together(&mut self, attacks: &[Attack], time: Duration, runs: u32) -> Row {
        self.repeat("together", attacks, time, runs).await
    }

    /// The attacks of which fewer than `runs` runs reached a daemon, with these numbers.
    pub(crate) fn fewer_than(&self, runs: u32) -> Vec<String> {
        let few = self.delivered.iter().filter(|(_, count)| **count < runs);
        few.map(|(name, count)| format!("{name}: {count} runs of {runs} reached a daemon"))
            .collect()
    }

    async fn repeat(&mut self, name: &str, attacks: &[Attack], time: Duration, runs: u32) -> Row {
        let (begun, logged) = (Instant::now(), self.fleet.log_bytes());
        let mut row = Row::event(name, Duration::ZERO);
        let mut reached = vec![0; attacks.len()];
        // A daemon may refuse a run of the same member soon after the one before.
        let tries = 2 * runs;
        while row.runs < runs
            || begun.elapsed() < time
            || row.runs < tries && reached.iter().any(|delivered| *delivered < runs)
        {
            let first = self.count + 1;
            self.count += attacks.len() as u64;
            let numbered = attacks.iter().zip(first..);
            let done = {
                let mut done = pin!(all(numbered
                    .map(|(attack, number)| self.once(*attack, number))
                    .collect()));
                // The memory is sampled until the attacks end.
                let mut watch = pin!(self.watch(&mut row.resident_kib));
                poll_fn(|context| match watch.as_mut().poll(context) {
                    Poll::Ready(never) => match never {},
                    Poll::Pending => done.as_mut().poll(context),
                })
                .await
            };
            row.runs += 1;
            row.delivered += u32::from(done.contains(&true));
            for ((attack, done), reached) in attacks.iter().zip(done).zip(&mut reached) {
                *reached += u32::from(done);
                *self.delivered.entry(attack.name()).or_default() += u32::from(done);
            }
        }
        row.time = begun.elapsed();
        row.whole = self.fleet.recovers(RECOVERY, false).await;
        if attacks.contains(&Attack::ChannelNames)
            && row.whole.is_ok()
            && let Err(why) = self.fleet.publishes(&format!("own-{}", self.count)).await
        {
            row.whole = Err(why);
        }
        self.rogue.drop_idle();
        let after = self.fleet.log_bytes();
        let grown = logged
            .iter()
            .zip(after)
            .map(|(before, after)| after - before);
        row.log_bytes = grown.max().unwrap_or(0);
        row
    }

    /// Raises a value to the highest resident memory of a daemon, without end.
    async fn watch(&self, resident_kib: &mut u64) -> Infallible {
        loop {
            *resident_kib = self.fleet.resident_kib().max(*resident_kib);
            time::sleep(SAMPLES).await;
        }
    }

    /// The daemon that an attack is made on: each attack has its own.
    fn target(&self, attack: Attack) -> SocketAddr {
        let addresses = self.fleet.addresses();
        addresses[attack as usize % addresses.len()]
    }

    /// One run of an attack. Returns whether a daemon took what the attack sent.
    async fn once(&self, attack: Attack, number: u64) -> bool {
        let to = self.target(attack);
        match attack {
            Attack::LargeCalls => {
                let size = if number.is_multiple_of(2) {
                    10_370_000
                } else {
                    400_000
                };
                return calls::large_calls(self.rogue, to, size).await;
            }
            Attack::IdleConnections => return calls::idle_connections(self.rogue, to).await,
            Attack::UnreadLog => return self.unread_log().await,
            Attack::Revocations => return revocations::flood(self.rogue, to, number).await,
            Attack::ClaimedIds
            | Attack::BurnedIds
            | Attack::Comparisons
            | Attack::LargeValues
            | Attack::RetainedMessages
            | Attack::ChannelNames
            | Attack::InventedMembers
            | Attack::Counters
            | Attack::MalformedPackets => {}
        }
        let Some(link) = self.rogue.link(to).await else {
            return false;
        };
        let taken = match attack {
            Attack::ClaimedIds => self.claimed_ids(&link).await,
            Attack::BurnedIds => self.burned_ids(&link).await,
            Attack::Comparisons => comparisons(&link, number).await,
            Attack::LargeValues => large_values(&link, number).await,
            Attack::RetainedMessages => retained_messages(&link, number).await,
            Attack::ChannelNames => channel_names(&link, number).await,
            Attack::InventedMembers => invented_members(&link, number).await,
            Attack::Counters => self.counters(&link, number).await,
            Attack::MalformedPackets => malformed_packets(&link, number).await,
            Attack::LargeCalls
            | Attack::IdleConnections
            | Attack::UnreadLog
            | Attack::Revocations => false,
        };
        link.close().await;
        taken
    }

    /// Two frames: first the ids of all but the neighbour, then the neighbour's.
    async fn claimed_ids(&self, link: &RogueLink) -> bool {
        let neighbour = &self.fleet.ids()[Attack::ClaimedIds as usize];
        let known = link.records(self.fleet.ids().len()).await;
        let mut claims: Vec<_> = known
            .iter()
            .filter(|record| self.fleet.ids().contains(&record.id))
            .map(|known| {
                let mut record = packets::record(&known.id, known.epoch + 1_000);
                record.instance = 9;
                record
            })
            .collect();
        claims.sort_by_key(|claim| claim.id == *neighbour);
        let last = claims.pop();
        let taken = link.frame(packets::records(claims)).await;
        time::sleep(Duration::from_millis(200)).await;
        taken && link.frame(packets::records(last)).await
    }

    async fn burned_ids(&self, link: &RogueLink) -> bool {
        let bound = packets::seconds() << 20;
        let epochs = [1 << 62, (1 << 62) - 1, bound + (1 << 30), bound - 1];
        let ids = self.fleet.ids().iter().rev();
        let burned = ids.zip(epochs).map(|(id, epoch)| {
            let mut record = packets::record(id, epoch);
            record.instance = 9;
            packets::framed(packets::records([record]))
        });
        link.send_all(burned).await
    }

    async fn counters(&self, link: &RogueLink, number: u64) -> bool {
        let ids = self.fleet.ids();
        for (id, clock) in ids
            .iter()
            .zip([1 << 62, (1 << 62) - 1, packets::seconds() << 20])
        {
            let source = Source {
                channel: "configuration".to_owned(),
                kind: ChannelKind::Map,
                origin: id.clone(),
                epoch: 1,
            };
            let write = source.write((number, clock), "leader", Bytes::from_static(b"evil"));
            let report = packets::report(id, packets::seconds(), clock);
            if !link.send_all(write).await || !link.frame(report).await {
                return false;
            }
        }
        true
    }

    /// The reader of one daemon's log stops and its pipe is full, while strangers cause lines and the daemon is asked.
    async fn unread_log(&self) -> bool {
        let (index, to) = (
            Attack::UnreadLog as usize % self.fleet.ids().len(),
            self.target(Attack::UnreadLog),
        );
        self.fleet.lock()[index].read_log(false);
        for _ in 0..STRANGERS {
            // The reader may have been reading when it was stopped, so the pipe is filled again.
            self.fleet.lock()[index].fill_log();
            calls::strangers(to, 6).await;
            time::sleep(Duration::from_millis(50)).await;
        }
        // Lines that strangers cause are limited, so one of the operator waits too.
        self.fleet.lock()[index].reload();
        let answered = self.fleet.recovers(RECOVERY, false).await;
        let full = self.fleet.lock()[index].log_is_full();
        self.fleet.lock()[index].read_log(true);
        full && answered.is_ok()
    }
}

/// Completes all futures.
async fn all<F: Future<Output = bool>>(futures: Vec<F>) -> Vec<bool> {
    let mut open: Vec<_> = futures.into_iter().map(|it| (Box::pin(it), None)).collect();
    poll_fn(|context| {
        for (future, result) in open.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(done) = future.as_mut().poll(context) {
                *result = Some(done);
            }
        }
        match open
            .iter()
            .map(|(_, result)| *result)
            .collect::<Option<Vec<_>>>()
        {
            Some(results) => Poll::Ready(results),
            None => Poll::Pending,
        }
    })
    .await
}

fn map(channel: &str) -> Source {
    Source {
        channel: channel.to_owned(),
        kind: ChannelKind::Map,
        origin: "evil".to_owned(),
        epoch: packets::seconds(),
    }
}

/// Number of keys of the compared map, which hold 8 MB.
const COMPARED: u64 = 512;
/// Number of writes to the map in one run.
const COMPARED_IN_RUN: u64 = 256;

async fn comparisons(link: &RogueLink, number: u64) -> bool {
    let source = map("compared");
    for write in 0..COMPARED_IN_RUN {
        let sequence = number * COMPARED_IN_RUN + write;
        let value = Bytes::from(vec![number as u8; 15_000]);
        let key = (sequence % COMPARED).to_string();
        let write = source.write((sequence, number), &key, value);
        if !link.send_all(write).await {
            return false;
        }
    }
    link.send(packets::comparisons("compared", 300)).await
        && link.send(packets::comparisons("compared", 1_000)).await
}

async fn large_values(link: &RogueLink, number: u64) -> bool {
    let value = Bytes::from(vec![number as u8; 9_500_000]);
    let key = ["a", "b", "c"][number as usize % 3];
    let write = map("large").write((number, number), key, value);
    link.send_all(write).await
}

async fn retained_messages(link: &RogueLink, number: u64) -> bool {
    let source = |origin: u64| Source {
        channel: "chat".to_owned(),
        kind: ChannelKind::Messages,
        origin: format!("ghost-{number}-{origin}"),
        epoch: 1,
    };
    for origin in 0..40 {
        let small = source(origin).message(1, Bytes::from_static(b"x"));
        if !link.send_all(small).await {
            return false;
        }
    }
    let large = Bytes::from(vec![number as u8; 10 * 1024 * 1024 - 1]);
    link.send_all(source(0).message(2, large)).await
}

async fn channel_names(link: &RogueLink, number: u64) -> bool {
    for name in 0..150 {
        let source = Source {
            channel: format!("job-{number}-{name}"),
            kind: ChannelKind::Messages,
            origin: "evil".to_owned(),
            epoch: packets::seconds(),
        };
        let done = source.message(1, Bytes::from_static(b"done"));
        if !link.send_all(done).await {
            return false;
        }
    }
    true
}

async fn invented_members(link: &RogueLink, number: u64) -> bool {
    let frames = (0..16_u64).map(|frame| {
        let ids = (0..400).map(|id| format!("g{number}-{frame}-{id}"));
        packets::framed(packets::records(ids.map(|id| packets::record(&id, 1))))
    });
    link.send_all(frames).await
}

async fn malformed_packets(link: &RogueLink, number: u64) -> bool {
    let mut random = Random::from_seed(number);
    let mut taken = false;
    for _ in 0..60 {
        if !link.raw(packets::malformed(&mut random)).await {
            break;
        }
        taken = true;
    }
    taken
}

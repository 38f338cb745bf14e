//! The watch client: a copy of the watched set that follows the registry through cuts, restarts and resets.
//!
//! [`WatchClient`] is a machine. It connects, opens the watch after the last position that it has, and delivers changes.
//! A snapshot replaces the copy when its end arrives: the client delivers the difference. While it is not connected, the
//! copy stays, and [`WatchClient::age`] says how old it is.
//!
//! ```text
//! idle ──► connecting ──► syncing ──► in sync
//!              ▲  │           │           │
//!              └──┴───────────┴───────────┘   (after a back-off)
//!                     any ──(terminal refusal)──► ended
//! ```
//!
//! Silence ends a connection: the client asks the server for a message at least each third of its idle timeout, and
//! connects again when it has heard nothing for that timeout. A host that has lost power closes no connection.
//!
//! A server that breaks its promises (a position that does not increase, changes amid a snapshot, a snapshot of another
//! size) is disconnected. After a snapshot of another size, the client asks for a new one.

use super::message::{ResetReason, SnapshotEnd, WatchChange, WatchMessage, WatchRefusal};
use super::server::WatchRequest;
use super::token::ResumeToken;
use crate::machine::{Machine, Outbox, Wake};
use crate::random::Random;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::query::ObjectScope;
use crate::time::{Duration, Instant, nanos};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Default of the idle timeout.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Least idle timeout; shorter ones are raised to it.
pub const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Greatest idle timeout; longer ones are lowered to it.
pub const IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// Settings of a watch client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The watched objects.
    pub scope: ObjectScope,
    /// The first back-off after a failure; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// See `retry_min`.
    pub retry_max: Duration,
    /// Bytes that the server may send ahead.
    pub window: usize,
    /// Time without a message after which the client connects again, within [`IDLE_TIMEOUT_MIN`] and
    /// [`IDLE_TIMEOUT_MAX`]. It holds for the attempt to connect as well.
    pub idle_timeout: Duration,
}

impl ClientConfig {
    /// The default settings.
    #[must_use]
    pub const fn new(scope: ObjectScope) -> Self {
        Self {
            scope,
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(15),
            window: 256 * 1024,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

/// An input of the client.
#[derive(Clone, Debug)]
pub enum ClientInput {
    /// The program has started.
    Start,
    /// The connection is made: completes [`ClientOutput::Connect`].
    Connected,
    /// The connection could not be made, or has ended.
    Disconnected,
    /// The registry refused the watch, or has ended it.
    Refused(WatchRefusal),
    /// A message arrived.
    Receive(WatchMessage),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for ClientInput {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// Changes of the copy, applied together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchDelivery {
    /// The changes, at most one of each object for a snapshot.
    pub changes: Vec<WatchChange>,
    /// Whether the changes are the difference of a snapshot.
    pub is_snapshot: bool,
    /// The position after the changes.
    pub token: ResumeToken,
}

/// An order of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Connect to a registry; answer with `Connected` or `Disconnected`.
    Connect,
    /// Open the watch on the connection.
    Open(WatchRequest),
    /// Let the server send more bytes.
    Grant {
        /// The number of bytes.
        bytes: usize,
    },
    /// Close the connection, or give up the attempt to connect. Nothing of it is an input after that.
    Disconnect,
    /// Hand changes to the program.
    Deliver(WatchDelivery),
    /// Report an event.
    Report(ClientEvent),
}

/// A fact about the client's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The copy follows the registry.
    InSync,
    /// The copy has ceased to follow the registry.
    LostSync,
    /// Nothing was heard for the idle timeout.
    TimedOut,
    /// The registry sends a snapshot instead of changes.
    Reset(ResetReason),
    /// The registry broke a promise.
    Violation(&'static str),
    /// The registry refused the watch for good.
    Ended(WatchRefusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Connecting,
    Syncing,
    InSync,
    Waiting { until: Instant },
    Ended,
}

/// A watch client.
#[derive(Debug)]
pub struct WatchClient {
    config: ClientConfig,
    phase: Phase,
    /// The copy.
    objects: BTreeMap<ObjectName, Arc<Object>>,
    /// The snapshot that is being received.
    arriving: Option<BTreeMap<ObjectName, Arc<Object>>>,
    token: Option<ResumeToken>,
    failures: u32,
    /// The time of the last sign of the server, or of the beginning of the attempt to connect.
    heard_at: Instant,
    /// The time until which the copy is known to be current.
    current_at: Option<Instant>,
    /// Bytes that were received and for which no credit was granted yet.
    taken: usize,
    random: Random,
}

impl WatchClient {
    /// A client that has not started. `random` is the stream of its back-off.
    #[must_use]
    pub fn new(config: ClientConfig, random: Random) -> Self {
        let idle_timeout = (config.idle_timeout).clamp(IDLE_TIMEOUT_MIN, IDLE_TIMEOUT_MAX);
        Self {
            config: ClientConfig {
                idle_timeout,
                ..config
            },
            phase: Phase::Idle,
            objects: BTreeMap::new(),
            arriving: None,
            token: None,
            failures: 0,
            heard_at: Instant::ZERO,
            current_at: None,
            taken: 0,
            random,
        }
    }

    /// The copy.
    #[must_use]
    pub const fn objects(&self) -> &BTreeMap<ObjectName, Arc<Object>> {
        &self.objects
    }

    /// Whether a snapshot has arrived, so that there is a copy.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.token.is_some() || self.current_at.is_some()
    }

    /// Whether the copy follows the registry.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        self.phase == Phase::InSync
    }

    /// The time for which the copy may be out of date; zero while it follows the registry. None before the first
    /// snapshot.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let at = self.current_at?;
        Some(if self.is_in_sync() {
            Duration::ZERO
        } else {
            now - at
        })
    }

    /// The last position.
    #[must_use]
    pub const fn token(&self) -> Option<&ResumeToken> {
        self.token.as_ref()
    }

    fn connect(&mut self, now: Instant, out: &mut Outbox<ClientOutput>) {
        self.phase = Phase::Connecting;
        self.heard_at = now;
        out.push(ClientOutput::Connect);
    }

    fn open(&mut self, now: Instant, out: &mut Outbox<ClientOutput>) {
        self.phase = Phase::Syncing;
        self.heard_at = now;
        self.taken = 0;
        out.push(ClientOutput::Open(WatchRequest {
            scope: self.config.scope.clone(),
            resume: self.token.clone(),
            interval: Some(self.config.idle_timeout / 3),
        }));
        let bytes = self.config.window;
        out.push(ClientOutput::Grant { bytes });
    }

    /// Waits before the next attempt: the back-off is between half and all of its bound.
    fn back_off(&mut self, now: Instant, out: &mut Outbox<ClientOutput>) {
        if self.phase == Phase::InSync {
            out.push(ClientOutput::Report(ClientEvent::LostSync));
        }
        self.arriving = None;
        let doubled = self.config.retry_min * 2_u32.pow(self.failures.min(16));
        let bound = doubled.min(self.config.retry_max);
        self.failures += 1;
        let half = Duration::from_nanos(nanos(bound) / 2);
        let until = now + half + self.random.duration_below(half) + Duration::from_nanos(1);
        self.phase = Phase::Waiting { until };
    }

    fn violate(&mut self, now: Instant, what: &'static str, out: &mut Outbox<ClientOutput>) {
        out.push(ClientOutput::Report(ClientEvent::Violation(what)));
        out.push(ClientOutput::Disconnect);
        self.back_off(now, out);
    }

    fn on_message(&mut self, now: Instant, message: WatchMessage, out: &mut Outbox<ClientOutput>) {
        if !matches!(self.phase, Phase::Syncing | Phase::InSync) {
            return;
        }
        self.heard_at = now;
        self.replenish(&message, out);
        match message {
            WatchMessage::Snapshot { objects, end } => self.on_snapshot(now, objects, end, out),
            WatchMessage::Changes { changes, token } => self.on_changes(now, changes, token, out),
            WatchMessage::Bookmark { token } => {
                if self.advance(now, token, true, out) {
                    self.on_current(now, out);
                }
            }
            WatchMessage::Reset { reason } => {
                self.arriving = Some(BTreeMap::new());
                out.push(ClientOutput::Report(ClientEvent::Reset(reason)));
            }
        }
    }

    /// Grants the bytes of the received messages once they are a quarter of the window.
    fn replenish(&mut self, message: &WatchMessage, out: &mut Outbox<ClientOutput>) {
        self.taken += message.weight();
        if self.taken >= self.config.window / 4 {
            let bytes = std::mem::take(&mut self.taken);
            out.push(ClientOutput::Grant { bytes });
        }
    }

    fn on_snapshot(
        &mut self,
        now: Instant,
        objects: Vec<Arc<Object>>,
        end: Option<SnapshotEnd>,
        out: &mut Outbox<ClientOutput>,
    ) {
        let arriving = self.arriving.get_or_insert_default();
        for object in objects {
            arriving.insert(object.name.clone(), object);
        }
        let Some(SnapshotEnd { token, count }) = end else {
            return;
        };
        let arrived = self.arriving.take().unwrap_or_default();
        if arrived.len() as u64 != count {
            self.token = None;
            self.violate(now, "the size of the snapshot", out);
            return;
        }
        let gone = self
            .objects
            .keys()
            .filter(|name| !arrived.contains_key(*name));
        let mut changes: Vec<_> = gone.cloned().map(WatchChange::Removed).collect();
        let is_new = |object: &&Arc<Object>| self.objects.get(&object.name) != Some(*object);
        let new = arrived.values().filter(is_new).cloned();
        changes.extend(new.map(WatchChange::Current));
        self.objects = arrived;
        self.token = Some(token.clone());
        let is_snapshot = true;
        out.push(ClientOutput::Deliver(WatchDelivery {
            changes,
            is_snapshot,
            token,
        }));
        self.on_current(now, out);
    }

    fn on_changes(
        &mut self,
        now: Instant,
        changes: Vec<WatchChange>,
        token: ResumeToken,
        out: &mut Outbox<ClientOutput>,
    ) {
        if !self.advance(now, token.clone(), false, out) {
            return;
        }
        for change in &changes {
            match change {
                WatchChange::Current(object) => {
                    self.objects.insert(object.name.clone(), Arc::clone(object));
                }
                WatchChange::Removed(name) => drop(self.objects.remove(name)),
            }
        }
        let is_snapshot = false;
        out.push(ClientOutput::Deliver(WatchDelivery {
            changes,
            is_snapshot,
            token,
        }));
        self.on_current(now, out);
    }

    /// Takes the next position. Returns false if the server broke a promise.
    fn advance(
        &mut self,
        now: Instant,
        token: ResumeToken,
        may_stay: bool,
        out: &mut Outbox<ClientOutput>,
    ) -> bool {
        let Some(before) = self.token.as_ref().filter(|_| self.arriving.is_none()) else {
            self.violate(now, "changes before the end of a snapshot", out);
            return false;
        };
        let increases = token.is_at_least(before) && (may_stay || token != *before);
        if !increases || token.scope != before.scope {
            self.violate(now, "the order of positions", out);
            return false;
        }
        self.token = Some(token);
        true
    }

    fn on_current(&mut self, now: Instant, out: &mut Outbox<ClientOutput>) {
        self.current_at = Some(now);
        self.failures = 0;
        if self.phase != Phase::InSync {
            self.phase = Phase::InSync;
            out.push(ClientOutput::Report(ClientEvent::InSync));
        }
    }

    fn on_refused(&mut self, now: Instant, refusal: WatchRefusal, out: &mut Outbox<ClientOutput>) {
        out.push(ClientOutput::Disconnect);
        self.back_off(now, out);
        if !refusal.is_temporary() {
            self.phase = Phase::Ended;
            out.push(ClientOutput::Report(ClientEvent::Ended(refusal)));
        }
    }
}

impl Machine for WatchClient {
    type Input = ClientInput;
    type Output = ClientOutput;

    fn step(&mut self, now: Instant, input: ClientInput, out: &mut Outbox<ClientOutput>) {
        match (input, self.phase) {
            (ClientInput::Start, Phase::Idle) => self.connect(now, out),
            (ClientInput::Wake, Phase::Waiting { until }) if until <= now => self.connect(now, out),
            (ClientInput::Wake, Phase::Connecting | Phase::Syncing | Phase::InSync)
                if self.heard_at + self.config.idle_timeout <= now =>
            {
                out.push(ClientOutput::Report(ClientEvent::TimedOut));
                out.push(ClientOutput::Disconnect);
                self.back_off(now, out);
            }
            (ClientInput::Connected, Phase::Connecting) => self.open(now, out),
            (ClientInput::Disconnected, Phase::Connecting | Phase::Syncing | Phase::InSync) => {
                self.back_off(now, out);
            }
            (ClientInput::Refused(refusal), Phase::Syncing | Phase::InSync) => {
                self.on_refused(now, refusal, out);
            }
            (ClientInput::Receive(message), _) => self.on_message(now, message, out),
            (
                ClientInput::Start
                | ClientInput::Wake
                | ClientInput::Connected
                | ClientInput::Disconnected
                | ClientInput::Refused(_),
                _,
            ) => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Connecting | Phase::Syncing | Phase::InSync => {
                Some(self.heard_at + self.config.idle_timeout)
            }
            Phase::Idle | Phase::Ended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::wake_checked;
    use crate::registry::log::LogPosition;
    use crate::registry::object::tests::object;

    fn token(sequence: u64) -> ResumeToken {
        let position = LogPosition {
            sequence,
            ..LogPosition::default()
        };
        let scope = ObjectScope::default().hash();
        ResumeToken::of("eu".parse().unwrap(), position, scope)
    }

    fn order(id: &str, generation: u64) -> Arc<Object> {
        let mut order = object(&format!("//shop/orders/{id}"), [].into());
        order.metadata.generation = generation;
        Arc::new(order)
    }

    fn snapshot(objects: &[Arc<Object>], end: Option<(u64, u64)>) -> ClientInput {
        let end = end.map(|(sequence, count)| SnapshotEnd {
            token: token(sequence),
            count,
        });
        let objects = objects.to_vec();
        ClientInput::Receive(WatchMessage::Snapshot { objects, end })
    }

    fn changes(changes: &[WatchChange], sequence: u64) -> ClientInput {
        ClientInput::Receive(WatchMessage::Changes {
            changes: changes.to_vec(),
            token: token(sequence),
        })
    }

    struct Bench {
        now: Instant,
        client: WatchClient,
    }

    impl Bench {
        /// A client with an open watch and no snapshot.
        fn open() -> Self {
            let config = ClientConfig::new(ObjectScope::default());
            let mut bench = Self {
                now: Instant::from_millis(1),
                client: WatchClient::new(config, Random::from_seed(1)),
            };
            assert_eq!(bench.step(ClientInput::Start), [ClientOutput::Connect]);
            bench.step(ClientInput::Connected);
            bench
        }

        /// A client in sync at 5 with orders `a` and `b`.
        fn in_sync() -> Self {
            let mut bench = Self::open();
            bench.step(snapshot(&[order("a", 1), order("b", 1)], Some((5, 2))));
            assert!(bench.client.is_in_sync());
            bench
        }

        fn step(&mut self, input: ClientInput) -> Vec<ClientOutput> {
            let mut out = Outbox::new();
            self.client.step(self.now, input, &mut out);
            out.drain().collect()
        }

        fn ids(&self) -> String {
            let names = self.client.objects().keys();
            names.map(ObjectName::id).collect::<Vec<_>>().join(",")
        }

        /// Lets the back-off pass; the client must connect then. Returns the orders after the connection.
        fn reconnect(&mut self) -> Vec<ClientOutput> {
            self.now = self.client.next_deadline().unwrap();
            let mut out = Outbox::new();
            wake_checked(&mut self.client, self.now, &mut out);
            assert_eq!(out.as_slice(), [ClientOutput::Connect]);
            self.step(ClientInput::Connected)
        }
    }

    fn violation(outputs: &[ClientOutput]) -> &'static str {
        let reported = outputs.iter().find_map(|output| match output {
            ClientOutput::Report(ClientEvent::Violation(what)) => Some(*what),
            ClientOutput::Report(_)
            | ClientOutput::Connect
            | ClientOutput::Open(_)
            | ClientOutput::Grant { .. }
            | ClientOutput::Disconnect
            | ClientOutput::Deliver(_) => None,
        });
        assert!(outputs.contains(&ClientOutput::Disconnect));
        reported.unwrap()
    }

    /// The position after which the client goes on.
    fn resumed(outputs: &[ClientOutput]) -> Option<ResumeToken> {
        let Some(ClientOutput::Open(request)) = outputs.first() else {
            panic!("the watch is not opened: {outputs:?}");
        };
        request.resume.clone()
    }

    #[test]
    fn a_snapshot_replaces_the_copy_when_its_end_arrives() {
        let mut bench = Bench::open();
        assert_eq!(bench.step(snapshot(&[order("a", 1)], None)), []);
        assert!(!bench.client.is_ready());
        let outputs = bench.step(snapshot(&[order("b", 1)], Some((5, 2))));
        assert_eq!(
            outputs,
            [
                ClientOutput::Deliver(WatchDelivery {
                    changes: [order("a", 1), order("b", 1)]
                        .map(WatchChange::Current)
                        .to_vec(),
                    is_snapshot: true,
                    token: token(5),
                }),
                ClientOutput::Report(ClientEvent::InSync),
            ]
        );
        assert_eq!(bench.client.age(bench.now), Some(Duration::ZERO));
    }

    #[test]
    fn the_snapshot_after_a_reset_is_delivered_as_a_difference() {
        let mut bench = Bench::in_sync();
        let reason = ResetReason::Compacted;
        bench.step(ClientInput::Receive(WatchMessage::Reset { reason }));
        assert_eq!(
            bench.ids(),
            "a,b",
            "the copy stays until the end of the snapshot"
        );
        let objects = [order("b", 2), order("c", 1)];
        let outputs = bench.step(snapshot(&objects, Some((9, 2))));
        let removed = WatchChange::Removed(order("a", 1).name.clone());
        let mut changes = vec![removed];
        changes.extend(objects.map(WatchChange::Current));
        let delivery = WatchDelivery {
            changes,
            is_snapshot: true,
            token: token(9),
        };
        assert_eq!(outputs, [ClientOutput::Deliver(delivery)]);
    }

    #[test]
    fn a_client_resumes_after_its_position_and_keeps_its_copy() {
        let mut bench = Bench::in_sync();
        let removed = WatchChange::Removed(order("a", 1).name.clone());
        bench.step(changes(&[removed], 6));
        let lost = ClientOutput::Report(ClientEvent::LostSync);
        assert_eq!(bench.step(ClientInput::Disconnected), [lost]);
        assert_eq!(bench.ids(), "b");
        let cut_at = bench.now;
        let outputs = bench.reconnect();
        assert_eq!(resumed(&outputs), Some(token(6)));
        assert_eq!(bench.client.age(bench.now), Some(bench.now - cut_at));
        let bookmark = WatchMessage::Bookmark { token: token(6) };
        let outputs = bench.step(ClientInput::Receive(bookmark));
        assert_eq!(outputs, [ClientOutput::Report(ClientEvent::InSync)]);
    }

    #[test]
    fn an_unfinished_snapshot_is_dropped_at_a_cut() {
        let mut bench = Bench::open();
        bench.step(snapshot(&[order("a", 1)], None));
        bench.step(ClientInput::Disconnected);
        bench.reconnect();
        bench.step(snapshot(&[order("b", 1)], Some((5, 1))));
        assert_eq!(bench.ids(), "b");
    }

    #[test]
    fn a_server_that_breaks_a_promise_is_disconnected() {
        let mut bench = Bench::in_sync();
        let current = [WatchChange::Current(order("c", 1))];
        assert_eq!(
            violation(&bench.step(changes(&current, 5))),
            "the order of positions"
        );
        assert_eq!(bench.ids(), "a,b", "the change is not applied");
        bench.reconnect();
        bench.step(changes(&current, 6));
        assert_eq!(bench.ids(), "a,b,c");
        let reason = ResetReason::Compacted;
        bench.step(ClientInput::Receive(WatchMessage::Reset { reason }));
        let outputs = bench.step(changes(&current, 7));
        assert_eq!(violation(&outputs), "changes before the end of a snapshot");
    }

    #[test]
    fn a_snapshot_of_another_size_is_asked_for_again() {
        let mut bench = Bench::in_sync();
        let reason = ResetReason::Compacted;
        bench.step(ClientInput::Receive(WatchMessage::Reset { reason }));
        let outputs = bench.step(snapshot(&[order("a", 1)], Some((9, 2))));
        assert_eq!(violation(&outputs), "the size of the snapshot");
        assert_eq!(bench.ids(), "a,b");
        let outputs = bench.reconnect();
        assert_eq!(resumed(&outputs), None);
    }

    #[test]
    fn the_back_off_grows_to_its_bound_and_ends_with_success() {
        let mut bench = Bench::open();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            bench.step(ClientInput::Disconnected);
            pauses.push(bench.client.next_deadline().unwrap() - bench.now);
            bench.reconnect();
        }
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(15));
        assert!(pauses[0] <= min + Duration::from_nanos(1) && pauses[0] >= min / 2);
        assert!(pauses[11] >= max / 2 && pauses[11] <= max + Duration::from_nanos(1));
        bench.step(snapshot(&[], Some((1, 0))));
        bench.step(ClientInput::Disconnected);
        assert!(bench.client.next_deadline().unwrap() - bench.now <= min + Duration::from_nanos(1));
    }

    #[test]
    fn a_refusal_for_good_is_not_retried() {
        let mut bench = Bench::open();
        bench.step(ClientInput::Refused(WatchRefusal::TooMany));
        bench.reconnect();
        let outputs = bench.step(ClientInput::Refused(WatchRefusal::OtherRegion));
        let ended = ClientEvent::Ended(WatchRefusal::OtherRegion);
        assert_eq!(
            outputs,
            [ClientOutput::Disconnect, ClientOutput::Report(ended)]
        );
        assert_eq!(bench.client.next_deadline(), None);
    }

    #[test]
    fn a_silent_connection_is_left_after_the_idle_timeout_and_the_watch_resumes() {
        let mut bench = Bench::in_sync();
        let timed_out = [
            ClientOutput::Report(ClientEvent::TimedOut),
            ClientOutput::Disconnect,
            ClientOutput::Report(ClientEvent::LostSync),
        ];
        bench.now += IDLE_TIMEOUT / 2;
        let bookmark = WatchMessage::Bookmark { token: token(5) };
        bench.step(ClientInput::Receive(bookmark));
        let heard_at = bench.now;
        assert_eq!(bench.client.next_deadline(), Some(heard_at + IDLE_TIMEOUT));
        bench.now = heard_at + (IDLE_TIMEOUT - Duration::from_nanos(1));
        assert_eq!(bench.step(ClientInput::Wake), []);
        bench.now = heard_at + IDLE_TIMEOUT;
        assert_eq!(bench.step(ClientInput::Wake), timed_out);
        let age = bench.client.age(bench.now);
        assert_eq!(
            age,
            Some(IDLE_TIMEOUT),
            "the copy was current at the bookmark"
        );
        assert_eq!(resumed(&bench.reconnect()), Some(token(5)));
    }

    #[test]
    fn an_attempt_to_connect_and_a_snapshot_that_stops_time_out() {
        let mut bench = Bench::open();
        bench.step(ClientInput::Disconnected);
        bench.now = bench.client.next_deadline().unwrap();
        assert_eq!(bench.step(ClientInput::Wake), [ClientOutput::Connect]);
        let timed_out = [
            ClientOutput::Report(ClientEvent::TimedOut),
            ClientOutput::Disconnect,
        ];
        bench.now += IDLE_TIMEOUT;
        assert_eq!(bench.step(ClientInput::Wake), timed_out);
        bench.reconnect();
        bench.now += IDLE_TIMEOUT / 2;
        bench.step(snapshot(&[order("a", 1)], None));
        bench.now += IDLE_TIMEOUT / 2;
        assert_eq!(bench.step(ClientInput::Wake), []);
        bench.now += IDLE_TIMEOUT / 2;
        assert_eq!(bench.step(ClientInput::Wake), timed_out);
    }

    #[test]
    fn the_idle_timeout_has_bounds_and_the_server_is_asked_for_three_messages_in_it() {
        let cases = [
            (IDLE_TIMEOUT_MIN / 2, IDLE_TIMEOUT_MIN),
            (IDLE_TIMEOUT, IDLE_TIMEOUT),
            (IDLE_TIMEOUT_MAX * 2, IDLE_TIMEOUT_MAX),
        ];
        for (idle_timeout, kept) in cases {
            let config = ClientConfig {
                idle_timeout,
                ..ClientConfig::new(ObjectScope::default())
            };
            let mut client = WatchClient::new(config, Random::from_seed(1));
            let mut out = Outbox::new();
            client.step(Instant::ZERO, ClientInput::Start, &mut out);
            out.drain();
            assert_eq!(client.next_deadline(), Some(Instant::ZERO + kept));
            client.step(Instant::ZERO, ClientInput::Connected, &mut out);
            let Some(ClientOutput::Open(request)) = out.drain().next() else {
                panic!("the watch is not opened");
            };
            assert_eq!(request.interval, Some(kept / 3));
        }
    }

    #[test]
    fn a_watch_that_the_registry_ends_is_opened_again() {
        let mut bench = Bench::in_sync();
        let outputs = bench.step(ClientInput::Refused(WatchRefusal::Opening));
        let lost = ClientOutput::Report(ClientEvent::LostSync);
        assert_eq!(outputs, [ClientOutput::Disconnect, lost]);
        assert_eq!(resumed(&bench.reconnect()), Some(token(5)));
    }

    #[test]
    fn credit_is_granted_again_as_messages_arrive() {
        let mut bench = Bench::in_sync();
        let quarter = ClientConfig::new(ObjectScope::default()).window / 4;
        let (mut granted, mut received, mut sequence) = (0, 0, 6);
        while granted == 0 {
            let message = WatchMessage::Changes {
                changes: vec![WatchChange::Current(order("a", sequence))],
                token: token(sequence),
            };
            received += message.weight();
            for output in bench.step(ClientInput::Receive(message)) {
                if let ClientOutput::Grant { bytes } = output {
                    granted += bytes;
                }
            }
            sequence += 1;
        }
        assert!(granted >= quarter && granted >= received);
    }
}

//! The frames sent on each link, and the times of sending: an idle link sends at once, and a link that has just sent
//! collects output for `coalesce`.
//!
//! Each flush sends one message of at most `FRAME_BYTES_MAX` bytes; further output follows in the next. Control data is
//! sent before values, and broadcasts before reconciliation. Waiting values are stored by key and looked up when a
//! frame is built, so a value that is replaced while it waits is never sent.

mod filler;

use super::context::Context;
use super::interface::Output;
use super::links::{Link, Links};
use super::members::Members;
use super::message::{Frame, Gone, Message, Sync};
use super::timer::Timer;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::pacing::{Demand, Pace, Pacer, Pending, next_batch};
use crate::plumtree::TreeControl;
use crate::size::{Encoded, held};
use crate::sorted::{SortedMap, SortedSet};
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use crate::topology::publication::{Key, PublicationId};
use filler::Filler;
use std::collections::BTreeSet;

/// Maximum number of reconciliation steps handled from one message, and waiting on one link.
pub(super) const SYNCS_MAX: usize = 4;

/// The position of a snapshot in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    /// The last id sent.
    after: Option<NodeId>,
    /// Whether the receiver is to send its own snapshot in return.
    reply: bool,
}

/// Reports that wait to be sent together with other reports, or for the next frame.
#[derive(Clone, Debug, PartialEq)]
struct Reports {
    /// The reporters.
    waiting: SortedSet<MemberIndex>,
    /// The latest time at which the reports are sent.
    due: Option<Instant>,
}

impl Reports {
    const fn new() -> Self {
        Self {
            waiting: SortedSet::new(),
            due: None,
        }
    }

    fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.waiting.is_empty())
    }

    fn reset_deadline_if_empty(&mut self) {
        if self.waiting.is_empty() {
            self.due = None;
        }
    }
}

/// Output waiting on one link.
#[derive(Clone, Debug, PartialEq)]
struct Outgoing {
    pacer: Pacer,
    /// Whether a frame is sent even if the frame is empty.
    heartbeat: bool,
    /// Whether the hash of the view is sent.
    hash: bool,
    /// Whether the neighbour is told that this node had forgotten it, and for how long it was gone.
    forgotten: Option<Duration>,
    /// Messages of the broadcast tree.
    tree: TreeControl<Key, PublicationId>,
    updates: SortedSet<Key>,
    reports: Reports,
    reconciliation: Reconciliation,
}

/// Anti-entropy messages waiting on one link.
#[derive(Clone, Debug, PartialEq)]
struct Reconciliation {
    /// Updates that the neighbour lacks.
    push: BTreeSet<Key>,
    steps: Vec<Sync>,
    snapshot: Option<Cursor>,
}

impl Outgoing {
    const fn new() -> Self {
        Self {
            pacer: Pacer::new(),
            heartbeat: false,
            hash: false,
            forgotten: None,
            tree: TreeControl::new(),
            updates: SortedSet::new(),
            reports: Reports::new(),
            reconciliation: Reconciliation {
                push: BTreeSet::new(),
                steps: Vec::new(),
                snapshot: None,
            },
        }
    }

    /// Whether output waits, and whether this output is urgent or waits for more output until a due time.
    fn demand(&self) -> Demand {
        let (announcements, reports) = (self.tree.announcements_due(), self.reports.due());
        Demand {
            urgent: self.heartbeat
                || self.hash
                || self.forgotten.is_some()
                || self.tree.is_urgent()
                || !self.updates.is_empty()
                || !self.reconciliation.push.is_empty()
                || !self.reconciliation.steps.is_empty()
                || self.reconciliation.snapshot.is_some(),
            due: announcements.into_iter().chain(reports).min(),
        }
    }
}

/// The form in which a broadcast value is sent on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushMode {
    /// Not sent.
    None,
    /// Sent as a value.
    Eager,
    /// Announced by name.
    Lazy,
}

/// The times at which a broadcast value is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BroadcastSchedule {
    /// The latest time at which a report is sent, together with other reports. A record is sent at once.
    pub(super) report_due: Instant,
    /// The latest time at which a name is sent.
    pub(super) name_due: Instant,
    /// Maximum number of names waiting on one link.
    pub(super) names_max: usize,
}

/// Pending output of all links of a node, in the order of [`Links`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FrameBuilder {
    links: SortedMap<LinkId, Outgoing>,
    /// Links that may have output.
    pending: Pending<LinkId>,
}

/// Queueing.
impl FrameBuilder {
    pub(super) fn on_open(&mut self, link: LinkId) {
        self.links.insert(link, Outgoing::new());
    }

    pub(super) fn on_closed(&mut self, context: &mut Context, link: LinkId) {
        context.timers.cancel(&Timer::Flush(link));
        self.links.remove(&link);
    }

    /// The flush timer of a link fired.
    pub(super) fn on_due(&mut self, link: LinkId) {
        self.pending.mark(link);
    }

    fn queue(&mut self, link: LinkId, change: impl FnOnce(&mut Outgoing)) {
        if let Some(outgoing) = self.links.get_mut(&link) {
            change(outgoing);
            self.pending.mark(link);
        }
    }

    /// Queues a heartbeat, with or without the hash of the view.
    pub(super) fn heartbeat(&mut self, link: LinkId, hash: bool) {
        self.queue(link, |outgoing| {
            outgoing.heartbeat = true;
            outgoing.hash |= hash;
        });
    }

    /// Queues the hash of the view.
    pub(super) fn hash(&mut self, link: LinkId) {
        self.queue(link, |outgoing| outgoing.hash = true);
    }

    /// Queues the statement that this node had forgotten the neighbour, which was gone for `age`.
    pub(super) fn forgotten(&mut self, link: LinkId, age: Duration) {
        self.queue(link, |outgoing| outgoing.forgotten = Some(age));
    }

    /// Queues a request that the neighbour announce updates instead of sending them.
    pub(super) fn prune(&mut self, link: LinkId) {
        self.queue(link, |outgoing| outgoing.tree.prune());
    }

    /// Queues a request for an update that the neighbour announced.
    pub(super) fn graft(&mut self, link: LinkId, id: PublicationId) {
        self.queue(link, |outgoing| outgoing.tree.graft(id));
    }

    /// Queues an update that the neighbour requested.
    pub(super) fn update(&mut self, link: LinkId, key: Key) {
        self.queue(link, |outgoing| {
            outgoing.updates.insert(key);
        });
    }

    /// Queues an update to one neighbour without broadcasting it.
    pub(super) fn push(&mut self, link: LinkId, key: Key) {
        if let Some(outgoing) = self.links.get_mut(&link)
            && !outgoing.updates.contains(&key)
        {
            outgoing.reconciliation.push.insert(key);
            self.pending.mark(link);
        }
    }

    /// Queues a step of a reconciliation.
    pub(super) fn sync(&mut self, link: LinkId, step: Sync) {
        self.queue(link, |outgoing| outgoing.reconciliation.steps.push(step));
    }

    /// Whether [`SYNCS_MAX`] steps of reconciliation wait on a link. The neighbour's requests are then not answered.
    pub(super) fn is_syncing(&self, link: LinkId) -> bool {
        let outgoing = self.links.get(&link);
        outgoing.is_some_and(|outgoing| outgoing.reconciliation.steps.len() >= SYNCS_MAX)
    }

    /// Queues a snapshot of the whole view. A snapshot in progress does not start again.
    pub(super) fn snapshot(&mut self, link: LinkId, reply: bool) {
        self.queue(link, |outgoing| {
            let cursor = outgoing.reconciliation.snapshot.get_or_insert(Cursor {
                after: None,
                reply: false,
            });
            cursor.reply |= reply;
        });
    }

    /// Queues a broadcast. `modes` holds the push mode of each link, in the order of the links. A link with too many
    /// names to announce drops all of the names, and is passed to `overflow`.
    pub(super) fn broadcast(
        &mut self,
        key: Key,
        schedule: BroadcastSchedule,
        modes: impl Iterator<Item = (LinkId, PushMode)>,
        mut overflow: impl FnMut(LinkId),
    ) {
        for ((link, outgoing), (id, mode)) in self.links.iter_mut().zip(modes) {
            debug_assert_eq!(*link, id, "the links are in another order");
            match mode {
                PushMode::None => continue,
                PushMode::Eager => {
                    outgoing.tree.withdraw(&key);
                    if let Key::EdgeReport(member) = key {
                        outgoing.reports.waiting.insert(member);
                        let due = outgoing.reports.due.get_or_insert(schedule.report_due);
                        *due = schedule.report_due.min(*due);
                    } else {
                        outgoing.updates.insert(key);
                    }
                }
                PushMode::Lazy => {
                    let (due, max) = (schedule.name_due, schedule.names_max);
                    if !outgoing.tree.announce(key, due, max) {
                        outgoing.tree.clear_announcements();
                        overflow(id);
                    }
                }
            }
            self.pending.mark(id);
        }
    }

    /// A neighbour is known to hold an update: the update is neither sent nor announced to it.
    pub(super) fn on_held_there(&mut self, link: LinkId, key: Key) {
        if let Some(outgoing) = self.links.get_mut(&link) {
            outgoing.tree.withdraw(&key);
            outgoing.updates.remove(&key);
            if let Key::EdgeReport(member) = key {
                outgoing.reports.waiting.remove(&member);
            }
        }
    }

    /// A neighbour announced an update: the update is not announced to it.
    pub(super) fn on_announced_there(&mut self, link: LinkId, key: Key) {
        if let Some(outgoing) = self.links.get_mut(&link) {
            outgoing.tree.withdraw(&key);
        }
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let waiting = self.links.values().map(|outgoing| {
            let keys = outgoing.updates.len() + outgoing.reconciliation.push.len();
            held::<Key>(keys)
                + outgoing.tree.memory()
                + held::<MemberIndex>(outgoing.reports.waiting.len())
        });
        held::<(LinkId, Outgoing)>(self.links.len())
            + waiting.sum::<usize>()
            + held::<LinkId>(self.pending.len())
    }
}

/// Sending.
impl FrameBuilder {
    /// Sends the due output of each open link. The links on which the hash of the view is sent are passed to `on_hash`.
    pub(super) fn flush(
        &mut self,
        context: &mut Context,
        links: &Links,
        members: &Members,
        mut on_hash: impl FnMut(&Context, LinkId),
    ) {
        if self.pending.is_empty() {
            return;
        }
        let pending = self.pending.take();
        for link in &pending {
            let Some(outgoing) = self.links.get_mut(link) else {
                continue;
            };
            let (demand, coalesce) = (outgoing.demand(), context.tuning().coalesce);
            if demand == Demand::default() || !links.is_open(*link) {
                continue;
            }
            let Some(peer) = links.get(*link).map(Link::peer) else {
                continue;
            };
            match outgoing.pacer.decide(context.now, demand, coalesce) {
                Pace::Idle => {}
                Pace::Wait(at) => context.timers.set_earlier(Timer::Flush(*link), at),
                Pace::Send => {
                    if outgoing.send(context, members, (*link, peer)) {
                        on_hash(context, *link);
                    }
                }
            }
        }
        self.pending.reset(pending);
    }

    /// Sends all output on every open link, as the last message.
    pub(super) fn flush_now(
        &mut self,
        context: &mut Context,
        links: &Links,
        members: &Members,
        mut on_hash: impl FnMut(&Context, LinkId),
    ) {
        for (link, outgoing) in self.links.iter_mut() {
            if links.is_open(*link)
                && outgoing.demand() != Demand::default()
                && let Some(peer) = links.get(*link).map(Link::peer)
                && outgoing.send(context, members, (*link, peer))
            {
                on_hash(context, *link);
            }
        }
    }
}

impl Outgoing {
    /// Sends one frame. Returns whether the frame carries the hash of the view.
    fn send(
        &mut self,
        context: &mut Context,
        members: &Members,
        (link, peer): (LinkId, &NodeId),
    ) -> bool {
        let frame = self.fill(Filler::new(context, members), peer);
        let hash = frame.hash.is_some();
        self.pacer.note_sent(context.now);
        match next_batch(context.now, self.demand(), context.tuning().coalesce) {
            Some(at) => context.timers.set(Timer::Flush(link), at),
            None => context.timers.cancel(&Timer::Flush(link)),
        }
        context.out.push(Output::Send {
            link,
            message: Message::Frame(frame),
        });
        hash
    }

    /// Builds a frame from the due output, as far as the output fits.
    fn fill(&mut self, mut filler: Filler<'_>, peer: &NodeId) -> Frame {
        let mut frame = Frame::default();
        if core::mem::take(&mut self.hash) {
            frame.hash = Some(filler.context().topology.hash());
        }
        frame.prune = self.tree.take_prune();
        self.heartbeat = false;
        if let Some(age) = self.forgotten.take() {
            let gone = Gone {
                id: peer.clone(),
                age,
            };
            filler.take(gone.encoded_len());
            frame.gone.push(gone);
        }
        self.tree.drain_grafts(|id| {
            if !filler.take(id.encoded_len()) {
                return Err(id);
            }
            frame.graft.push(id);
            Ok(())
        });
        self.tree.drain_announcements(filler.context().now, |key| {
            let Some(name) = filler.name_of(key) else {
                return Ok(());
            };
            if !filler.take(name.encoded_len()) {
                return Err(key);
            }
            frame.have.push(name);
            Ok(())
        });
        while let Some(key) = self.updates.pop_first() {
            if !filler.put(key, &mut frame.records, &mut frame.reports) {
                self.updates.insert(key);
                break;
            }
        }
        let reports = &mut self.reports;
        while let Some(member) = reports.waiting.pop_first() {
            if !filler.put(
                Key::EdgeReport(member),
                &mut frame.records,
                &mut frame.reports,
            ) {
                reports.waiting.insert(member);
                break;
            }
        }
        reports.reset_deadline_if_empty();
        self.reconciliation.fill(&mut filler, &mut frame);
        frame
    }
}

impl Reconciliation {
    fn fill(&mut self, filler: &mut Filler<'_>, frame: &mut Frame) {
        while let Some(step) = self.steps.first() {
            if !filler.take(step.encoded_len()) {
                return;
            }
            frame.sync.push(self.steps.remove(0));
        }
        if !self.push.is_empty() {
            self.fill_push(filler, frame);
        }
        if let Some(cursor) = &mut self.snapshot
            && cursor.fill(filler, frame)
        {
            self.snapshot = None;
        }
    }

    fn fill_push(&mut self, filler: &mut Filler<'_>, frame: &mut Frame) {
        // The chunk's own tag and length.
        filler.keep(8);
        let (mut records, mut reports) = (Vec::new(), Vec::new());
        while let Some(key) = self.push.pop_first() {
            let fits = match key {
                Key::EdgeReport(_) => filler.put(key, &mut records, &mut reports),
                Key::Record(member) => filler.put_known(member, &mut records, &mut frame.gone),
            };
            if !fits {
                self.push.insert(key);
                break;
            }
        }
        if !records.is_empty() || !reports.is_empty() {
            frame.sync.push(Sync::Push { records, reports });
        }
    }
}

impl Cursor {
    /// Adds the next chunk of a snapshot to a frame. Returns whether the chunk is the last one.
    fn fill(&mut self, filler: &mut Filler<'_>, frame: &mut Frame) -> bool {
        filler.keep(16);
        let (mut records, mut reports) = (Vec::new(), Vec::new());
        let mut last = true;
        let context = filler.context();
        for member in context.topology.indices_after(self.after.as_ref()) {
            if !filler.put_known(member, &mut records, &mut frame.gone)
                || !filler.put(Key::EdgeReport(member), &mut records, &mut reports)
            {
                last = false;
                break;
            }
            self.after = context.id_of(member);
        }
        if last || !records.is_empty() || !reports.is_empty() {
            let reply = self.reply;
            frame.sync.push(Sync::Snapshot {
                records,
                reports,
                last,
                reply,
            });
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, id, learn};

    const LINK: LinkId = LinkId(1);

    struct Bench {
        context: Context,
        links: Links,
        members: Members,
        frames: FrameBuilder,
    }

    impl Bench {
        fn new() -> Self {
            let mut context = context();
            let member = learn(&mut context, 1);
            let (mut links, mut frames) = (Links::default(), FrameBuilder::default());
            links.insert(LINK, Link::new(id(1), member, true, 1, 1, context.now));
            frames.on_open(LINK);
            Self {
                members: Members::new(context.now),
                context,
                links,
                frames,
            }
        }

        /// The frames that are due.
        fn flush(&mut self) -> Vec<Frame> {
            let Self {
                context,
                links,
                members,
                frames,
            } = self;
            frames.flush(context, links, members, |_, _| {});
            let sent = self.context.out.drain().filter_map(|output| match output {
                Output::Send {
                    message: Message::Frame(frame),
                    ..
                } => Some(frame),
                Output::Dial { .. }
                | Output::CancelDial { .. }
                | Output::Resolve { .. }
                | Output::Send { .. }
                | Output::Close { .. }
                | Output::Store { .. }
                | Output::KeepAddresses { .. }
                | Output::LinkOpened { .. }
                | Output::Left
                | Output::Report(_) => None,
            });
            sent.collect()
        }

        fn broadcast(&mut self, key: Key, mode: PushMode) {
            let schedule = BroadcastSchedule {
                report_due: self.context.after(Duration::from_millis(8)),
                name_due: self.context.after(Duration::from_millis(5)),
                names_max: 2,
            };
            let modes = [(LINK, mode)].into_iter();
            self.frames.broadcast(key, schedule, modes, |_| {});
        }
    }

    #[test]
    fn an_idle_link_sends_at_once_and_then_gathers() {
        let mut bench = Bench::new();
        bench.frames.heartbeat(LINK, true);
        let sent = bench.flush();
        assert_eq!(sent[0].hash, Some(bench.context.topology.hash()));
        bench.frames.heartbeat(LINK, false);
        assert_eq!(bench.flush(), []);
        let at = bench.context.after(bench.context.tuning().coalesce);
        assert_eq!(bench.context.timers.next(), Some(at));
        bench.context.now = at;
        bench.frames.on_due(LINK);
        assert_eq!(bench.flush(), [Frame::default()]);
    }

    #[test]
    fn a_value_is_looked_up_when_it_changes_and_a_name_waits_for_others() {
        let mut bench = Bench::new();
        let member = learn(&mut bench.context, 2);
        bench.broadcast(Key::Record(member), PushMode::Lazy);
        assert_eq!(bench.flush(), []);
        bench.context.now = bench.context.timers.next().unwrap();
        bench.frames.on_due(LINK);
        assert_eq!(bench.flush()[0].have[0].origin, id(2));
        bench.broadcast(Key::Record(member), PushMode::Eager);
        bench.frames.on_held_there(LINK, Key::Record(member));
        assert_eq!(bench.flush(), [], "the neighbour holds it");
    }

    #[test]
    fn too_many_names_are_dropped_and_reported() {
        let mut bench = Bench::new();
        let schedule = BroadcastSchedule {
            report_due: bench.context.now,
            name_due: bench.context.now,
            names_max: 2,
        };
        let mut dropped = Vec::new();
        for member in 1..=3 {
            let modes = [(LINK, PushMode::Lazy)].into_iter();
            let key = Key::Record(member);
            bench
                .frames
                .broadcast(key, schedule, modes, |link| dropped.push(link));
        }
        assert_eq!(dropped, [LINK]);
        assert_eq!(bench.flush(), []);
    }

    #[test]
    fn a_snapshot_goes_in_chunks_that_fit_and_a_broken_link_sends_nothing() {
        let mut bench = Bench::new();
        for index in 2..2_000 {
            learn(&mut bench.context, index);
        }
        bench.frames.snapshot(LINK, false);
        let (mut records, mut chunks) = (0, 0);
        loop {
            let frame = bench.flush().remove(0);
            assert!(frame.encoded_len() <= crate::size::FRAME_BYTES_MAX);
            let Sync::Snapshot {
                records: some,
                last,
                ..
            } = &frame.sync[0]
            else {
                panic!("it is a snapshot");
            };
            (records, chunks) = (records + some.len(), chunks + 1);
            if *last {
                break;
            }
            bench.context.now = bench.context.timers.next().unwrap();
            bench.frames.on_due(LINK);
        }
        assert!(
            records == 2_000 && chunks > 1,
            "{records} in {chunks} chunks"
        );
        bench.links.set_broken(LINK);
        bench.frames.heartbeat(LINK, false);
        bench.context.now += Duration::from_secs(1);
        assert_eq!(bench.flush(), []);
    }
}

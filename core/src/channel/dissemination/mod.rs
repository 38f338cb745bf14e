//! Broadcasts along one Plumtree for all channels: those that this node published, those kept for neighbours, and those
//! that this node misses.
//!
//! Every link starts eager. The second copy of a broadcast prunes the link that delivered it. An announced broadcast
//! that does not arrive is requested from its announcers in turn. The loss of a link of the tree makes every lively
//! link eager, so that the next broadcast forms a new tree. Prunes, announcements and graft requests wait in each
//! `LinkQueue`.
//!
//! Bounds: those of [`Recent`] and of [`Tree`].

mod recent;

use super::context::{Context, Timer};
use super::message::{Body, ChannelName, Update, UpdateId};
use crate::link::LinkId;
use crate::plumtree::{Announced, Tree};
use crate::sabotage::Switch;
use recent::Recent;
pub use recent::{RECENT_BYTES_MAX, RECENT_MAX};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The next step for a missing broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RepairRequest {
    /// Request it on this link.
    Graft(LinkId),
    /// No announcer is left; the broadcast is left to reconciliation.
    GiveUp,
    /// The broadcast is not missing.
    Nothing,
}

/// The broadcasts that this node published, keeps and misses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dissemination {
    /// The number of this node's broadcasts on each channel.
    published: BTreeMap<ChannelName, u64>,
    /// The life under which this node broadcasts, if it is above the life of the start: another node used a higher one
    /// in this node's name.
    raised_life: u64,
    recent: Recent,
    tree: Tree<UpdateId, (), LinkId>,
}

impl Dissemination {
    /// A link opened, which belongs to the tree from now on.
    pub(super) fn on_open(&mut self, link: LinkId) {
        self.tree.on_open(link, true);
    }

    /// A link closed. Returns whether the link belonged to the tree.
    pub(super) fn on_closed(&mut self, link: LinkId) -> bool {
        self.tree.on_closed(link)
    }

    /// Whether a link belongs to the tree.
    pub(super) fn is_eager(&self, link: LinkId) -> bool {
        self.tree.is_eager(link)
    }

    /// Adds a link to the tree, because the link delivered the first copy of a broadcast or the neighbour sent a graft.
    pub(super) fn make_eager(&mut self, link: LinkId) {
        self.tree.make_eager(link);
    }

    /// Takes a link out of the tree, because the link delivered a duplicate or the neighbour sent a prune.
    pub(super) fn make_lazy(&mut self, link: LinkId) {
        self.tree.make_lazy(link);
    }

    /// A link of the tree is lost: the next broadcast floods over all lively links.
    pub(super) fn flood(&mut self, is_lively: impl Fn(LinkId) -> bool) {
        self.tree.flood(is_lively);
    }

    /// Creates the next broadcast of this node on a channel.
    pub(super) fn publish(
        &mut self,
        context: &Context,
        channel: &ChannelName,
        body: Body,
        payload: Arc<[u8]>,
    ) -> Arc<Update> {
        let epoch = self.life(context);
        let sequence = self.published.entry(channel.clone()).or_default();
        *sequence += 1;
        let id = UpdateId {
            channel: channel.clone(),
            origin: context.config.id.clone(),
            epoch,
            sequence: *sequence,
        };
        Arc::new(Update { id, body, payload })
    }

    /// Whether this start of the node published a broadcast with this name. All names of a life that the node gave up
    /// count as published.
    pub(super) fn is_own(&self, context: &Context, id: &UpdateId) -> bool {
        if id.origin != *context.me() {
            return false;
        }
        let life = self.life(context);
        let published = self.published.get(&id.channel).copied();
        let current = id.epoch == life && id.sequence <= published.unwrap_or(0);
        current || id.epoch == context.config.life && life != id.epoch
    }

    /// The life under which this node broadcasts.
    pub(super) fn life(&self, context: &Context) -> u64 {
        context.config.life.max(self.raised_life)
    }

    /// A broadcast with this node's id arrived that the node did not publish: it is forged, or of an earlier start.
    /// Members prefer the highest numbers of an origin, so this node's next numbers are higher.
    pub(super) fn exceed(&mut self, context: &Context, id: &UpdateId) {
        let life = self.life(context);
        if id.epoch > life {
            self.raised_life = id.epoch + 1;
            self.published.clear();
        } else if id.epoch == life {
            let sequence = self.published.entry(id.channel.clone()).or_default();
            *sequence = id.sequence.max(*sequence);
        }
    }

    /// Whether the numbers of the next broadcast on a channel are within the bound of counters. If they are not, the
    /// bound rises within a second.
    pub(super) fn may_publish(&self, context: &Context, channel: &ChannelName) -> bool {
        let published = self.published.get(channel).copied();
        context.accepts(&UpdateId {
            channel: channel.clone(),
            origin: context.config.id.clone(),
            epoch: self.life(context),
            sequence: published.unwrap_or(0) + 1,
        })
    }

    /// Keeps a broadcast for neighbours that may request it. `received_on` is the link of the tree that delivered the
    /// broadcast.
    pub(super) fn keep(&mut self, update: &Arc<Update>, received_on: Option<LinkId>) {
        self.recent.push(update, received_on);
    }

    /// Keeps the name of a broadcast that is not relayed, so that a second copy is recognised. `received_on` is the link of
    /// the tree that delivered the first one.
    pub(super) fn keep_name(&mut self, id: &UpdateId, received_on: LinkId) {
        self.recent.push_name(id, Some(received_on));
    }

    /// Drops kept payloads of more than `bytes` bytes for which `is_held` is false, because their memory is needed.
    pub(super) fn drop_payloads(&mut self, bytes: usize, is_held: impl Fn(&Update) -> bool) {
        self.recent.drop_payloads(bytes, is_held);
    }

    /// A broadcast requested by a neighbour, if it is still kept.
    pub(super) fn kept(&self, id: &UpdateId) -> Option<&Arc<Update>> {
        self.recent.get(id)
    }

    /// Whether a copy received on `link` shows that the tree has a cycle, because another link delivered the broadcast
    /// before.
    pub(super) fn is_duplicate(&self, id: &UpdateId, link: LinkId) -> bool {
        self.recent.came_over_another(id, link)
    }

    /// A broadcast arrived, which may have been missing.
    pub(super) fn note_arrived(&mut self, context: &mut Context, id: &UpdateId) {
        self.tree.remove_missing(id);
        context.timers.cancel(&Timer::Graft(id.clone()));
    }

    /// A neighbour announced a broadcast that was not received. The broadcast is requested only after a delay, because
    /// it is probably in flight. The delay is random, because otherwise a whole subtree would send requests at once.
    pub(super) fn note_announced(&mut self, context: &mut Context, link: LinkId, id: UpdateId) {
        if self.tree.on_announced(id.clone(), (), link) != Announced::First {
            return;
        }
        let tuning = context.tuning();
        let delay = tuning.graft_after
            + context
                .random
                .dissemination
                .duration_below(tuning.graft_jitter);
        let at = context.now + delay + context.pace() / 2;
        context.timers.set(Timer::Graft(id), at);
    }

    /// An announced broadcast has not arrived: chooses the next lively announcer, whose link joins the tree.
    pub(super) fn request_missing(
        &mut self,
        context: &mut Context,
        id: &UpdateId,
        is_lively: impl Fn(LinkId) -> bool,
    ) -> RepairRequest {
        if self.tree.missing(id).is_none() {
            return RepairRequest::Nothing;
        }
        let grafts = !context.has(Switch::NoBroadcastGraft);
        match self
            .tree
            .next_announcer(id, |link| grafts && is_lively(link))
        {
            Some((link, ())) => {
                let interval = context.tuning().graft_interval.max(context.pace());
                let next = context.now + interval;
                context.timers.set(Timer::Graft(id.clone()), next);
                RepairRequest::Graft(link)
            }
            None => RepairRequest::GiveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{channel, context, id, message, update_id};
    use crate::plumtree::MISSING_MAX;

    #[test]
    fn broadcasts_of_a_channel_are_numbered_from_one() {
        let (context, mut dissemination) = (context(), Dissemination::default());
        let mut publish = |on| {
            let update = dissemination.publish(&context, &channel(on), Body::Message, [].into());
            assert_eq!(update.id.origin, id("me"));
            update.id.sequence
        };
        assert_eq!((publish("one"), publish("one"), publish("two")), (1, 2, 1));
        let own = |on, sequence| UpdateId {
            epoch: context.config.life,
            ..update_id(on, "me", sequence)
        };
        assert!(dissemination.is_own(&context, &own("one", 2)));
        assert!(!dissemination.is_own(&context, &own("two", 2)));
        assert!(!dissemination.is_own(&context, &own("three", 1)));
    }

    #[test]
    fn a_missing_broadcast_is_requested_from_each_announcer_and_then_given_up() {
        let (mut context, mut dissemination) = (context(), Dissemination::default());
        let missing = update_id("chat", "a", 1);
        let timer = Timer::Graft(missing.clone());
        for link in 1..=3 {
            dissemination.note_announced(&mut context, LinkId(link), missing.clone());
        }
        let delay = context.timers.of(&timer).unwrap() - context.now;
        let (after, jitter) = (context.tuning().graft_after, context.tuning().graft_jitter);
        assert!(delay >= after && delay < after + jitter);
        let mut request =
            || dissemination.request_missing(&mut context, &missing, |link| link != LinkId(2));
        assert_eq!(request(), RepairRequest::Graft(LinkId(1)));
        assert_eq!(request(), RepairRequest::Graft(LinkId(3)));
        assert_eq!(request(), RepairRequest::GiveUp);
        assert_eq!(request(), RepairRequest::Nothing);
    }

    #[test]
    fn a_link_belongs_to_the_tree_until_it_brings_a_duplicate_and_after_a_request() {
        let (mut context, mut dissemination) = (context(), Dissemination::default());
        let (link, missing) = (LinkId(1), update_id("chat", "a", 1));
        dissemination.on_open(link);
        assert!(dissemination.is_eager(link));
        dissemination.make_lazy(link);
        assert!(!dissemination.is_eager(link));
        dissemination.note_announced(&mut context, link, missing.clone());
        dissemination.request_missing(&mut context, &missing, |_| true);
        assert!(dissemination.is_eager(link));
        assert!(dissemination.on_closed(link));
    }

    #[test]
    fn a_broadcast_that_arrived_is_not_requested() {
        let (mut context, mut dissemination) = (context(), Dissemination::default());
        let update = message("a", 1, 5);
        dissemination.note_announced(&mut context, LinkId(1), update.id.clone());
        dissemination.note_arrived(&mut context, &update.id);
        assert!(context.timers.is_empty());
        let request = dissemination.request_missing(&mut context, &update.id, |_| true);
        assert_eq!(request, RepairRequest::Nothing);
    }

    #[test]
    fn only_a_copy_over_another_link_of_the_tree_is_a_duplicate() {
        let mut dissemination = Dissemination::default();
        let (update, repaired) = (message("a", 1, 5), message("a", 2, 5));
        dissemination.keep(&update, Some(LinkId(1)));
        dissemination.keep(&repaired, None);
        assert!(dissemination.is_duplicate(&update.id, LinkId(2)));
        assert!(!dissemination.is_duplicate(&update.id, LinkId(1)));
        assert!(!dissemination.is_duplicate(&repaired.id, LinkId(2)));
        assert_eq!(dissemination.kept(&update.id), Some(&update));
    }

    #[test]
    fn further_missing_broadcasts_set_no_timers() {
        let (mut context, mut dissemination) = (context(), Dissemination::default());
        for sequence in 0..MISSING_MAX as u64 + 5 {
            let missing = update_id("chat", "a", sequence);
            dissemination.note_announced(&mut context, LinkId(1), missing);
        }
        assert_eq!(context.timers.len(), MISSING_MAX);
    }
}

//! How neighbours that hold different things of a channel come to hold the same.
//!
//! Order-free hashes are compared when a link opens and once an interval; a node whose hash differs sends a sketch of
//! what it holds (the one with the lower id of the two), and both send what the other lacks. State that the
//! application merges is sent whole, and also to a random member that broadcasts on the channel, since the
//! neighbours may only pass it on.

use super::message::{Item, Kind, Parcel, Purpose, WANT_MAX};
use super::{ChannelName, Channels, Output, Store, Timer};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::Outbox;
use crate::sabotage::Switch;
use crate::sketch::Cell;
use crate::sketch::{SIZES, difference, size_above, size_for, sketch};
use crate::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A channel that did not change for so long is quiet.
const QUIET_AFTER: Duration = Duration::from_millis(500);
/// A link is new for this long.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// When a comparison is made up for.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The most steps of comparisons that wait on one link.
const WAITING_MAX: usize = 512;
/// The most neighbours a channel is compared with in one interval.
const COMPARED_MAX: usize = 2;

impl Channels {
    fn say(&mut self, link: LinkId, item: Item) {
        if let Some(queue) = self.queues.get_mut(&link)
            && queue.sync.len() < WAITING_MAX
        {
            queue.sync.push_back(item);
            self.dirty.push(link);
        }
    }

    /// Compares everything with a new neighbour.
    pub(super) fn compare_all(&mut self, link: LinkId) {
        let names: Vec<ChannelName> = self.channels.keys().cloned().collect();
        for channel in names {
            self.send_digest(link, &channel);
        }
    }

    pub(super) fn send_digest(&mut self, link: LinkId, channel: &ChannelName) {
        let Some(held) = self.channels.get(channel) else {
            return;
        };
        if let Some(hash) = held
            .store
            .hash()
            .filter(|_| !self.sabotaged(Switch::NoCompare))
        {
            let item = Item::Digest {
                channel: channel.clone(),
                kind: held.store.kind(),
                hash,
            };
            self.say(link, item);
        }
    }

    pub(super) fn compare_soon(&mut self, channel: &ChannelName) {
        self.timers
            .set_earlier(Timer::Compare(channel.clone()), self.now + AGAIN_AFTER);
    }

    /// Compares a channel with some neighbours.
    pub(super) fn compare(&mut self, channel: &ChannelName, out: &mut Outbox<Output>) {
        let Some(held) = self.channels.get(channel) else {
            return;
        };
        let interval = held.interval;
        let jitter = self.random.duration_below(interval / 8);
        self.timers.set(
            Timer::Compare(channel.clone()),
            self.now + (interval - interval / 16) + jitter,
        );
        let mut links: Vec<LinkId> = self
            .queues
            .values()
            .filter(|queue| queue.lively)
            .map(|queue| queue.link)
            .collect();
        self.random.shuffle(&mut links);
        links.truncate(COMPARED_MAX);
        for link in links {
            self.send_digest(link, channel);
        }
        self.push_state(channel, out);
    }

    /// Sends state of the application's own to somebody who may have it too.
    fn push_state(&mut self, channel: &ChannelName, out: &mut Outbox<Output>) {
        let neighbours: BTreeSet<&NodeId> = self.queues.values().map(|queue| &queue.peer).collect();
        let others = self.origins(channel).into_iter();
        let others: Vec<NodeId> = others
            .filter(|id| !neighbours.contains(id))
            .cloned()
            .collect();
        let Some(to) = self.random.pick(&others).cloned() else {
            return;
        };
        self.send_state(channel, to, out);
    }

    fn send_state(&self, channel: &ChannelName, to: NodeId, out: &mut Outbox<Output>) {
        let Some(Store::Custom(Some(custom))) = self.channels.get(channel).map(|held| &held.store)
        else {
            return;
        };
        let me = self.config.id.clone();
        out.push(Output::Route(Arc::new(Parcel {
            from: me.clone(),
            to,
            epoch: self.config.life,
            number: 0,
            floor: 0,
            purpose: Purpose::State,
            channel: channel.clone(),
            path: vec![me],
            payload: Arc::from(custom.encode()),
        })));
    }

    /// Somebody sent its whole state: what was news is broadcast, and what it lacks is sent back.
    pub(super) fn on_state(&mut self, parcel: &Parcel, out: &mut Outbox<Output>) {
        let channel = &parcel.channel;
        let Some(held) = self.channels.get_mut(channel) else {
            return;
        };
        let opened = held.opened.is_some();
        let Store::Custom(Some(custom)) = &mut held.store else {
            return;
        };
        let Ok(news) = custom.merge(&parcel.payload) else {
            return;
        };
        let differs = custom.encode()[..] != parcel.payload[..];
        if let Some(news) = news {
            self.broadcast_news(channel, Arc::from(news), None, opened, out);
        }
        if differs {
            self.send_state(channel, parcel.from.clone(), out);
        }
    }

    pub(super) fn on_digest(
        &mut self,
        link: LinkId,
        channel: &ChannelName,
        kind: Kind,
        hash: u64,
        out: &mut Outbox<Output>,
    ) {
        let now = self.now;
        let opened = self.queues.get(&link).map(|queue| queue.opened);
        let Some(held) = self.channel_of(link, channel, kind, out) else {
            return;
        };
        let Some(ours) = held.store.hash().filter(|ours| *ours != hash) else {
            return;
        };
        // What changed so lately is still on its way: comparing would send it twice. A channel that never rests is
        // compared all the same, if rarely, and a new link at once.
        let fresh = opened.is_some_and(|opened| now - opened < FRESH_FOR);
        let lately = |within| held.compared.is_some_and(|at| now - at < within);
        let restless = ours != 0 && now - held.changed < QUIET_AFTER;
        if restless && !fresh && lately(held.interval)
            || kind == Kind::Custom && lately(QUIET_AFTER)
        {
            return;
        }
        held.compared = Some(now);
        if kind == Kind::Custom {
            if let Some(whole) = self.whole(channel)
                && let Some(queue) = self.queues.get_mut(&link)
            {
                queue.push_update(&whole, true);
            }
            // It answers with its own state if it still differs.
            self.send_digest(link, channel);
            return;
        }
        let begins = self
            .queues
            .get(&link)
            .is_some_and(|queue| self.config.id < queue.peer);
        if begins {
            self.send_sketch(link, channel, SIZES[0]);
        } else {
            self.send_digest(link, channel);
        }
    }

    fn send_sketch(&mut self, link: LinkId, channel: &ChannelName, cells: u32) {
        let Some(held) = self.channels.get(channel) else {
            return;
        };
        let item = Item::Sketch {
            channel: channel.clone(),
            kind: held.store.kind(),
            cells: sketch(held.store.digests().into_iter(), cells),
        };
        self.say(link, item);
    }

    pub(super) fn on_sketch(
        &mut self,
        link: LinkId,
        channel: &ChannelName,
        kind: Kind,
        cells: &[Cell],
        out: &mut Outbox<Output>,
    ) {
        let Some(held) = self.channel_of(link, channel, kind, out) else {
            return;
        };
        let Some(found) = difference(held.store.digests().into_iter(), cells) else {
            let larger = size_above(cells.len());
            let cells = larger.unwrap_or(0);
            self.say(
                link,
                Item::Larger {
                    channel: channel.clone(),
                    cells,
                },
            );
            if cells == 0 {
                self.send_held(link, channel, |_| true);
            }
            return;
        };
        let ours: BTreeSet<u64> = found.ours.into_iter().collect();
        if !ours.is_empty() {
            self.send_held(link, channel, |digest| ours.contains(&digest));
        }
        let mut digests = found.theirs;
        digests.truncate(WANT_MAX);
        if !digests.is_empty() {
            self.say(
                link,
                Item::Want {
                    channel: channel.clone(),
                    digests,
                },
            );
        }
    }

    pub(super) fn on_larger(&mut self, link: LinkId, channel: &ChannelName, cells: u32) {
        let size = size_for(cells);
        if cells == 0 {
            self.send_held(link, channel, |_| true);
        } else {
            self.send_sketch(link, channel, size);
        }
    }

    pub(super) fn on_want(&mut self, link: LinkId, channel: &ChannelName, digests: &[u64]) {
        let wanted: BTreeSet<u64> = digests.iter().copied().collect();
        self.send_held(link, channel, |digest| wanted.contains(&digest));
    }

    /// Sends of what is held as much as the link takes; the next comparison goes on.
    fn send_held(&mut self, link: LinkId, channel: &ChannelName, wanted: impl Fn(u64) -> bool) {
        let Some(held) = self.channels.get(channel) else {
            return;
        };
        let mut updates = held.store.updates(channel, wanted);
        // Each round begins elsewhere, so that what does not fit in one is in another.
        let turn = self.random.below(updates.len().max(1) as u64);
        updates.rotate_left(usize::try_from(turn).unwrap_or(0));
        let Some(queue) = self.queues.get_mut(&link) else {
            return;
        };
        let mut all = true;
        for update in updates {
            if !queue.has_room() {
                all = false;
                break;
            }
            queue.push_update(&update, true);
        }
        self.dirty.push(link);
        if !all {
            self.compare_soon(channel);
        }
    }
}

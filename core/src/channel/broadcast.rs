//! How a broadcast reaches everyone: at once along a tree, announced on the other links, repaired on demand.
//!
//! Plumtree over the mesh's links, with one tree for all channels: every link begins eager; the second copy of one
//! broadcast prunes the link it came on; an announced broadcast that does not come grafts the link that announced it.
//! A link lost makes every link eager again, so that the next broadcast finds a tree by itself.

use super::message::{
    Body, ENTRIES_MAX, Entry, KEY_BYTES_MAX, Kind, PAYLOAD_BYTES_MAX, Update, UpdateId,
};
use super::queue::ANNOUNCEMENTS_MAX;
use super::recent::Missing;
use super::store::{Applied, Change, Rule, Store};
use super::{
    Channel, ChannelName, Channels, Delivery, Done, Event, Expected, MISSING_MAX, Output, Refusal,
    Rejection, TRACKED_MAX, Timer, Transaction, Write, check_size,
};
use crate::identity::{NodeId, only_shows};
use crate::link::LinkId;
use crate::machine::Outbox;
use crate::sabotage::Switch;
use crate::topology::record::COUNTER_MAX;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most announcers remembered for each announced broadcast.
const ANNOUNCERS_MAX: usize = 8;

impl Channels {
    pub(super) fn on_publish(
        &mut self,
        channel: &ChannelName,
        payload: Arc<[u8]>,
        out: &mut Outbox<Output>,
    ) -> Result<Done, Refusal> {
        check_size(&payload)?;
        let held = self
            .channels
            .get_mut(channel)
            .filter(|held| held.opened.is_some());
        let held = held.ok_or(Refusal::NotOpen)?;
        let (body, payload) = match &mut held.store {
            Store::Messages(_) => (Body::Message, payload),
            Store::Map(_) => return Err(Refusal::WrongKind(Kind::Map)),
            Store::Custom(None) => (Body::Custom, payload),
            Store::Custom(Some(custom)) => match custom.merge(&payload) {
                Ok(Some(news)) => (Body::Custom, Arc::from(news)),
                Ok(None) => return Ok(Done::NoNews),
                Err(why) => return Err(Refusal::Malformed(why)),
            },
        };
        self.check_room()?;
        let update = self.make(channel, body, payload).ok_or(Refusal::NotOpen)?;
        if update.body == Body::Message
            && let Some(held) = self.channels.get_mut(channel)
        {
            held.store.apply(&update, Rule::LaterWins);
        }
        let id = update.id.clone();
        self.begin(&update, out);
        Ok(Done::Published(id))
    }

    pub(super) fn on_transact(
        &mut self,
        channel: &ChannelName,
        transaction: &Transaction,
        out: &mut Outbox<Output>,
    ) -> Result<Done, Refusal> {
        let room = self.check_room();
        let held = self
            .channels
            .get(channel)
            .filter(|held| held.opened.is_some());
        let held = held.ok_or(Refusal::NotOpen)?;
        let Store::Map(map) = &held.store else {
            return Err(Refusal::WrongKind(held.store.kind()));
        };
        check_transaction(transaction)?;
        for (key, expected) in &transaction.compare {
            let stands = map.held(key).filter(|stands| stands.value.is_some());
            let holds = match expected {
                Expected::Absent => stands.is_none(),
                Expected::Value(value) => stands.is_some_and(|it| it.value.as_ref() == Some(value)),
                Expected::Version(version) => stands.is_some_and(|it| it.version == *version),
            };
            if !holds {
                return Ok(Done::Differs(Arc::clone(key)));
            }
        }
        let values = transaction
            .write
            .iter()
            .filter_map(|write| write.value.as_ref());
        let bytes: usize = values.clone().map(|value| value.len()).sum();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(Refusal::TooLarge(bytes));
        }
        if bytes > 0 && !map.has_room(values.clone().count(), bytes) {
            return Err(Refusal::Full);
        }
        room?;
        let mut writes = transaction.write.clone();
        writes.sort_by(|one, other| one.key.cmp(&other.key));
        let entries = writes.iter().map(|Write { key, value }| Entry {
            key: Arc::clone(key),
            over: map.held(key).map(|held| held.version.clone()),
            length: value
                .as_ref()
                .map(|value| u32::try_from(value.len()).unwrap_or(u32::MAX)),
        });
        let body = Body::Entries {
            clock: map.clock + 1,
            entries: entries.collect(),
        };
        let payload: Vec<u8> = writes
            .iter()
            .filter_map(|write| write.value.as_deref())
            .flatten()
            .copied()
            .collect();
        let update = self
            .make(channel, body, Arc::from(payload))
            .ok_or(Refusal::NotOpen)?;
        if let Some(held) = self.channels.get_mut(channel)
            && let Applied::Changed(changes) = held.store.apply(&update, Rule::LaterWins)
        {
            self.tell_changes(channel, changes, out);
        }
        self.begin(&update, out);
        Ok(Done::Committed(update.version()))
    }

    /// Broadcasting is held back while no link takes any more, even without what was superseded.
    fn check_room(&mut self) -> Result<(), Refusal> {
        for queue in self.queues.values_mut().filter(|queue| !queue.has_room()) {
            queue.merge_waiting();
        }
        let open = self.sabotaged(Switch::NoBackPressure);
        let mut lively = self.queues.values().filter(|queue| queue.lively).peekable();
        if !open && lively.peek().is_some() && lively.all(|queue| !queue.has_room()) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// The next broadcast of this node on a channel it knows.
    fn make(
        &mut self,
        channel: &ChannelName,
        body: Body,
        payload: Arc<[u8]>,
    ) -> Option<Arc<Update>> {
        let held = self.channels.get_mut(channel)?;
        held.sequence += 1;
        held.changed = self.now;
        let id = UpdateId {
            channel: channel.clone(),
            origin: self.config.id.clone(),
            epoch: self.config.life,
            sequence: held.sequence,
        };
        Some(Arc::new(Update { id, body, payload }))
    }

    /// This node's whole state of its own in a channel, as a broadcast.
    pub(super) fn whole(&mut self, channel: &ChannelName) -> Option<Arc<Update>> {
        let Store::Custom(Some(custom)) = &self.channels.get(channel)?.store else {
            return None;
        };
        let payload = Arc::from(custom.encode());
        self.make(channel, Body::Custom, payload)
    }

    /// Broadcasts what this node made.
    fn begin(&mut self, update: &Arc<Update>, out: &mut Outbox<Output>) {
        self.recent.push(update, None);
        self.spread(update, None, out);
    }

    /// Sends a broadcast to all neighbours but one: itself on eager links, its name on the others.
    fn spread(&mut self, update: &Arc<Update>, except: Option<LinkId>, out: &mut Outbox<Output>) {
        let due = self.now + self.config.tuning.announce_after;
        for (link, queue) in &mut self.queues {
            if Some(*link) == except {
                continue;
            }
            if queue.eager && queue.lively {
                for channel in queue.push_update(update, false) {
                    let peer = queue.peer.clone();
                    out.push(Output::Report(Event::Dropped { peer, channel }));
                }
            } else if queue.have.len() < ANNOUNCEMENTS_MAX {
                queue.have.insert(update.id.clone());
                queue.have_due.get_or_insert(due);
            }
            self.dirty.push(*link);
        }
    }

    /// A link of the tree is gone: the next broadcast floods from here, and what comes back twice prunes anew.
    pub(super) fn mend_tree(&mut self) {
        for queue in self.queues.values_mut() {
            queue.eager |= queue.lively;
        }
    }

    pub(super) fn on_update(
        &mut self,
        link: LinkId,
        update: &Arc<Update>,
        repair: bool,
        out: &mut Outbox<Output>,
    ) {
        let id = &update.id;
        if id.epoch > u64::MAX / 2
            || id.sequence > COUNTER_MAX
            || update.version().clock > COUNTER_MAX
        {
            self.reject(link, Rejection::CounterTooHigh, out);
            return;
        }
        if let Some(queue) = self.queues.get_mut(&link) {
            queue.is_held_there(id);
        }
        let (me, life) = (self.config.id.clone(), self.config.life);
        let (tracked, ageless) = (self.tracked, self.sabotaged(Switch::LifeIgnored));
        let Some(held) = self.channel_of(link, &id.channel, update.body.kind(), out) else {
            return;
        };
        if id.origin == me && id.epoch == life {
            // Our own comes back, or somebody invents it.
            let invented = id.sequence > held.sequence;
            if invented {
                self.reject(link, Rejection::ForgedOrigin, out);
            }
            return;
        }
        let new_origin = !held.seen.contains_key(&id.origin);
        if new_origin && tracked >= TRACKED_MAX {
            self.reject(link, Rejection::TooMany, out);
            return;
        }
        let epoch = if ageless { 0 } else { id.epoch };
        let unseen = held
            .seen
            .entry(id.origin.clone())
            .or_default()
            .note(epoch, id.sequence);
        self.tracked += usize::from(new_origin);
        let again = self.sabotaged(Switch::RepeatsMessages);
        if !unseen && !repair && !again {
            self.prune_if_repeated(id, link);
            return;
        }
        self.apply(link, update, repair, unseen, out);
    }

    /// Puts a broadcast into what is held, and passes on what was news in it.
    fn apply(
        &mut self,
        link: LinkId,
        update: &Arc<Update>,
        repair: bool,
        unseen: bool,
        out: &mut Outbox<Output>,
    ) {
        let (id, now, rule) = (&update.id, self.now, self.rule());
        let Some(held) = self.channels.get_mut(&id.channel) else {
            return;
        };
        let applied = held.store.apply(update, rule);
        if applied != Applied::Old {
            held.changed = now;
        }
        let opened = held.opened.is_some();
        let again = self.sabotaged(Switch::RepeatsMessages);
        self.missing.remove(id);
        self.timers.cancel(&Timer::Graft(id.clone()));
        match applied {
            Applied::Old => {
                if again && opened {
                    self.deliver(id, Arc::clone(&update.payload), out);
                }
                // Kept by name, so that a second copy prunes.
                if !repair {
                    self.recent.push(update, Some(link));
                }
            }
            Applied::Message => self.pass_on(
                update,
                link,
                repair,
                opened.then(|| update.payload.clone()),
                out,
            ),
            // Not retained, but new all the same.
            Applied::Full | Applied::PassedOn => {
                if unseen {
                    self.pass_on(
                        update,
                        link,
                        repair,
                        opened.then(|| update.payload.clone()),
                        out,
                    );
                }
            }
            Applied::Merged(news) => {
                let news: Arc<[u8]> = Arc::from(news);
                if repair {
                    self.broadcast_news(&id.channel, news, Some(link), opened, out);
                } else {
                    self.pass_on(update, link, repair, opened.then_some(news), out);
                }
            }
            Applied::Changed(changes) => {
                let channel = &id.channel;
                self.pass_on(update, link, repair, None, out);
                if opened {
                    self.tell_changes(channel, changes, out);
                }
            }
            Applied::Malformed(_) => self.reject(link, Rejection::Malformed, out),
        }
    }

    /// News: to the other neighbours, and to the application.
    fn pass_on(
        &mut self,
        update: &Arc<Update>,
        link: LinkId,
        repair: bool,
        payload: Option<Arc<[u8]>>,
        out: &mut Outbox<Output>,
    ) {
        if let Some(queue) = self.queues.get_mut(&link).filter(|_| !repair) {
            queue.eager = true;
        }
        self.recent.push(update, Some(link).filter(|_| !repair));
        self.spread(update, Some(link), out);
        if let Some(payload) = payload {
            self.deliver(&update.id, payload, out);
        }
    }

    /// A whole state came: the others get what of it was news here.
    pub(super) fn broadcast_news(
        &mut self,
        channel: &ChannelName,
        news: Arc<[u8]>,
        except: Option<LinkId>,
        opened: bool,
        out: &mut Outbox<Output>,
    ) {
        let Some(update) = self.make(channel, Body::Custom, Arc::clone(&news)) else {
            return;
        };
        self.recent.push(&update, None);
        self.spread(&update, except, out);
        if opened {
            self.deliver(&update.id, news, out);
        }
    }

    fn rule(&self) -> Rule {
        if self.sabotaged(Switch::EarlierWriteWins) {
            Rule::EarlierWins
        } else {
            Rule::LaterWins
        }
    }

    fn deliver(&self, id: &UpdateId, payload: Arc<[u8]>, out: &mut Outbox<Output>) {
        out.push(Output::Deliver {
            channel: id.channel.clone(),
            delivery: Delivery::Broadcast {
                id: id.clone(),
                payload,
            },
        });
    }

    /// Tells the application what changed, and of its own writes that lost.
    fn tell_changes(&self, channel: &ChannelName, changes: Vec<Change>, out: &mut Outbox<Output>) {
        for Change { key, held, before } in changes {
            if let Some(before) = before.filter(|_| !self.sabotaged(Switch::NoConflicts))
                && before.version.origin == self.config.id
                && held.version.origin != self.config.id
                && held.over.as_ref() != Some(&before.version)
            {
                out.push(Output::Deliver {
                    channel: channel.clone(),
                    delivery: Delivery::Conflict {
                        key: Arc::clone(&key),
                        lost: before.version,
                        won: held.version.clone(),
                    },
                });
            }
            out.push(Output::Deliver {
                channel: channel.clone(),
                delivery: Delivery::Changed {
                    key,
                    value: held.value,
                    version: held.version,
                },
            });
        }
    }

    /// A second copy of one broadcast says that the link is not needed in the tree.
    fn prune_if_repeated(&mut self, id: &UpdateId, link: LinkId) {
        if !self.recent.by_another_than(id, link) {
            return;
        }
        if let Some(queue) = self.queues.get_mut(&link) {
            queue.eager = false;
            queue.prune = true;
        }
    }

    fn has_seen(&self, id: &UpdateId) -> bool {
        let own = id.origin == self.config.id && id.epoch == self.config.life;
        own || self
            .channels
            .get(&id.channel)
            .and_then(|held: &Channel| held.seen.get(&id.origin))
            .is_some_and(|seen| seen.has(id.epoch, id.sequence))
    }

    /// A neighbour announced what it has.
    pub(super) fn on_have(&mut self, link: LinkId, id: UpdateId) {
        if self.has_seen(&id) {
            if let Some(queue) = self.queues.get_mut(&link) {
                queue.have.remove(&id);
            }
            return;
        }
        if let Some(missing) = self.missing.get_mut(&id) {
            if missing.announcers.len() < ANNOUNCERS_MAX && !missing.announcers.contains(&link) {
                missing.announcers.push(link);
            }
            return;
        }
        if self.missing.len() >= MISSING_MAX {
            return;
        }
        let wait = self.config.tuning.graft_after
            + self.random.duration_below(self.config.tuning.graft_jitter);
        self.timers.set(Timer::Graft(id.clone()), self.now + wait);
        self.missing.insert(
            id,
            Missing {
                announcers: vec![link],
            },
        );
    }

    /// An announced broadcast still has not come: ask the next who announced it.
    pub(super) fn ask_next_announcer(&mut self, id: &UpdateId) {
        let Some(missing) = self.missing.get_mut(id) else {
            return;
        };
        let deaf = self.config.sabotage.has(Switch::NoBroadcastGraft);
        while !deaf && !missing.announcers.is_empty() {
            let link = missing.announcers.remove(0);
            if let Some(queue) = self.queues.get_mut(&link).filter(|queue| queue.lively) {
                queue.eager = true;
                queue.graft.insert(id.clone());
                self.dirty.push(link);
                self.timers.set(
                    Timer::Graft(id.clone()),
                    self.now + self.config.tuning.graft_interval,
                );
                return;
            }
        }
        self.missing.remove(id);
        self.compare_soon(&id.channel);
    }

    /// A neighbour asks for what we announced.
    pub(super) fn on_graft(&mut self, link: LinkId, id: &UpdateId) {
        let update = self.recent.get(id).cloned();
        let Some(queue) = self.queues.get_mut(&link) else {
            return;
        };
        queue.eager = true;
        if let Some(update) = update {
            queue.push_update(&update, false);
        }
    }

    /// Whom this node has heard broadcast on a channel.
    pub(super) fn origins(&self, channel: &ChannelName) -> Vec<&NodeId> {
        let held = self.channels.get(channel);
        held.into_iter().flat_map(|held| held.seen.keys()).collect()
    }
}

fn check_transaction(transaction: &Transaction) -> Result<(), Refusal> {
    let keys = transaction.compare.iter().map(|(key, _)| key);
    for key in keys.chain(transaction.write.iter().map(|write| &write.key)) {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.chars().all(only_shows) {
            return Err(Refusal::BadKey(Arc::clone(key)));
        }
    }
    let written: BTreeSet<&Arc<str>> = transaction.write.iter().map(|write| &write.key).collect();
    let count = transaction.write.len();
    if count == 0 || count > ENTRIES_MAX || written.len() != count {
        return Err(Refusal::BadTransaction);
    }
    Ok(())
}

//! What waits to be said on one link, cut into messages, and how much may be under way.
//!
//! A neighbour lets us send [`WINDOW`] bytes that it has not taken; what it takes it gives back as credit. So a slow
//! link holds data back here, where the newest can take the place of the superseded, and heartbeats still pass.

use super::message::{Data, Item, Kind, PAYLOAD_BYTES_MAX, Parcel, Update, UpdateId};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::size::FRAME_BYTES_MAX;
use crate::size::{self, Encoded};
use crate::time::Instant;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// The most bytes sent on a link that the neighbour has not taken.
pub const WINDOW: u32 = 256 * 1024;
/// Taken bytes are given back when there are so many, or with whatever else is said.
const CREDIT_AT: u32 = WINDOW / 4;
/// The most bytes of broadcasts, and of parcels, that wait on one link. One more payload always fits.
pub const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// The most announcements that wait on one link.
pub(super) const ANNOUNCEMENTS_MAX: usize = 256;
/// Room kept for a message's own tags and lengths.
const HEADROOM: usize = 64;
/// A payload is cut only if so much of it fits.
const PIECE_MIN: usize = 512;

/// One link and what waits on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Queue {
    pub(super) link: LinkId,
    pub(super) peer: NodeId,
    pub(super) lively: bool,
    /// Broadcasts go out on it at once; otherwise they are announced.
    pub(super) eager: bool,
    pub(super) prune: bool,
    pub(super) have: BTreeSet<UpdateId>,
    pub(super) have_due: Option<Instant>,
    pub(super) graft: BTreeSet<UpdateId>,
    pub(super) sync: VecDeque<Item>,
    updates: VecDeque<(Arc<Update>, bool)>,
    update_bytes: usize,
    /// Which broadcasts wait, repairs aside.
    waiting: BTreeSet<UpdateId>,
    parcels: VecDeque<Arc<Parcel>>,
    parcel_bytes: usize,
    /// The payload that is being sent, and how much of it was.
    cut: Option<(Arc<[u8]>, usize)>,
    /// Bytes sent and not taken.
    in_flight: u32,
    /// Bytes taken and not given back.
    taken: u32,
    arriving: Option<Arriving>,
    pub(super) flushed: Option<Instant>,
    pub(super) opened: Instant,
    /// Channels of which broadcasts were dropped: compared once nothing waits.
    owes: BTreeSet<super::message::ChannelName>,
}

/// A payload of which pieces are still to come.
#[derive(Clone, Debug, PartialEq)]
struct Arriving {
    item: Item,
    payload: Vec<u8>,
    missing: usize,
}

impl Queue {
    pub(super) const fn new(link: LinkId, peer: NodeId, lively: bool, now: Instant) -> Self {
        Self {
            link,
            peer,
            lively,
            eager: true,
            prune: false,
            have: BTreeSet::new(),
            have_due: None,
            graft: BTreeSet::new(),
            sync: VecDeque::new(),
            updates: VecDeque::new(),
            update_bytes: 0,
            waiting: BTreeSet::new(),
            parcels: VecDeque::new(),
            parcel_bytes: 0,
            cut: None,
            in_flight: 0,
            taken: 0,
            arriving: None,
            flushed: None,
            opened: now,
            owes: BTreeSet::new(),
        }
    }

    /// Whether something can go out without waiting for announcements to gather.
    pub(super) fn is_ready(&self) -> bool {
        self.taken >= CREDIT_AT || self.in_flight < WINDOW && self.has_more()
    }

    fn has_more(&self) -> bool {
        self.cut.is_some()
            || self.prune
            || !self.graft.is_empty()
            || !self.sync.is_empty()
            || !self.updates.is_empty()
            || !self.parcels.is_empty()
    }

    /// When announcements must go out.
    pub(super) fn due(&self) -> Option<Instant> {
        self.have_due
            .filter(|_| !self.have.is_empty() && self.in_flight < WINDOW)
    }

    /// Whether the link takes more broadcasts.
    pub(super) const fn has_room(&self) -> bool {
        self.update_bytes < WAITING_BYTES_MAX
    }

    /// The parcels that wait, taken away: the link is gone.
    pub(super) fn take_parcels(&mut self) -> impl Iterator<Item = Arc<Parcel>> + use<> {
        self.parcel_bytes = 0;
        core::mem::take(&mut self.parcels).into_iter()
    }

    /// Adds a broadcast. What a later write to the same keys supersedes is dropped, and if there is still too much,
    /// the oldest: the channels of which something was dropped so are returned.
    pub(super) fn push_update(
        &mut self,
        update: &Arc<Update>,
        repair: bool,
    ) -> BTreeSet<super::message::ChannelName> {
        let mut dropped = BTreeSet::new();
        if !repair && !self.waiting.insert(update.id.clone()) {
            return dropped;
        }
        self.update_bytes += cost(&update.payload);
        self.updates.push_back((Arc::clone(update), repair));
        // One more payload always fits.
        let bound = WAITING_BYTES_MAX + cost(&update.payload);
        if self.update_bytes >= bound {
            self.merge_waiting();
        }
        while self.update_bytes >= bound {
            let Some(gone) = self.pop_update() else { break };
            dropped.insert(gone.id.channel.clone());
        }
        self.owes.extend(dropped.iter().cloned());
        dropped
    }

    /// The channels to compare: nothing waits any more, and something had to be dropped.
    pub(super) fn take_owed(&mut self) -> BTreeSet<super::message::ChannelName> {
        if self.updates.is_empty() && self.cut.is_none() {
            core::mem::take(&mut self.owes)
        } else {
            BTreeSet::new()
        }
    }

    fn pop_update(&mut self) -> Option<Arc<Update>> {
        let (update, repair) = self.updates.pop_front()?;
        self.update_bytes -= cost(&update.payload);
        if !repair {
            self.waiting.remove(&update.id);
        }
        Some(update)
    }

    /// Drops the updates of maps whose every write a later one that waits supersedes.
    pub(super) fn merge_waiting(&mut self) {
        let mut written: BTreeSet<(super::message::ChannelName, Arc<str>)> = BTreeSet::new();
        let mut kept = VecDeque::with_capacity(self.updates.len());
        while let Some((update, repair)) = self.updates.pop_back() {
            let mut needed = update.body.kind() != Kind::Map;
            for (entry, _) in update.writes() {
                needed |= written.insert((update.id.channel.clone(), Arc::clone(&entry.key)));
            }
            if needed {
                kept.push_front((update, repair));
            } else {
                self.update_bytes -= cost(&update.payload);
                self.waiting.remove(&update.id);
            }
        }
        self.updates = kept;
    }

    /// Adds a parcel; false if there is no room.
    pub(super) fn push_parcel(&mut self, parcel: &Arc<Parcel>) -> bool {
        if self.parcel_bytes >= WAITING_BYTES_MAX {
            return false;
        }
        self.parcel_bytes += cost(&parcel.payload);
        self.parcels.push_back(Arc::clone(parcel));
        true
    }

    /// The neighbour has shown to hold this.
    pub(super) fn is_held_there(&mut self, id: &UpdateId) {
        self.have.remove(id);
        if !self.waiting.remove(id) {
            return;
        }
        let bytes = &mut self.update_bytes;
        self.updates.retain(|(update, repair)| {
            let keep = *repair || update.id != *id;
            if !keep {
                *bytes -= cost(&update.payload);
            }
            keep
        });
    }

    /// The next message; none if nothing may go out.
    pub(super) fn fill(&mut self, now: Instant) -> Option<Data> {
        let may_send = self.in_flight < WINDOW;
        let announce = self.have_due.is_some_and(|at| at <= now) && !self.have.is_empty();
        if !(self.taken >= CREDIT_AT || may_send && (self.has_more() || announce)) {
            return None;
        }
        let mut data = Data {
            credit: core::mem::take(&mut self.taken),
            ..Data::default()
        };
        if may_send {
            self.fill_items(&mut data, announce);
            let only_credit = data.items.is_empty() && !data.prune;
            if !only_credit {
                let bytes = u32::try_from(data.encoded_len()).unwrap_or(u32::MAX);
                self.in_flight = self.in_flight.saturating_add(bytes);
            }
        }
        Some(data)
    }

    fn fill_items(&mut self, data: &mut Data, announce: bool) {
        let mut left = FRAME_BYTES_MAX - HEADROOM;
        let take = |len: usize, left: &mut usize| {
            let cost = size::delimited(size::delimited(len));
            let fits = cost <= *left;
            if fits {
                *left -= cost;
            }
            fits
        };
        data.prune = core::mem::take(&mut self.prune);
        if !self.continue_payload(data, &mut left) {
            return;
        }
        while let Some(id) = self.graft.pop_first() {
            if !take(id.encoded_len(), &mut left) {
                self.graft.insert(id);
                return;
            }
            data.items.push(Item::Graft(id));
        }
        while announce && let Some(id) = self.have.pop_first() {
            if !take(id.encoded_len(), &mut left) {
                self.have.insert(id);
                return;
            }
            data.items.push(Item::Have(id));
        }
        if self.have.is_empty() {
            self.have_due = None;
        }
        while let Some(item) = self.sync.pop_front() {
            if !take(item.encoded_len(), &mut left) {
                self.sync.push_front(item);
                return;
            }
            data.items.push(item);
        }
        // Turn about, so that neither holds the other up.
        while self.cut.is_none() && (!self.parcels.is_empty() || !self.updates.is_empty()) {
            if !self.add_parcel(data, &mut left)
                || self.cut.is_some()
                || !self.add_update(data, &mut left)
            {
                return;
            }
        }
    }

    /// Sends more of a payload; true if none is left.
    fn continue_payload(&mut self, data: &mut Data, left: &mut usize) -> bool {
        let Some((payload, sent)) = self.cut.take() else {
            return true;
        };
        let piece = (payload.len() - sent).min(left.saturating_sub(16));
        *left = left.saturating_sub(size::delimited(size::delimited(piece)));
        data.items
            .push(Item::Rest(Arc::from(&payload[sent..sent + piece])));
        if sent + piece < payload.len() {
            self.cut = Some((payload, sent + piece));
            return false;
        }
        true
    }

    fn add_parcel(&mut self, data: &mut Data, left: &mut usize) -> bool {
        let Some(parcel) = self.parcels.front() else {
            return true;
        };
        let Some((piece, rest)) = cut(parcel.payload.len(), *left, |piece, rest| {
            parcel.cut_len(piece, rest)
        }) else {
            return false;
        };
        *left = left.saturating_sub(size::delimited(size::delimited(
            parcel.cut_len(piece, rest),
        )));
        let Some(parcel) = self.parcels.pop_front() else {
            return true;
        };
        self.parcel_bytes -= cost(&parcel.payload);
        if rest == 0 {
            data.items.push(Item::Parcel { parcel, rest });
            return true;
        }
        self.cut = Some((Arc::clone(&parcel.payload), piece));
        let mut first = Parcel::clone(&parcel);
        first.payload = Arc::from(&parcel.payload[..piece]);
        data.items.push(Item::Parcel {
            parcel: Arc::new(first),
            rest,
        });
        true
    }

    fn add_update(&mut self, data: &mut Data, left: &mut usize) -> bool {
        let Some((update, repair)) = self.updates.front() else {
            return true;
        };
        let repair = *repair;
        let Some((piece, rest)) = cut(update.payload.len(), *left, |piece, rest| {
            update.cut_len(piece, repair, rest)
        }) else {
            return false;
        };
        *left = left.saturating_sub(size::delimited(size::delimited(
            update.cut_len(piece, repair, rest),
        )));
        let Some(update) = self.pop_update() else {
            return true;
        };
        if rest == 0 {
            data.items.push(Item::Update {
                update,
                repair,
                rest,
            });
            return true;
        }
        self.cut = Some((Arc::clone(&update.payload), piece));
        let mut first = Update::clone(&update);
        first.payload = Arc::from(&update.payload[..piece]);
        data.items.push(Item::Update {
            update: Arc::new(first),
            repair,
            rest,
        });
        true
    }

    /// A message came: what of it is whole now. None: a piece came without its beginning, or was too much.
    pub(super) fn take(&mut self, data: Data) -> Option<Vec<Item>> {
        self.in_flight = self.in_flight.saturating_sub(data.credit);
        if !data.items.is_empty() || data.prune {
            let bytes = u32::try_from(data.encoded_len()).unwrap_or(u32::MAX);
            self.taken = self.taken.saturating_add(bytes);
        }
        let mut whole = Vec::with_capacity(data.items.len());
        let mut broken = false;
        for item in data.items {
            match item {
                Item::Rest(piece) => match self.arrive(&piece) {
                    Ok(item) => whole.extend(item),
                    Err(()) => broken = true,
                },
                Item::Update {
                    ref update, rest, ..
                } if rest > 0 => {
                    broken |= !self.begin(Arc::clone(&update.payload), rest, item);
                }
                Item::Parcel { ref parcel, rest } if rest > 0 => {
                    broken |= !self.begin(Arc::clone(&parcel.payload), rest, item);
                }
                Item::Update { .. }
                | Item::Parcel { .. }
                | Item::Have(_)
                | Item::Graft(_)
                | Item::Digest { .. }
                | Item::Sketch { .. }
                | Item::Larger { .. }
                | Item::Want { .. } => {
                    // Nothing else comes before a payload is whole.
                    broken |= self.arriving.take().is_some();
                    whole.push(item);
                }
            }
        }
        if broken { None } else { Some(whole) }
    }

    fn begin(&mut self, first: Arc<[u8]>, rest: u32, item: Item) -> bool {
        let missing = rest as usize;
        let fits = first.len() + missing <= PAYLOAD_BYTES_MAX && self.arriving.is_none();
        self.arriving = fits.then(|| Arriving {
            item,
            payload: first.to_vec(),
            missing,
        });
        fits
    }

    fn arrive(&mut self, piece: &[u8]) -> Result<Option<Item>, ()> {
        let Some(mut arriving) = self.arriving.take() else {
            return Err(());
        };
        if piece.is_empty() || piece.len() > arriving.missing {
            return Err(());
        }
        arriving.payload.extend_from_slice(piece);
        arriving.missing -= piece.len();
        if arriving.missing > 0 {
            self.arriving = Some(arriving);
            return Ok(None);
        }
        let payload: Arc<[u8]> = Arc::from(arriving.payload);
        Ok(Some(match arriving.item {
            Item::Update { update, repair, .. } => {
                let mut update = Update::clone(&update);
                update.payload = payload;
                Item::Update {
                    update: Arc::new(update),
                    repair,
                    rest: 0,
                }
            }
            Item::Parcel { parcel, .. } => {
                let mut parcel = Parcel::clone(&parcel);
                parcel.payload = payload;
                Item::Parcel {
                    parcel: Arc::new(parcel),
                    rest: 0,
                }
            }
            // Nothing else has a payload.
            Item::Have(_)
            | Item::Graft(_)
            | Item::Rest(_)
            | Item::Digest { .. }
            | Item::Sketch { .. }
            | Item::Larger { .. }
            | Item::Want { .. } => return Err(()),
        }))
    }
}

/// What waiting costs: the payload, and what names it.
fn cost(payload: &[u8]) -> usize {
    payload.len() + 64
}

/// How much of a payload goes into what is left of a message, and how much then follows; none: the next message.
fn cut(payload: usize, left: usize, len: impl Fn(usize, u32) -> usize) -> Option<(usize, u32)> {
    let cost = |piece: usize, rest: u32| size::delimited(size::delimited(len(piece, rest)));
    if cost(payload, 0) <= left {
        return Some((payload, 0));
    }
    // With five bytes for the rest and two more for each length.
    let room = left.checked_sub(cost(0, u32::MAX) + 8)?;
    let piece = room.min(payload.saturating_sub(1));
    let rest = u32::try_from(payload - piece).ok()?;
    (piece >= PIECE_MIN).then_some((piece, rest))
}

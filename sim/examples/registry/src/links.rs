//! The links of a registry to the registries of other regions: those that it dials as a copy, and the routed writes that it
//! answers as an owner.

use crate::messages::{ToCopy, ToOwner};
use core::net::SocketAddr;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::replica::{FollowerId, ReplicaInput, ReplicaOutput};
use phalanx_core::registry::sequencer::{Input, WriteId, WriteRequest};
use phalanx_core::registry::write::{WriteOutcome, WriteRefusal};
use phalanx_sim::world::{DialId, Effect, Effects, LinkId};
use std::collections::BTreeMap;

/// The links.
#[derive(Debug, Default)]
pub struct RegionLinks {
    addresses: BTreeMap<RegionId, SocketAddr>,
    dials: BTreeMap<DialId, RegionId>,
    /// The numbers of the latest attempts to connect.
    attempts: BTreeMap<RegionId, u64>,
    count: u64,
    /// The links that were dialled.
    open: BTreeMap<RegionId, LinkId>,
    /// Writes of other registries, by their numbers here.
    routed: BTreeMap<WriteId, (LinkId, WriteId)>,
}

impl RegionLinks {
    /// No links. The registries of regions have these addresses.
    #[must_use]
    pub fn new(addresses: BTreeMap<RegionId, SocketAddr>) -> Self {
        Self {
            addresses,
            ..Self::default()
        }
    }

    fn region_of(&self, link: LinkId) -> Option<RegionId> {
        let mut open = self.open.iter();
        open.find(|(_, it)| **it == link).map(|it| it.0.clone())
    }

    /// Performs an order about a link. Returns whether the region has no registry.
    pub fn perform(&mut self, region: &RegionId, order: ReplicaOutput, out: &mut Effects) {
        let link = self.open.get(region).copied();
        match (order, link) {
            (ReplicaOutput::Connect { attempt, .. }, _) => {
                self.attempts.insert(region.clone(), attempt);
                self.dials.retain(|_, of| of != region);
                self.count += 1;
                let (dial, to) = (DialId(self.count), self.addresses.get(region).copied());
                self.dials.insert(dial, region.clone());
                out.push(Effect::Dial { dial, to });
            }
            (ReplicaOutput::Follow(request), Some(link)) => {
                out.send(link, ToOwner::Follow(request));
            }
            (ReplicaOutput::Confirm { sequence, bytes }, Some(link)) => {
                out.send(link, ToOwner::Confirm { sequence, bytes });
            }
            (ReplicaOutput::Disconnect, link) => {
                self.dials.retain(|_, of| of != region);
                self.open.remove(region);
                if let Some(link) = link {
                    out.push(Effect::Close { link });
                }
            }
            (ReplicaOutput::Follow(_) | ReplicaOutput::Confirm { .. }, None) => {}
        }
    }

    /// Sends a write to its owner.
    pub fn route(&self, owner: &RegionId, write: Box<WriteRequest>, out: &mut Effects) {
        if let Some(link) = self.open.get(owner) {
            out.send(*link, ToOwner::Route(write));
        }
    }

    /// A dial has ended. Returns what the machine hears.
    pub fn on_dialed(
        &mut self,
        dial: DialId,
        link: Option<LinkId>,
        out: &mut Effects,
    ) -> Option<Input> {
        let Some(region) = self.dials.remove(&dial) else {
            if let Some(link) = link {
                out.push(Effect::Close { link });
            }
            return None;
        };
        let input = match link {
            Some(link) => {
                self.open.insert(region.clone(), link);
                ReplicaInput::Connected
            }
            None => ReplicaInput::Disconnected,
        };
        Some(self.told(region, input))
    }

    /// The input of the machine about the link to a region.
    fn told(&self, region: RegionId, input: ReplicaInput) -> Input {
        Input::Link {
            attempt: self.attempts.get(&region).copied().unwrap_or_default(),
            region,
            input: Box::new(input),
        }
    }

    /// A link is closed. Returns what the machine hears.
    pub fn on_closed(&mut self, link: LinkId) -> Input {
        self.routed.retain(|_, (of, _)| *of != link);
        let Some(region) = self.region_of(link) else {
            let follower = FollowerId(link.0);
            return Input::CloseFeed { follower };
        };
        self.open.remove(&region);
        self.told(region, ReplicaInput::Disconnected)
    }

    /// A message of an owner.
    pub fn of_owner(&self, link: LinkId, message: &ToCopy) -> Option<Input> {
        let region = self.region_of(link)?;
        let input = match message {
            ToCopy::Feed(message) => ReplicaInput::Receive(message.clone()),
            ToCopy::Refused(refusal) => ReplicaInput::Refused(refusal.clone()),
            ToCopy::Routed { write, result } => {
                let (write, result) = (*write, result.clone());
                return Some(Input::Routed { write, result });
            }
        };
        Some(self.told(region, input))
    }

    /// A message of a copy. `own` is the number of a routed write here.
    pub fn of_copy(&mut self, link: LinkId, message: &ToOwner, own: WriteId) -> Input {
        let follower = FollowerId(link.0);
        match message {
            ToOwner::Follow(request) => Input::OpenFeed {
                follower,
                request: Box::new(request.clone()),
            },
            ToOwner::Confirm { sequence, bytes } => Input::ConfirmFeed {
                follower,
                sequence: *sequence,
                bytes: *bytes,
            },
            ToOwner::Route(write) => {
                self.routed.insert(own, (link, write.write));
                Input::Write(Box::new(WriteRequest {
                    write: own,
                    ..WriteRequest::clone(write)
                }))
            }
        }
    }

    /// Answers a write if it was routed here. Returns the result if it was not.
    pub fn answer(
        &mut self,
        write: WriteId,
        result: Result<WriteOutcome, WriteRefusal>,
        out: &mut Effects,
    ) -> Option<Result<WriteOutcome, WriteRefusal>> {
        let Some((link, write)) = self.routed.remove(&write) else {
            return Some(result);
        };
        out.send(link, ToCopy::Routed { write, result });
        None
    }
}

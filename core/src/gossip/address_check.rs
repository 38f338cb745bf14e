//! Checks of the addresses that neighbours advertise.
//!
//! A neighbour that dialled its link itself may advertise an address at which it cannot be dialled; the mesh would learn
//! of that only when the link has to be replaced. Each node therefore checks one neighbour: the member that follows it on
//! the first ring. A check is a connection to the address that proves the member's id and is closed at once. A passed
//! check is not repeated while the address stays.
//!
//! Bounds: one check in each round of maintenance, [`CHECKS_MAX`] members.

use super::context::Context;
use super::overlay::Neighbourhood;
use super::view::Status;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::{EdgeFailure, MemberIndex};
use core::net::SocketAddr;
use std::collections::BTreeMap;

/// Age of a link at which the address of its peer is checked.
const CHECK_AFTER: Duration = Duration::from_secs(5);
/// Time between two of the first [`PROMPT`] failed checks.
const PROMPT_INTERVAL: Duration = Duration::from_secs(4);
/// Number of failed checks after which further ones follow at [`SLOW_INTERVAL`].
const PROMPT: u32 = 4;
const SLOW_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of members with a check.
const CHECKS_MAX: usize = 16;

/// The check of one member's address.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AddressCheck {
    address: SocketAddr,
    passed: bool,
    /// The reason of the latest failure.
    failure: Option<EdgeFailure>,
    /// Number of failures in sequence.
    failed: u32,
    /// The earliest time of the next check.
    next: Instant,
}

/// The checks of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AddressChecks {
    checks: BTreeMap<MemberIndex, AddressCheck>,
}

impl AddressChecks {
    /// A round of maintenance. Returns the member to check, if a check is due.
    pub(super) fn on_maintained(
        &mut self,
        context: &Context,
        near: &Neighbourhood<'_>,
    ) -> Option<MemberIndex> {
        let address = |member: MemberIndex| {
            let record = context.topology.known_record(member)?;
            record.content().address
        };
        self.checks.retain(|member, check| {
            let alive = near.members.status(context, *member) == Status::Alive;
            alive && address(*member) == Some(check.address)
        });
        let first = context.topology.following(context.me, 0).next();
        let failing = self.checks.iter().filter(|(_, check)| check.failed > 0);
        let failing: Vec<MemberIndex> = failing.map(|(member, _)| *member).collect();
        let due = first.into_iter().chain(failing).find(|member| {
            let check = self.checks.get(member);
            let rests = check.is_some_and(|check| check.passed || check.next > context.now);
            !rests && !near.dialer.is_dialing(*member) && is_dialled_by_peer(context, near, *member)
        })?;
        let room = self.checks.len() < CHECKS_MAX || self.checks.contains_key(&due);
        let check = AddressCheck {
            address: address(due).filter(|_| room)?,
            passed: false,
            failure: None,
            failed: 0,
            next: context.now,
        };
        let check = self.checks.entry(due).or_insert(check);
        let interval = if check.failed < PROMPT {
            PROMPT_INTERVAL
        } else {
            SLOW_INTERVAL
        };
        check.next = context.after(interval);
        Some(due)
    }

    /// The member proved its id at the address.
    pub(super) fn on_passed(&mut self, member: MemberIndex) {
        if let Some(check) = self.checks.get_mut(&member) {
            check.passed = true;
            check.failed = 0;
            check.failure = None;
        }
    }

    /// The address did not lead to the member.
    pub(super) fn on_failed(&mut self, member: MemberIndex, failure: EdgeFailure) {
        if let Some(check) = self.checks.get_mut(&member) {
            check.failed = check.failed.saturating_add(1);
            check.failure = Some(failure);
        }
    }

    /// The slot of a member was freed.
    pub(super) fn forget(&mut self, member: MemberIndex) {
        self.checks.remove(&member);
    }

    /// The members with a live link that they dialled, at whose address they could not be dialled, with the reason of the
    /// latest check.
    pub(super) fn failed<'a>(
        &'a self,
        context: &'a Context,
        near: &'a Neighbourhood<'_>,
    ) -> impl Iterator<Item = (MemberIndex, EdgeFailure)> + 'a {
        let failed = self.checks.iter();
        let failed = failed.filter_map(|(member, check)| Some((*member, check.failure?)));
        failed.filter(move |(member, _)| is_dialled_by_peer(context, near, *member))
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(MemberIndex, AddressCheck)>(self.checks.len())
    }
}

/// Whether the peer dialled the live link to a member, at least [`CHECK_AFTER`] ago.
fn is_dialled_by_peer(context: &Context, near: &Neighbourhood<'_>, member: MemberIndex) -> bool {
    let open = near.links.open_to(member);
    open.is_some_and(|(id, link)| {
        near.is_alive(id) && !link.is_dialed() && context.now - link.opened() >= CHECK_AFTER
    })
}

//! Admission: the rate at which connections from unknown nodes are accepted.
//!
//! A token bucket: each connection from a node that is not yet a neighbour or a known member takes a token. The bucket
//! holds `accept_burst` tokens and gains one each `accept_interval`. A connection without a token is refused as busy,
//! and its dialer is referred to other members.

use super::context::Context;
use super::members::Members;
use super::message::REFERRALS_MAX;
use super::view::Status;
use crate::identity::NodeId;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant, nanos};
use crate::topology::RINGS;
use core::net::SocketAddr;

/// The tokens for connections from unknown nodes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Admission {
    tokens: u32,
    /// The time up to which tokens were added.
    refilled: Instant,
}

impl Admission {
    /// Creates a full bucket.
    pub(super) const fn new(context: &Context) -> Self {
        Self {
            tokens: context.tuning().accept_burst,
            refilled: context.now,
        }
    }

    /// Takes a token; returns false if there is none.
    pub(super) fn take_token(&mut self, context: &Context) -> bool {
        let tuning = context.tuning();
        let interval = nanos(tuning.accept_interval).max(1);
        let earned = nanos(context.now - self.refilled) / interval;
        if earned > 0 {
            let tokens = u32::try_from(earned).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(tokens).min(tuning.accept_burst);
            self.refilled += Duration::from_nanos(earned.saturating_mul(interval));
        }
        let taken = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        taken
    }
}

/// The addresses of other members that a refused dialer may try, drawn at random.
pub(super) fn referrals(
    context: &mut Context,
    members: &Members,
    dialer: &NodeId,
) -> Vec<SocketAddr> {
    let mut others = Vec::new();
    if context.has(Switch::NoReferral) {
        return others;
    }
    for _ in 0..2 * REFERRALS_MAX {
        let Some(member) = context
            .topology
            .random_member(&mut context.random.admission)
        else {
            break;
        };
        if others.len() == REFERRALS_MAX {
            break;
        }
        let Some(record) = context.topology.known_record(member) else {
            continue;
        };
        if let Some(address) = record.content().address
            && record.id() != dialer
            && member != context.me
            && !context.topology.is_held_off(member)
            && members.status(context, member) == Status::Alive
            && !others.contains(&address)
        {
            others.push(address);
        }
    }
    if others.is_empty() {
        return followers(context, members, dialer);
    }
    others
}

/// The addresses of the members that follow this node on the rings: used if most members cannot be dialled, so that
/// draws rarely find one that can.
fn followers(context: &Context, members: &Members, dialer: &NodeId) -> Vec<SocketAddr> {
    let mut others = Vec::new();
    for ring in 0..RINGS {
        let following = context.topology.following(context.me, ring);
        for member in following.take(REFERRALS_MAX) {
            let record = context.topology.known_record(member);
            if let Some(record) = record
                && let Some(address) = record.content().address
                && record.id() != dialer
                && members.status(context, member) == Status::Alive
                && others.len() < REFERRALS_MAX
                && !others.contains(&address)
            {
                others.push(address);
            }
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{address, context, id, learn};

    #[test]
    fn a_burst_is_admitted_and_then_one_connection_each_interval() {
        let mut context = context();
        let (burst, interval) = {
            let tuning = context.tuning();
            (tuning.accept_burst, tuning.accept_interval)
        };
        let mut admission = Admission::new(&context);
        let admitted = (0..burst + 5).filter(|_| admission.take_token(&context));
        assert_eq!(admitted.count() as u32, burst);
        context.now += interval;
        assert!(admission.take_token(&context));
        assert!(!admission.take_token(&context));
    }

    #[test]
    fn an_idle_bucket_holds_no_more_than_a_burst() {
        let mut context = context();
        let mut admission = Admission::new(&context);
        context.now += Duration::from_secs(3_600);
        let admitted = (0..1_000).filter(|_| admission.take_token(&context));
        assert_eq!(admitted.count() as u32, context.tuning().accept_burst);
    }

    #[test]
    fn a_refused_dialer_is_referred_to_members_that_are_alive() {
        let mut context = context();
        let dialer = id(1);
        learn(&mut context, 1);
        let lost = learn(&mut context, 2);
        learn(&mut context, 3);
        let mut members = Members::new(context.now);
        members.set_status(lost, Status::Down);
        context.topology.set_alive(lost, false);
        let others = referrals(&mut context, &members, &dialer);
        assert_eq!(others, [address(3)]);
    }
}

//! Deaths of members: verdicts, and the evidence of refused dials.

use super::dialer::DialPurpose;
use super::failure_detector::refusals::RefusalStep;
use super::failure_detector::verdict;
use super::{DeathCause, Event, Gossip, LinkEnd, REDIALS_MAX, Status};
use crate::link::{CloseReason, DialError};
use crate::sabotage::Switch;
use crate::time::Instant;
use crate::topology::MemberIndex;

/// Verdicts.
impl Gossip {
    /// Declares down the suspects whose timeout has passed.
    pub(super) fn declare_down(&mut self) {
        let held_until = self.local_health.held_until(&self.context);
        let doubt = self.local_health.doubt(&self.context);
        let due = self.verdict.on_due(&mut self.context, held_until, doubt);
        let suspects = self.verdict.suspects();
        for (at, (member, cause)) in due.iter().copied().enumerate() {
            let further = suspects + due.len() - at - 1;
            self.on_dead(member, cause, further);
        }
        self.losses.report(&mut self.context, suspects);
    }

    /// A member is dead; `further` members are dead or suspect as well.
    fn on_dead(&mut self, member: MemberIndex, cause: DeathCause, further: usize) {
        self.set_status(member, Status::Down);
        verdict::set_listed(&mut self.context, member, false);
        let joint = self.losses.on_down(&self.context, member, further);
        self.context
            .report_of(member, |id| Event::PeerDown { id, cause, joint });
        self.refusals.end(&mut self.context, member);
        if self.context.has(Switch::ForgetsDown) {
            verdict::retire(&mut self.context, member);
            return;
        }
        self.members.on_down(&mut self.context, member);
        self.prober.begin(&mut self.context);
        if let Some(link) = self.links.current(member)
            && !self.is_link_alive(link)
        {
            self.drop_link(link, LinkEnd::Silent);
        }
        self.overlay.schedule(&mut self.context);
    }
}

/// Refused dials.
impl Gossip {
    /// The link to a ring neighbour ended without a goodbye.
    pub(super) fn on_broken(&mut self, member: MemberIndex, reason: CloseReason) {
        let addressed = self.context.topology.is_addressed(member);
        if !is_by_kernel(reason) || !addressed || self.context.has(Switch::NoRefusals) {
            return;
        }
        self.refusals.on_broken(&mut self.context, member);
        if self.context.has(Switch::ResetIsRefusal) {
            self.confirm_refused(member);
        }
    }

    /// A dial to a member failed that had `started` at a time.
    pub(super) fn on_dial_to_member_failed(
        &mut self,
        member: MemberIndex,
        started: Instant,
        reason: &DialError,
    ) {
        match reason {
            DialError::Refused => {
                if self.may_check_unlinked(member) {
                    self.refusals
                        .on_unlinked(&mut self.context, member, started);
                }
                let refusal = self.refusals.on_refused(&mut self.context, member, started);
                self.on_refusal(member, refusal);
            }
            DialError::TimedOut | DialError::Unreachable => {
                self.refusals.end(&mut self.context, member);
            }
            DialError::Untrusted(_) | DialError::Protocol(_) => self.on_member_answered(member),
        }
    }

    /// A connection to a member closed during the handshake that this node began.
    pub(super) fn on_handshake_broken(&mut self, member: MemberIndex, reason: CloseReason) {
        let addressed = self.context.topology.is_addressed(member);
        if is_by_kernel(reason) && addressed && self.may_check_unlinked(member) {
            self.refusals.on_broken_off(&mut self.context, member);
        }
    }

    /// Whether a check of a member may begin that has no link, open or broken: a ring neighbour that may have died before
    /// its first links.
    fn may_check_unlinked(&self, member: MemberIndex) -> bool {
        let (context, topology) = (&self.context, &self.context.topology);
        self.bootstrap.discovers()
            && !self.links.is_neighbour(member)
            && !self.refusals.is_checked(member)
            && matches!(self.status(member), Status::Alive | Status::Suspect)
            && topology.is_ring_edge(context.me, member)
            && !context.has(Switch::NoRefusals)
            && !context.has(Switch::OnlyBrokenChecked)
    }

    /// Begins a check of each ring neighbour without a link that another node could not dial, or never linked to.
    pub(super) fn check_accused(&mut self) {
        let topology = &self.context.topology;
        let neighbours = topology.ring_neighbours(self.context.me).into_iter();
        let unlinked = neighbours.filter(|member| {
            !self.links.is_neighbour(*member)
                && topology.is_addressed(*member)
                && !self.dialer.is_dialing(*member)
                && self.refusals.may_accuse(&self.context, *member)
                && self.may_check_unlinked(*member)
        });
        let is_accused = |member: &MemberIndex| {
            let mut edges = topology.edges_to(*member);
            edges.any(|(reporter, edge)| {
                let unreached = edge.refused || edge.last_heard.is_none();
                reporter != self.context.me && edge.down && unreached
            })
        };
        for member in unlinked.filter(is_accused).collect::<Vec<MemberIndex>>() {
            self.refusals.on_accused(&mut self.context, member);
        }
    }

    fn on_refusal(&mut self, member: MemberIndex, refusal: RefusalStep) {
        if self.links.open_to(member).is_some() {
            return;
        }
        let ring_edge = self.context.topology.is_ring_edge(self.context.me, member);
        if ring_edge && self.context.has(Switch::OneRefusalSuffices) {
            self.confirm_refused(member);
            return;
        }
        match refusal {
            RefusalStep::Accuse | RefusalStep::Confirm if !ring_edge => {
                self.refusals.end(&mut self.context, member);
            }
            RefusalStep::None => {}
            RefusalStep::Accuse => self.accuse(member),
            RefusalStep::Confirm => self.confirm_refused(member),
        }
    }

    /// Reports the edge to a member down. The member was alive until its link ended.
    fn accuse(&mut self, member: MemberIndex) {
        let heard = self.refusals.lived(member).max(self.last_heard(member));
        self.self_record.set_edge(member, true, heard);
    }

    fn confirm_refused(&mut self, member: MemberIndex) {
        self.accuse(member);
        self.self_record.set_refused(member, true);
    }

    /// A process answered at the address of a member.
    pub(super) fn on_member_answered(&mut self, member: MemberIndex) {
        if self.refusals.on_answered(&mut self.context, member) {
            self.self_record.set_refused(member, false);
        }
    }

    /// Ends the check of a member that is alive: it has a link, or returned.
    pub(super) fn end_refusals(&mut self, member: MemberIndex) {
        self.refusals.on_alive(&mut self.context, member);
        self.self_record.set_refused(member, false);
    }

    /// The next dial of a check is due.
    pub(super) fn on_refusal_due(&mut self, member: MemberIndex) {
        let dials = self.refusals.on_due(&mut self.context, member);
        // A member without a link may be dialled for its ring; that dial counts as well.
        let most = if self.links.is_neighbour(member) {
            REDIALS_MAX
        } else {
            1
        };
        if dials && self.dialer.attempts(member) < most {
            self.dial_member(DialPurpose::Redial, member);
        }
    }
}

/// Whether the peer's host ended a connection without a goodbye of the peer, as it does for a process that ended.
const fn is_by_kernel(reason: CloseReason) -> bool {
    match reason {
        CloseReason::Fin | CloseReason::Reset => true,
        CloseReason::Farewell | CloseReason::TimedOut | CloseReason::Local(_) => false,
    }
}

//! The certificates of a run: when each ends, and what takes its place.
//!
//! The simulated calendar of TLS begins at 1970-01-01, so that is when the first become valid: earlier dates cannot be
//! encoded, later ones have not come. The end of a certificate is written into it, so the plan is read ahead: one that
//! a step has expire is issued with that end.

use core::time::Duration;
use phalanx_core::time::Wall;
use phalanx_net::identity::{Authority, Identity, IdentityError, PemParts, Subject, Validity};
use phalanx_sim::mesh::life::MESH;
use phalanx_sim::scenario::plan::{Order, Plan, Planned};
use phalanx_sim::scenario::{Certificate, Host};

/// From the beginning of the calendar to an end that no run reaches.
const ALWAYS: Validity = Validity {
    not_before: Wall(0),
    not_after: Wall(50 * 365 * 86_400),
};
/// Links close at most so long before a certificate ends.
const CLOSING: Duration = Duration::from_secs(3);

/// The certificates of a run.
pub(crate) struct Certificates {
    authority: Authority,
    hosts: Vec<Held>,
}

/// The certificate that a host has.
struct Held {
    subject: Subject,
    identity: Identity,
    /// When certificates of this host end, and by which step.
    ends: Vec<End>,
    /// When this one does.
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct End {
    at: Duration,
    step: Option<usize>,
}

impl Certificates {
    /// One for each host; a clone has its own key and the other's id.
    pub(crate) fn issue(hosts: &[Host], plan: &Plan) -> Result<Self, String> {
        let (authority, _) = Authority::new(MESH, ALWAYS).map_err(failed)?;
        let held = |(index, host): (usize, &Host)| {
            let subject = Subject::node(MESH, host.id.clone())?;
            let ends = ends(plan, index);
            let end = ends.first().copied();
            let identity = made(&authority, &subject, Duration::ZERO, end)?;
            Ok(Held {
                subject,
                identity,
                ends,
                end,
            })
        };
        let hosts = hosts.iter().enumerate().map(held);
        let hosts = hosts.collect::<Result<_, _>>().map_err(failed)?;
        Ok(Self { authority, hosts })
    }

    /// What a host proves itself with.
    pub(crate) fn of(&self, host: usize) -> &Identity {
        &self.hosts[host].identity
    }

    /// A new certificate and key for a host.
    pub(crate) fn rotate(&mut self, host: usize, now: Duration) -> Result<&Identity, String> {
        let held = &mut self.hosts[host];
        held.end = held.ends.iter().find(|end| end.at > now).copied();
        held.identity = made(&self.authority, &held.subject, now, held.end).map_err(failed)?;
        Ok(&held.identity)
    }

    /// The step that has the certificate of one of these hosts end about now.
    pub(crate) fn ending(&self, hosts: [usize; 2], now: Duration) -> Option<usize> {
        let ends = hosts.into_iter().filter_map(|host| self.hosts[host].end);
        let mut near = ends.filter(|end| now + CLOSING >= end.at);
        near.find_map(|end| end.step)
    }
}

/// When the plan has certificates of a host end.
fn ends(plan: &Plan, of: usize) -> Vec<End> {
    let end = |planned: &Planned| {
        let expired = Order::Certificate {
            host: of,
            is: Certificate::Expired,
        };
        (planned.order == expired).then_some(End {
            at: planned.at,
            step: planned.step,
        })
    };
    plan.orders.iter().filter_map(end).collect()
}

/// A certificate that is valid from now until it ends.
fn made(
    authority: &Authority,
    subject: &Subject,
    now: Duration,
    end: Option<End>,
) -> Result<Identity, IdentityError> {
    let now = Wall(now.as_secs());
    let validity = Validity {
        not_before: now,
        not_after: end.map_or(ALWAYS.not_after, |end| Wall(end.at.as_secs())),
    };
    let issued = authority.issue(subject, validity)?;
    let parts = PemParts::issued(&issued, authority.certificate_pem());
    Identity::from_pem(&parts, subject, now)
}

fn failed(error: IdentityError) -> String {
    format!("the certificates cannot be made: {error}")
}

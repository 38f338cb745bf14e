//! The certificates of a run: expiry and replacement.
//!
//! The simulated calendar of TLS begins at 1970-01-01, and the first certificates become valid at this date: earlier
//! dates cannot be encoded, and later dates lie in the future. The expiry is part of a certificate, so it is read from
//! the plan in advance: a certificate that a step makes expire is issued with that expiry.

use core::time::Duration;
use phalanx_core::time::Wall;
use phalanx_net::identity::{Authority, Identity, IdentityError, PemParts, Subject, Validity};
use phalanx_sim::mesh::node_start::MESH;
use phalanx_sim::scenario::plan::{Plan, Planned, ScheduledAction};
use phalanx_sim::scenario::{CertificateChange, Host};

/// Validity from the beginning of the calendar to a date that no run reaches.
const ALWAYS: Validity = Validity {
    not_before: Wall(0),
    not_after: Wall(50 * 365 * 86_400),
};
/// Maximum time before the expiry of a certificate at which links close.
const CLOSING: Duration = Duration::from_secs(3);

/// The certificates of a run.
pub(crate) struct Certificates {
    authority: Authority,
    hosts: Vec<IssuedCertificate>,
}

/// The certificate of a host.
struct IssuedCertificate {
    subject: Subject,
    identity: Identity,
    /// The expiries of this host's certificates, each with the step that causes it.
    ends: Vec<End>,
    /// The expiry of the current certificate.
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct End {
    at: Duration,
    step: Option<usize>,
}

impl Certificates {
    /// Issues a certificate for each host. A clone has its own key and the id of the other host.
    pub(crate) fn issue(hosts: &[Host], plan: &Plan) -> Result<Self, String> {
        let (authority, _) = Authority::of_constant_sizes(MESH, ALWAYS).map_err(failed)?;
        let held = |(index, host): (usize, &Host)| {
            let subject = Subject::node(MESH, host.id.clone())?;
            let ends = ends(plan, index);
            let end = ends.first().copied();
            let identity = made(&authority, &subject, Duration::ZERO, end)?;
            Ok(IssuedCertificate {
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

    /// Returns the identity of a host.
    pub(crate) fn of(&self, host: usize) -> &Identity {
        &self.hosts[host].identity
    }

    /// Issues a new certificate and key for a host.
    pub(crate) fn rotate(&mut self, host: usize, now: Duration) -> Result<&Identity, String> {
        let held = &mut self.hosts[host];
        held.end = held.ends.iter().find(|end| end.at > now).copied();
        held.identity = made(&self.authority, &held.subject, now, held.end).map_err(failed)?;
        Ok(&held.identity)
    }

    /// Returns the step that makes the certificate of one of these hosts expire at about this time.
    pub(crate) fn ending(&self, hosts: [usize; 2], now: Duration) -> Option<usize> {
        let ends = hosts.into_iter().filter_map(|host| self.hosts[host].end);
        let mut near = ends.filter(|end| now + CLOSING >= end.at);
        near.find_map(|end| end.step)
    }
}

/// Returns the expiries of a host's certificates in the plan.
fn ends(plan: &Plan, of: usize) -> Vec<End> {
    let end = |planned: &Planned| {
        let expired = ScheduledAction::Certificate {
            host: of,
            is: CertificateChange::Expired,
        };
        (planned.action == expired).then_some(End {
            at: planned.at,
            step: planned.step,
        })
    };
    plan.actions.iter().filter_map(end).collect()
}

/// Creates a certificate that is valid from this time until its expiry.
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

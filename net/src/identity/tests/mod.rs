//! Tests of accepted certificates, and of the errors for rejected ones.

mod directory;
mod handshake;
mod refused;
mod secrets;

use super::{Authority, Identity, PemParts, Source, Subject, Validity};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Wall;
use std::time::{SystemTime, UNIX_EPOCH};

/// This machine's time, because handshakes read the clock themselves.
fn now() -> Wall {
    Wall(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
}

fn node(mesh: &str, id: &str) -> Subject {
    Subject::node(mesh, NodeId::new(id).unwrap()).unwrap()
}

fn admin(mesh: &str, name: &str) -> Subject {
    Subject::admin(mesh, NodeId::new(name).unwrap()).unwrap()
}

fn days(days: u64) -> Validity {
    Validity::days(now(), days)
}

fn authority(mesh: &str) -> Authority {
    Authority::new(mesh, days(365)).unwrap().0
}

fn parts(authority: &Authority, subject: &Subject) -> PemParts {
    PemParts::issued(
        &authority.issue(subject, days(90)).unwrap(),
        authority.certificate_pem(),
    )
}

fn identity(authority: &Authority, subject: &Subject) -> Identity {
    Identity::from_pem(&parts(authority, subject), subject, now()).unwrap()
}

#[test]
fn a_subject_is_written_as_a_spiffe_id_and_read_back() {
    for subject in [node("prod", "web-1.eu"), admin("prod", "ada")] {
        assert_eq!(subject.to_string().parse(), Ok(subject));
    }
    assert_eq!(node("prod", "a").to_string(), "spiffe://prod/node/a");
    for bad in [
        "",
        "prod/node/a",
        "spiffe://prod/node",
        "spiffe://prod/node/a/b",
        "spiffe://prod/root/a",
        "spiffe://Prod/node/a",
        "spiffe://prod/node/A",
    ] {
        assert!(bad.parse::<Subject>().is_err(), "{bad}");
    }
}

#[test]
fn certificates_are_read_from_the_environment() {
    let (ca, subject) = (authority("prod"), node("prod", "a"));
    let parts = parts(&ca, &subject);
    let text = |pem: &[u8]| String::from_utf8(pem.to_vec()).unwrap();
    let source = Source::Variables {
        certificate: text(&parts.certificate.pem),
        key: text(&parts.key.pem),
        ca: text(&parts.ca.pem),
    };
    assert!(
        !format!("{source:?}").contains("PRIVATE"),
        "the debug output of a source contains its key"
    );
    let opened = super::open(&source, &subject, now()).unwrap();
    assert_eq!(opened.identity.subject(), &subject);
    assert_eq!(opened.warnings, []);
}

#[test]
fn a_certificate_does_not_outlive_its_ca() {
    let ca = Authority::new("prod", days(10)).unwrap().0;
    let subject = node("prod", "a");
    let parts = PemParts::issued(&ca.issue(&subject, days(90)).unwrap(), ca.certificate_pem());
    let identity = Identity::from_pem(&parts, &subject, now()).unwrap();
    assert_eq!(identity.validity().not_after, days(10).not_after);
}

#[test]
fn a_ca_and_certificates_of_1970_work_with_a_simulated_clock() {
    let validity = Validity {
        not_before: Wall(0),
        not_after: Wall(7_258_118_400),
    };
    let ca = Authority::new("sim", validity).unwrap().0;
    let subject = node("sim", "a");
    let parts = PemParts::issued(&ca.issue(&subject, validity).unwrap(), ca.certificate_pem());
    let identity = Identity::from_pem(&parts, &subject, Wall(0)).unwrap();
    assert_eq!(identity.validity(), validity);
}

#[test]
fn an_expired_ca_is_ignored_beside_its_successor() {
    let old = Authority::new(
        "prod",
        Validity {
            not_before: Wall(0),
            not_after: Wall(10),
        },
    )
    .unwrap()
    .0;
    let (ca, subject) = (authority("prod"), node("prod", "a"));
    let mut parts = parts(&ca, &subject);
    parts.ca.pem = format!("{}{}", old.certificate_pem(), ca.certificate_pem()).into_bytes();
    assert!(Identity::from_pem(&parts, &subject, now()).is_ok());
}

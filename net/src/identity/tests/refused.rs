//! Tests of bad certificates, keys and CAs: each has its own error, which names the place.

use super::super::{
    Authority, CertificateRole, Identity, IdentityError, PemParts, Source, Subject, Validity, open,
};
use super::{admin, authority, days, node, now, parts};
use phalanx_core::time::Wall;
use std::path::PathBuf;

fn refused(parts: &PemParts, subject: &Subject) -> IdentityError {
    let error = Identity::from_pem(parts, subject, now()).expect_err("the identity is not valid");
    assert!(
        !error.to_string().contains("PRIVATE KEY-----\n"),
        "an error contains a key"
    );
    error
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let source = Source::Files {
        certificate: PathBuf::from("/nonexistent/a.pem"),
        key: PathBuf::from("/nonexistent/k.pem"),
        ca: PathBuf::from("/nonexistent/ca.pem"),
    };
    let error = open(&source, &node("prod", "a"), now()).unwrap_err();
    assert!(matches!(error, IdentityError::Unreadable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/a.pem: cannot be read"),
        "{error}"
    );
}

#[test]
fn text_that_is_not_pem_is_named_with_its_apparent_content() {
    let (ca, subject) = (authority("prod"), node("prod", "a"));
    let good = parts(&ca, &subject);
    let cases: [(&[u8], &str); 4] = [
        (b"", "it is empty"),
        (b"hello", "its content is unknown"),
        (&[0x30, 0x82, 1], "it seems to be in DER"),
        (&good.key.pem, "it contains a private key"),
    ];
    for (pem, said) in cases {
        let mut bad = good.clone();
        bad.certificate.pem = pem.to_vec();
        let error = refused(&bad, &subject);
        assert!(
            matches!(
                error,
                IdentityError::NotPem {
                    wanted: "certificate",
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(said), "{error}");
    }
    let mut bad = good.clone();
    bad.key.pem = good.certificate.pem.clone();
    let error = refused(&bad, &subject);
    assert!(
        matches!(
            error,
            IdentityError::NotPem {
                wanted: "private key",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("it contains a certificate"),
        "{error}"
    );

    let mut bad = good.clone();
    let text = String::from_utf8(good.certificate.pem.clone()).unwrap();
    bad.certificate.pem = text.replacen("MII", "????", 1).into_bytes();
    assert!(matches!(
        refused(&bad, &subject),
        IdentityError::NotPem { .. } | IdentityError::Unusable { .. }
    ));
    let mut bad = good;
    bad.ca.pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    assert!(matches!(
        refused(&bad, &subject),
        IdentityError::Unusable { .. }
    ));
}

#[test]
fn a_key_of_another_certificate_is_named() {
    let (ca, subject) = (authority("prod"), node("prod", "a"));
    let mut bad = parts(&ca, &subject);
    bad.key = parts(&ca, &subject).key;
    assert!(matches!(
        refused(&bad, &subject),
        IdentityError::KeyMismatch { .. }
    ));
}

#[test]
fn a_certificate_outside_its_validity_is_named_with_the_dates() {
    let (ca, subject) = (
        Authority::new(
            "prod",
            Validity {
                not_before: Wall(0),
                not_after: Wall(u64::MAX),
            },
        )
        .unwrap()
        .0,
        node("prod", "a"),
    );
    let issued = |not_before, not_after| {
        let validity = Validity {
            not_before: Wall(not_before),
            not_after: Wall(not_after),
        };
        refused(
            &PemParts::issued(&ca.issue(&subject, validity).unwrap(), ca.certificate_pem()),
            &subject,
        )
    };
    let error = issued(0, 1_700_000_000);
    assert!(matches!(error, IdentityError::Expired { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("expired at 2023-11-14T22:13:20Z"),
        "{error}"
    );
    let error = issued(7_000_000_000, 8_000_000_000);
    assert!(
        matches!(error, IdentityError::NotYetValid { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("valid from 2191-"), "{error}");
}

#[test]
fn an_expired_ca_is_named() {
    let validity = Validity {
        not_before: Wall(0),
        not_after: Wall(1_700_000_000),
    };
    let (old, subject) = (
        Authority::new("prod", validity).unwrap().0,
        node("prod", "a"),
    );
    let mut bad = parts(&authority("prod"), &subject);
    bad.ca.pem = old.certificate_pem().as_bytes().to_vec();
    let error = refused(&bad, &subject);
    assert!(matches!(error, IdentityError::Expired { .. }), "{error}");
    assert!(error.to_string().starts_with("the CA: "), "{error}");
}

#[test]
fn a_foreign_ca_is_named_even_under_the_same_name() {
    let subject = node("prod", "a");
    let mut bad = parts(&authority("prod"), &subject);
    for (mesh, why) in [
        ("prod", "the same name but another key"),
        ("other", "signed by another CA"),
    ] {
        bad.ca.pem = authority(mesh).certificate_pem().as_bytes().to_vec();
        let error = refused(&bad, &subject);
        assert!(matches!(error, IdentityError::ForeignCa { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_certificate_for_another_subject_is_named_with_both_names() {
    let ca = authority("prod");
    let error = refused(&parts(&ca, &node("prod", "b")), &node("prod", "a"));
    assert!(
        matches!(&error, IdentityError::WrongId { found, configured, .. } if (found.as_str(), configured.as_str()) == ("b", "a")),
        "{error}"
    );
    let error = refused(&parts(&ca, &node("prod", "a")), &node("test", "a"));
    assert!(
        matches!(&error, IdentityError::WrongMesh { found, configured, .. } if (found.as_str(), configured.as_str()) == ("prod", "test")),
        "{error}"
    );
    let error = refused(&parts(&ca, &admin("prod", "a")), &node("prod", "a"));
    assert!(
        matches!(
            error,
            IdentityError::WrongRole {
                found: CertificateRole::Admin,
                wanted: CertificateRole::Node,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_certificate_without_a_subject_and_a_node_certificate_as_ca_are_named() {
    let (ca, subject) = (authority("prod"), node("prod", "a"));
    let good = parts(&ca, &subject);
    let mut bad = good.clone();
    let (_, issued) = Authority::new("prod", days(1)).unwrap();
    bad.certificate.pem = issued.certificate_pem.into_bytes();
    bad.key.pem = issued.key_pem.into_bytes();
    let error = refused(&bad, &subject);
    assert!(matches!(error, IdentityError::NoSubject { .. }), "{error}");
    let mut bad = good.clone();
    bad.ca.pem = good.certificate.pem;
    let error = refused(&bad, &subject);
    assert!(
        error.to_string().contains("not the certificate of a CA"),
        "{error}"
    );
}

//! Tests of certificate directories, and of the functions behind `phalanx ca`.

use super::super::files::lock_within;
use super::super::{
    CA_DAYS, ExtraNames, IdentityError, IssuedFiles, NODE_DAYS, Source, Warning, ca_init, ca_issue,
    ca_show, inspect, open,
};
use super::{admin, days, node, now};
use phalanx_core::credentials::Validity;
use phalanx_core::subject::Subject;
use phalanx_core::time::Wall;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Issues a certificate without further names.
fn issue(
    directory: &Path,
    subject: &Subject,
    target: &Path,
    validity: Validity,
) -> Result<IssuedFiles, IdentityError> {
    ca_issue(directory, subject, target, validity, &ExtraNames::default())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_creates_certificates_and_the_next_loads_them() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("certs");
    let source = Source::Directory(directory.clone());
    let first = open(&source, &node("prod", "a"), now()).unwrap();
    assert_eq!(first.warnings, []);
    assert_eq!(mode(&directory), 0o700);
    for name in ["ca-cert.pem", "ca-key.pem", "a-cert.pem", "a-key.pem"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
    let second = open(&source, &node("prod", "a"), now()).unwrap();
    assert_eq!(first.identity.facts(), second.identity.facts());

    let ca = &ca_show(&directory.join("ca-cert.pem")).unwrap()[0];
    assert_eq!(
        (ca.ca, ca.uris.as_slice()),
        (true, ["spiffe://prod".to_owned()].as_slice())
    );
    let life = |facts: &super::super::CertificateFacts| {
        (facts.validity.not_after.0 - facts.validity.not_before.0) / 86_400
    };
    let own = first.identity.facts();
    assert_eq!((life(ca), life(own)), (CA_DAYS, NODE_DAYS));
    assert_eq!(own.subject.as_ref(), Some(&node("prod", "a")));
    assert_eq!(own.dns_names, ["a", "localhost"]);
    assert_eq!(
        own.addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["127.0.0.1", "::1"]
    );
    assert_eq!(own.algorithm, "ECDSA");
}

#[test]
fn nothing_is_made_with_a_clock_of_1970() {
    let place = tempfile::tempdir().unwrap();
    let source = Source::Directory(place.path().join("certs"));
    let error = open(&source, &node("prod", "a"), Wall(7)).unwrap_err();
    assert!(matches!(error, IdentityError::Clock { .. }), "{error}");
    assert!(
        error.to_string().contains("clock shows 1970-01-01"),
        "{error}"
    );
    assert!(!place.path().join("certs").exists());
}

#[test]
fn a_certificate_that_was_made_with_a_clock_ahead_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let ahead = Validity::days(Wall(now().0 + 365 * 86_400), 90);
    ca_init(directory, "prod", days(900)).unwrap();
    let subject = admin("prod", "ada");
    issue(directory, &subject, directory, ahead).unwrap();
    let source = Source::Directory(directory.to_owned());
    let opened = open(&source, &subject, now()).unwrap();
    assert!(opened.identity.validity().not_before < now());
}

#[test]
fn a_node_certificate_names_further_names_and_addresses() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    ca_init(directory, "prod", days(365)).unwrap();
    let extra = ExtraNames {
        names: vec!["web-1.example".to_owned()],
        addresses: vec!["10.0.0.5".parse().unwrap()],
        registry: Some("eu".parse().unwrap()),
    };
    let files = ca_issue(directory, &node("prod", "a"), directory, days(90), &extra).unwrap();
    let facts = &ca_show(&files.certificate).unwrap()[0];
    assert_eq!(facts.dns_names, ["a", "localhost", "web-1.example"]);
    assert!(facts.addresses.contains(&extra.addresses[0]));
    assert_eq!(facts.registry, extra.registry);
    assert_eq!(facts.subject, Some(node("prod", "a")));
    let source = Source::Directory(directory.to_owned());
    assert!(open(&source, &node("prod", "a"), now()).is_ok());
    // PKCS #8 version 1: the first integer of the structure is 0.
    let key = fs::read_to_string(&files.key).unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let version = der
        .secret_pkcs8_der()
        .windows(3)
        .find(|it| it[..2] == [2, 1]);
    assert_eq!(version, Some(&[2, 1, 0][..]));
}

#[test]
fn nodes_that_start_at_the_same_time_share_one_ca() {
    let place = tempfile::tempdir().unwrap();
    let source = Source::Directory(place.path().join("certs"));
    let together = Barrier::new(8);
    let issuers: Vec<_> = std::thread::scope(|scope| {
        let start = |n: usize| {
            let (source, together) = (&source, &together);
            scope.spawn(move || {
                together.wait();
                open(source, &node("prod", &format!("n{n}")), now()).map(|_| ())
            })
        };
        let started: Vec<_> = (0..8).map(start).collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(issuers.iter().all(Result::is_ok), "{issuers:?}");
    // When opened again, each certificate verifies against the one CA that remained.
    for n in 0..8 {
        open(&source, &node("prod", &format!("n{n}")), now()).unwrap();
    }
    let left: Vec<_> = fs::read_dir(place.path().join("certs"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().ends_with(".tmp")),
        "{left:?}"
    );
}

#[test]
fn a_half_written_certificate_is_created_again() {
    let place = tempfile::tempdir().unwrap();
    let source = Source::Directory(place.path().to_owned());
    let first = open(&source, &node("prod", "a"), now()).unwrap();
    fs::remove_file(place.path().join("a-cert.pem")).unwrap();
    let second = open(&source, &node("prod", "a"), now()).unwrap();
    assert_ne!(
        first.identity.facts().fingerprint,
        second.identity.facts().fingerprint
    );
    assert_eq!(
        first.identity.facts().issuer,
        second.identity.facts().issuer
    );
}

#[test]
fn files_readable_by_other_users_cause_a_warning() {
    let place = tempfile::tempdir().unwrap();
    let source = Source::Directory(place.path().to_owned());
    open(&source, &node("prod", "a"), now()).unwrap();
    let key = place.path().join("a-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let opened = open(&source, &node("prod", "a"), now()).unwrap();
    assert_eq!(
        opened.warnings,
        [Warning::OpenPermissions {
            path: key.clone(),
            mode: 0o644,
            wanted: 0o600
        }]
    );
    let text = opened.warnings[0].to_string();
    assert!(
        text.contains(&format!("chmod 0600 {}", key.display())),
        "{text}"
    );
}

#[test]
fn a_ca_created_by_ca_init_issues_for_nodes_and_administrators() {
    let place = tempfile::tempdir().unwrap();
    let (safe, shipped) = (place.path().join("safe"), place.path().join("shipped"));
    let ca = ca_init(&safe, "prod", days(365)).unwrap();
    assert!(
        matches!(ca_init(&safe, "prod", days(365)), Err(IdentityError::Exists { path }) if path == ca)
    );

    let files = issue(&safe, &node("prod", "a"), &shipped, days(90)).unwrap();
    assert_eq!(mode(&files.key), 0o600);
    let source = Source::Files {
        certificate: files.certificate,
        key: files.key,
        ca: files.ca,
    };
    assert_eq!(
        open(&source, &node("prod", "a"), now())
            .unwrap()
            .identity
            .subject(),
        &node("prod", "a")
    );

    issue(&safe, &admin("prod", "ada"), &shipped, days(90)).unwrap();
    open(
        &Source::Directory(shipped.clone()),
        &admin("prod", "ada"),
        now(),
    )
    .unwrap();

    // The target does not contain the CA's key, so another node's certificate cannot be created
    // there.
    let error = open(
        &Source::Directory(shipped.clone()),
        &node("prod", "b"),
        now(),
    )
    .unwrap_err();
    assert!(matches!(error, IdentityError::NoCaKey { .. }), "{error}");
    let error = issue(&safe, &node("other", "a"), &shipped, days(90)).unwrap_err();
    assert!(matches!(error, IdentityError::WrongMesh { .. }), "{error}");
    // A second CA does not issue into a directory that holds the first CA's certificates.
    ca_init(&place.path().join("second"), "prod", days(365)).unwrap();
    let error = issue(
        &place.path().join("second"),
        &node("prod", "c"),
        &shipped,
        days(90),
    )
    .unwrap_err();
    assert!(matches!(error, IdentityError::Exists { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    // /proc does not accept new directories, even from root.
    for directory in [file.join("certs"), "/proc/phalanx-certs".into()] {
        let error = open(
            &Source::Directory(directory.clone()),
            &node("prod", "a"),
            now(),
        )
        .unwrap_err();
        assert!(matches!(error, IdentityError::Unwritable { .. }), "{error}");
        assert!(
            error.to_string().contains(&directory.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn a_certificate_is_read_with_its_key_while_it_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    ca_init(place.path(), "prod", days(365)).unwrap();
    let subject = node("prod", "a");
    issue(place.path(), &subject, place.path(), days(90)).unwrap();
    let source = Source::Directory(place.path().to_owned());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..200 {
                issue(place.path(), &subject, place.path(), days(90)).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut seen = BTreeSet::new();
        while !done.load(Ordering::SeqCst) {
            let opened = open(&source, &subject, now());
            let opened = opened.unwrap_or_else(|error| panic!("{error}"));
            seen.insert(opened.identity.facts().fingerprint.clone());
        }
        writer.join().unwrap();
        assert!(seen.len() > 1, "the reader saw both certificates");
    });
    let key = fs::read_to_string(place.path().join("a-key.pem")).unwrap();
    assert_eq!(key.matches("BEGIN PRIVATE KEY").count(), 1);
}

#[test]
fn a_replacement_interrupted_at_any_step_leaves_a_matching_pair() {
    let place = tempfile::tempdir().unwrap();
    ca_init(place.path(), "prod", days(365)).unwrap();
    let subject = node("prod", "a");
    let files = issue(place.path(), &subject, place.path(), days(90)).unwrap();
    let source = Source::Directory(place.path().to_owned());
    let old = fs::read_to_string(&files.key).unwrap();
    let (old_certificate, new) = (fs::read(&files.certificate).unwrap(), {
        issue(place.path(), &subject, place.path(), days(90)).unwrap();
        fs::read_to_string(&files.key).unwrap()
    });
    // The key file holds both keys, first with the old certificate, then with the new one.
    let new_certificate = fs::read(&files.certificate).unwrap();
    fs::write(&files.key, format!("{new}{old}")).unwrap();
    for certificate in [old_certificate, new_certificate] {
        fs::write(&files.certificate, certificate).unwrap();
        open(&source, &subject, now()).unwrap();
    }
    issue(place.path(), &subject, place.path(), days(90)).unwrap();
    let left = fs::read_to_string(&files.key).unwrap();
    assert_eq!(left.matches("BEGIN PRIVATE KEY").count(), 1);
}

#[test]
fn an_incomplete_authority_is_an_error_and_is_not_overwritten() {
    for lost in ["ca-cert.pem", "ca-key.pem"] {
        let place = tempfile::tempdir().unwrap();
        let source = Source::Directory(place.path().to_owned());
        open(&source, &node("prod", "a"), now()).unwrap();
        fs::remove_file(place.path().join(lost)).unwrap();
        let files = || {
            let mut all: Vec<_> = fs::read_dir(place.path())
                .unwrap()
                .map(|file| file.unwrap().path())
                .map(|path| (path.clone(), fs::read(path).unwrap()))
                .collect();
            all.sort();
            all
        };
        let before = files();
        let errors = [
            open(&source, &node("prod", "b"), now()).unwrap_err(),
            inspect(&source, &node("prod", "b"), now()).unwrap_err(),
            ca_init(place.path(), "prod", days(365)).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("ca-"), "{error}");
        }
        assert_eq!(files(), before, "{lost}");
    }
}

#[test]
fn no_authority_is_created_beside_certificates_of_a_missing_one() {
    let place = tempfile::tempdir().unwrap();
    let source = Source::Directory(place.path().to_owned());
    open(&source, &node("prod", "a"), now()).unwrap();
    for name in ["ca-cert.pem", "ca-key.pem"] {
        fs::remove_file(place.path().join(name)).unwrap();
    }
    let error = open(&source, &node("prod", "a"), now()).unwrap_err();
    assert!(matches!(error, IdentityError::NoCa { .. }), "{error}");
    assert!(error.to_string().contains("a-cert.pem"), "{error}");
}

#[test]
fn inspect_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("certs");
    let source = Source::Directory(directory.clone());
    for id in ["a", "ca", "admin"] {
        assert!(
            inspect(&source, &node("prod", id), now())
                .unwrap()
                .is_none()
        );
        assert!(!directory.exists());
    }
    open(&source, &node("prod", "a"), now()).unwrap();
    fs::remove_file(directory.join("a-key.pem")).unwrap();
    assert!(
        inspect(&source, &node("prod", "a"), now())
            .unwrap()
            .is_none()
    );
    assert!(!directory.join("a-key.pem").exists());
    open(&source, &node("prod", "a"), now()).unwrap();
    assert!(
        inspect(&source, &node("prod", "a"), now())
            .unwrap()
            .is_some()
    );
}

#[test]
fn two_holders_never_share_files() {
    let place = tempfile::tempdir().unwrap();
    let source = Source::Directory(place.path().to_owned());
    let holders = ["ca", "admin", "ada"]
        .map(|name| [node("prod", name), admin("prod", name)])
        .concat();
    for subject in &holders {
        open(&source, subject, now()).unwrap();
    }
    for subject in &holders {
        let opened = open(&source, subject, now()).unwrap();
        assert_eq!(opened.identity.subject(), subject);
    }
}

#[test]
fn a_lock_that_is_never_released_is_an_error_that_names_it() {
    let place = tempfile::tempdir().unwrap();
    let held = lock_within(place.path(), Duration::ZERO).unwrap();
    let error = lock_within(place.path(), Duration::from_millis(30)).unwrap_err();
    assert!(matches!(error, IdentityError::Locked { .. }), "{error}");
    let lock = place.path().join(".lock").display().to_string();
    assert!(error.to_string().contains(&lock), "{error}");
    drop(held);
    lock_within(place.path(), Duration::ZERO).unwrap();
}

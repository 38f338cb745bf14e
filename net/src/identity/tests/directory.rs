//! The directory that fills itself, and the functions of `phalanx ca`.

use super::super::{
    CA_DAYS, IdentityError, NODE_DAYS, Source, Warning, ca_init, ca_issue, ca_show, open,
};
use super::{admin, days, node, now};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_certificates_and_the_next_loads_them() {
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
    let life = |facts: &super::super::Facts| {
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
    assert_eq!(own.algorithm, "Ed25519");
}

#[test]
fn nodes_that_start_at_once_share_one_ca() {
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
    // Opened again, each verifies against the one CA that stayed.
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
fn a_certificate_lost_half_way_is_made_again() {
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
fn files_that_others_may_read_are_warned_of() {
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
fn a_ca_made_by_hand_issues_for_nodes_and_administrators() {
    let place = tempfile::tempdir().unwrap();
    let (safe, shipped) = (place.path().join("safe"), place.path().join("shipped"));
    let ca = ca_init(&safe, "prod", days(365)).unwrap();
    assert!(
        matches!(ca_init(&safe, "prod", days(365)), Err(IdentityError::Exists { path }) if path == ca)
    );

    let files = ca_issue(&safe, &node("prod", "a"), &shipped, days(90)).unwrap();
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

    ca_issue(&safe, &admin("prod", "ada"), &shipped, days(90)).unwrap();
    open(
        &Source::Directory(shipped.clone()),
        &admin("prod", "ada"),
        now(),
    )
    .unwrap();

    // The target holds no CA key: another node's certificate cannot be made there.
    let error = open(
        &Source::Directory(shipped.clone()),
        &node("prod", "b"),
        now(),
    )
    .unwrap_err();
    assert!(matches!(error, IdentityError::NoCaKey { .. }), "{error}");
    let error = ca_issue(&safe, &node("other", "a"), &shipped, days(90)).unwrap_err();
    assert!(matches!(error, IdentityError::WrongMesh { .. }), "{error}");
    // Another CA's certificates do not mix with the first one's.
    ca_init(&place.path().join("second"), "prod", days(365)).unwrap();
    let error = ca_issue(
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
    // /proc takes no directories, not even from the administrator.
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

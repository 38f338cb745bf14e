//! Tests of daemons that do not start: exit code 2, and a message that names the place and the fix.

use crate::daemon::{phalanxd, refused};
use crate::place::{Place, days, flags, node, past};
use phalanx_net::identity::IssuedFiles;
use std::fs;
use std::net::TcpListener;
use std::process::Command;

/// Returns the message of a daemon that was not started.
fn message(command: Command) -> String {
    let (code, said) = refused(command);
    assert_eq!(code, Some(2), "{said}");
    said
}

/// Returns the message of a daemon `a` with these certificate files.
fn message_with(place: &Place, files: &IssuedFiles) -> String {
    let state = place.text("state");
    let common = [
        "--id",
        "a",
        "--mesh",
        "test",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        &state,
    ];
    let flags = flags(&files.certificate, &files.key, &files.ca);
    let said = message(phalanxd(common.into_iter().map(str::to_owned).chain(flags)));
    assert!(
        !place.path("state").exists(),
        "a daemon that did not start left its state"
    );
    said
}

#[test]
fn an_unknown_key_and_a_bad_address_are_reported_with_file_and_line() {
    let place = Place::new();
    let file = place.path("phalanxd.toml");
    fs::write(
        &file,
        "id = \"a\"\nmesh = \"test\"\nlistn = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let said = message(phalanxd(["--config", file.to_str().unwrap()]));
    assert!(
        said.starts_with(&format!(
            "{}:3: listn: unknown key; did you mean \"listen\"?",
            file.display()
        )),
        "{said}"
    );
    let mut command = place.command("a");
    command.args(["--target", "nowhere"]);
    let said = message(command);
    assert!(
        said.starts_with("--target: targets: \"nowhere\" has no port; write host:port"),
        "{said}"
    );
    let missing = place.text("missing.toml");
    let said = message(phalanxd(["--config", &missing]));
    assert!(
        said.starts_with(&format!("{missing}: cannot be read: ")),
        "{said}"
    );
}

#[test]
fn a_taken_port_is_reported_and_does_not_raise_the_epoch() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = place.command("a");
    command.args(["--listen", &address]);
    // A repeated flag is an error of the command line itself, so the listening address is set by the environment
    // instead.
    let said = refused(command).1;
    assert!(said.contains("--listen"), "{said}");
    let (state, certificates) = (place.text("state"), place.text("certs"));
    let mut command = phalanxd([
        "--id",
        "a",
        "--mesh",
        "test",
        "--state-dir",
        &state,
        "--cert-dir",
        &certificates,
    ]);
    command.env("PHALANX_LISTEN", &address);
    let said = message(command);
    assert!(
        said.starts_with(&format!(
            "cannot listen on {address}: another program listens there"
        )),
        "{said}"
    );
    assert!(
        !place.path("state").exists(),
        "a daemon that did not start raised its epoch"
    );
}

#[test]
fn directories_that_cannot_be_written_are_reported() {
    let place = Place::new();
    // /proc does not accept new directories, even from root.
    let certificates = place.text("certs");
    let common = ["--id", "a", "--mesh", "test", "--listen", "127.0.0.1:0"];
    let said = message(phalanxd(common.into_iter().chain([
        "--state-dir",
        "/proc/state",
        "--cert-dir",
        &certificates,
    ])));
    assert!(
        said.starts_with("/proc/state: cannot be used as the state directory"),
        "{said}"
    );
    let state = place.text("state");
    let said = message(phalanxd(common.into_iter().chain([
        "--state-dir",
        &state,
        "--cert-dir",
        "/proc/certs",
    ])));
    assert!(said.starts_with("/proc/certs: cannot be written"), "{said}");
}

#[test]
fn unreadable_and_mismatched_certificates_are_reported() {
    let place = Place::new();
    let good = place.issued("ca", &node("a"), days(365), days(90));
    let missing = IssuedFiles {
        certificate: place.path("missing.pem"),
        ..good.clone()
    };
    let said = message_with(&place, &missing);
    assert!(
        said.starts_with(&format!(
            "{}: cannot be read",
            missing.certificate.display()
        )),
        "{said}"
    );

    let swapped = IssuedFiles {
        certificate: good.key.clone(),
        ..good.clone()
    };
    let said = message_with(&place, &swapped);
    assert!(
        said.contains("does not contain a certificate in PEM form (it contains a private key)"),
        "{said}"
    );

    let other = place.issued("other", &node("a"), days(365), days(90));
    let mismatched = IssuedFiles {
        key: other.key,
        ..good.clone()
    };
    let said = message_with(&place, &mismatched);
    assert!(
        said.contains("is not the private key of the certificate in"),
        "{said}"
    );

    let foreign = IssuedFiles {
        ca: other.ca,
        ..good
    };
    let said = message_with(&place, &foreign);
    assert!(said.contains("is not signed by the CA in"), "{said}");
}

#[test]
fn an_expired_certificate_and_one_for_another_node_are_reported() {
    let place = Place::new();
    let said = message_with(&place, &place.issued("ca", &node("a"), days(365), past()));
    assert!(
        said.contains("the certificate expired at 2023-11-14T22:13:20Z"),
        "{said}"
    );
    let said = message_with(&place, &place.issued("ca", &node("b"), days(365), days(90)));
    assert!(
        said.contains("the certificate is for \"b\", this node is configured as \"a\""),
        "{said}"
    );
}

#[test]
fn a_damaged_state_is_reported_and_kept() {
    let place = Place::new();
    fs::create_dir(place.path("state-a")).unwrap();
    fs::write(place.path("state-a").join("epoch"), "garbage").unwrap();
    let said = message(place.command("a"));
    assert!(said.contains("epoch: is damaged"), "{said}");
    assert_eq!(
        fs::read_to_string(place.path("state-a").join("epoch")).unwrap(),
        "garbage"
    );
}

#[test]
fn check_config_finds_the_same_errors_and_writes_nothing() {
    let place = Place::new();
    let check = |mut command: Command| {
        command.arg("--check-config");
        refused(command)
    };
    let (code, said) = check(place.command("a"));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("spiffe://test/node/a is valid")
            && said.contains("the first start creates them"),
        "{said}"
    );
    assert!(!place.path("certs").exists() && !place.path("state-a").exists());
    let files = place.issued("ca", &node("b"), days(365), days(90));
    let common = [
        "--id",
        "a",
        "--mesh",
        "test",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        "/nonexistent",
    ];
    let flags = flags(&files.certificate, &files.key, &files.ca);
    let (code, said) = check(phalanxd(common.into_iter().map(str::to_owned).chain(flags)));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the certificate is for \"b\""), "{said}");
}

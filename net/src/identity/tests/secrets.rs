//! Tests of mesh secrets: their text form, the keys derived from them, and the resulting trust.

use super::super::trust::{CaName, Trust};
use super::super::{
    Identity, IdentityError, PeerError, Secret, SecretError, Source, Subject, Warning, open,
};
use super::handshake::{meet_as, subject};
use super::{admin, authority, days, identity, node, now};
use phalanx_core::identity::NodeId;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const COUNTING: &str = "phx1-000G-40R4-0M30-E209-185G-R38E-1X6X-451E";
const ONES: &str = "phx1-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZF1-W10T";
const PASSPHRASE: &str = "correct horse battery staple";

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

fn hexadecimal(bytes: &[u8]) -> String {
    super::super::facts::hexadecimal(bytes)
}

fn of_secrets(texts: &[&str], id: &str) -> Identity {
    let secrets: Vec<Secret> = texts.iter().map(|text| secret(text)).collect();
    Identity::from_secrets(&secrets, &node("prod", id), days(90), now()).unwrap()
}

/// Writes a file of secrets, readable by its owner only.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_generated_secret_is_read_back_in_every_spelling() {
    let made = Secret::make().unwrap();
    let text = made.text();
    assert_eq!(secret(&text).text(), text);
    assert_ne!(Secret::make().unwrap().text(), text);
    assert!(!format!("{made:?}").contains(&text[5..9]));
    let careless = COUNTING
        .to_lowercase()
        .replace("-0", "-O")
        .replace("e1", "El");
    assert_eq!(*secret(&format!(" {careless}\n")).text(), COUNTING);
    let spaced = COUNTING
        .replacen('-', "\u{1}", 1)
        .replace('-', " ")
        .replace('\u{1}', "-");
    assert_eq!(*secret(&spaced).text(), COUNTING);
}

#[test]
fn every_change_of_one_character_is_detected() {
    for at in 5..COUNTING.len() {
        if COUNTING.as_bytes()[at] == b'-' {
            continue;
        }
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars() {
            let mut slip: Vec<char> = COUNTING.chars().collect();
            if slip[at] != other {
                slip[at] = other;
                let slip: String = slip.into_iter().collect();
                assert_eq!(
                    slip.parse::<Secret>().unwrap_err(),
                    SecretError::Checksum,
                    "{slip}"
                );
            }
        }
    }
    let wrong = |text: &str| text.parse::<Secret>().unwrap_err();
    assert_eq!(wrong(&COUNTING[..43]), SecretError::Length { found: 31 });
    assert_eq!(
        wrong(&format!("{COUNTING}0")),
        SecretError::Length { found: 33 }
    );
    assert_eq!(
        wrong(&COUNTING.replace('M', "U")),
        SecretError::Character('U')
    );
    assert_eq!(
        wrong(&COUNTING.replace("phx1", "phx2")),
        SecretError::Version
    );
    assert_eq!(wrong("phx1"), SecretError::Version);
    assert_eq!(wrong("fifteen letters"), SecretError::Short { found: 15 });
    assert!(secret("sixteen letters!").is_passphrase());
    assert!(!secret(COUNTING).is_passphrase());
}

/// The values come from other implementations of HKDF, Argon2id, Ed25519 and SHA-256. They must
/// never change, because two versions of the program would then not trust each other.
#[test]
fn keys_derived_from_a_secret_are_stable() {
    for (text, mesh, seed, public, fingerprint) in [
        (
            COUNTING,
            "prod",
            "aa516b8116099a3a4b128d15b8d26554ffd3049bfa3ef1022673b803b62b4b6c",
            "d6a5bd81f79e68d272158148da9c634b813e8f59bb6f6d6f990ef2856bab4912",
            "dfddc7168ba77cca",
        ),
        (
            COUNTING,
            "test",
            "8a51c2c09e53c5cb5b9ff5b2f57669e3467b4e3c8a708bec7b5255d5193d6d8a",
            "63fc43c28a8a2f178dcc4790c454a6b88bcf7d32ba19a50ecd0b89124c17e506",
            "7d25251b57b8c0fa",
        ),
        (
            ONES,
            "prod",
            "605c0798814ae9e59706f42210cbab3549f0d1d7fb7a6b83f07df9158bbd9076",
            "451a7e856aaf5418f2b868fcf94b57a6d901e91a19b69efa8294b3cdd0754d21",
            "9b4f7092ee1ccdd7",
        ),
        (
            PASSPHRASE,
            "prod",
            "27c1c60cec32f5183d77f7a5af93c255f5ae23198fae8a5a5789106698ae151f",
            "08c235014ae33d7ef7d57a1bbee7b0fdc0c0701f7fd396e7c4f24fd550087b5d",
            "fe7e4c2ff32ea73e",
        ),
        (
            PASSPHRASE,
            "x",
            "09bf77e989e97c59ee74422adee63a0b734c9538433e5ed59080fb565b5d9f51",
            "179a2dd9349b08aebd02fc4647e41903b724f5f1b1d8a83694a019d1448efdd3",
            "a8572470e1c0d28c",
        ),
    ] {
        let key = secret(text).ca_key(mesh).unwrap();
        assert_eq!(hexadecimal(&key[16..]), seed, "{text} {mesh}");
        let ca = secret(text).authority(mesh).unwrap();
        let place = super::super::PemOrigin::Memory("the CA");
        let facts = super::super::facts_of_pem(&place, ca.certificate_pem().as_bytes()).unwrap();
        assert!(facts[0].has_public_key(&key_bytes(public)), "{text} {mesh}");
        assert_eq!(
            facts[0].name,
            format!("CN={mesh}, O=Phalanx mesh secret, OU={fingerprint}")
        );
        assert_eq!(facts[0].issuer, facts[0].name);
    }
    let [one, other] = [COUNTING, COUNTING].map(|text| secret(text).authority("prod").unwrap());
    assert_eq!(
        one.certificate_pem(),
        other.certificate_pem(),
        "two nodes derive different CAs"
    );
    assert_eq!(one.certificate_pem().len(), other.certificate_pem().len());
}

fn key_bytes(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[tokio::test]
async fn a_node_with_the_secret_is_a_member() {
    let (a, b) = (of_secrets(&[COUNTING], "a"), of_secrets(&[COUNTING], "b"));
    let (dialer, acceptor) = meet_as(&a, &b).await;
    assert_eq!(subject(&dialer), node("prod", "b"));
    assert_eq!(subject(&acceptor), node("prod", "a"));
    let ada = Identity::from_secrets(&[secret(COUNTING)], &admin("prod", "ada"), days(1), now());
    let (_, acceptor) = meet_as(&ada.unwrap(), &a).await;
    assert_eq!(subject(&acceptor), admin("prod", "ada"));
    assert_eq!(
        a.trust().to_string(),
        "shared secret dfddc7168ba77cca (one trust domain)"
    );
}

/// Returns the fingerprint of the secret from which the other end's certificate was minted.
fn shown(learnt: &super::handshake::Learnt) -> String {
    let peer = learnt.as_ref().unwrap().as_ref().unwrap();
    match CaName::of_issuer(&peer.certificate) {
        CaName::Secret { fingerprint, .. } => fingerprint,
        CaName::Authority => panic!("{peer:?}"),
    }
}

#[tokio::test]
async fn each_end_presents_its_first_secret_that_the_other_accepts() {
    let (old, new) = ("dfddc7168ba77cca", "9b4f7092ee1ccdd7");
    let only_old = of_secrets(&[COUNTING], "a");
    let both = of_secrets(&[ONES, COUNTING], "b");
    let old_first = of_secrets(&[COUNTING, ONES], "c");
    let only_new = of_secrets(&[ONES], "d");
    assert_eq!(
        both.trust(),
        &Trust::Secrets(vec![new.to_owned(), old.to_owned()])
    );
    assert!(
        both.trust()
            .to_string()
            .ends_with("also accepted: dfddc7168ba77cca")
    );
    for (dialer, acceptor, expected) in [
        (&only_old, &both, (old, old)),
        (&both, &only_old, (old, old)),
        (&both, &both, (new, new)),
        (&both, &old_first, (old, new)),
        (&both, &only_new, (new, new)),
        (&only_new, &both, (new, new)),
        (&only_new, &old_first, (new, new)),
    ] {
        let (dialer, acceptor) = meet_as(dialer, acceptor).await;
        assert_eq!(
            (shown(&dialer).as_str(), shown(&acceptor).as_str()),
            expected
        );
    }
    assert!(meet_as(&only_old, &only_new).await.0.is_err());
}

#[tokio::test]
async fn a_wrong_secret_and_a_missing_secret_have_different_errors() {
    let ours = of_secrets(&[COUNTING], "a");
    let wrong = of_secrets(&[ONES], "b");
    let certified = identity(&authority("prod"), &node("prod", "c"));
    let elsewhere =
        Identity::from_secrets(&[secret(COUNTING)], &node("test", "d"), days(1), now()).unwrap();
    let said = |learnt: super::handshake::Learnt| learnt.unwrap_err();
    for (dialer, acceptor, words) in [
        (
            &ours,
            &wrong,
            "it has a different secret of the mesh (9b4f7092ee1ccdd7; this node accepts dfddc7168ba77cca)",
        ),
        (
            &ours,
            &certified,
            "it does not have the mesh's secret, but this node does",
        ),
        (
            &certified,
            &ours,
            "it has the mesh's secret, but this node has none",
        ),
        (
            &ours,
            &elsewhere,
            "it belongs to mesh \"test\", not to \"prod\"",
        ),
        (
            &certified,
            &elsewhere,
            "it belongs to mesh \"test\", not to \"prod\"",
        ),
    ] {
        let error = said(meet_as(dialer, acceptor).await.0);
        // The library prints the reason as an escaped string literal.
        assert!(error.replace('\\', "").contains(words), "{error}");
    }
    let missing = ours.quarrel(&[]).unwrap();
    assert!(
        missing.starts_with("it does not have the mesh's secret, "),
        "{missing}"
    );
    assert_eq!(certified.quarrel(&[]), None);
}

#[test]
fn a_file_of_secrets_is_read_and_each_error_in_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let source = Source::SecretFile(path.clone());
    let subject = node("prod", "a");
    let opened = |text: &str| {
        write(&path, text);
        open(&source, &subject, now())
    };
    let good = opened(&format!("# the new one\n{ONES}\n\n{COUNTING}\n")).unwrap();
    assert_eq!(good.warnings, []);
    let Trust::Secrets(fingerprints) = good.identity.trust() else {
        panic!("{:?}", good.identity.trust());
    };
    assert_eq!(fingerprints.len(), 2);
    let slip = COUNTING.replace('M', "N");
    let many = (0..5)
        .map(|_| Secret::make().unwrap().text().to_string() + "\n")
        .collect::<String>();
    for (text, words) in [
        (
            "",
            "secret: does not contain a secret; write one per line, generated by phalanx ca secret"
                .to_owned(),
        ),
        (
            "# nothing\n\n",
            "secret: does not contain a secret;".to_owned(),
        ),
        (
            &slip,
            "secret:1: is a secret with a wrong checksum".to_owned(),
        ),
        (
            &format!("{ONES}\n{ONES}\n"),
            "secret:2: is a duplicate".to_owned(),
        ),
        (
            &format!("{ONES}\nshort\n"),
            "secret:2: is a passphrase of 5 characters; use at least 16".to_owned(),
        ),
        (&many, "secret:5: exceeds the limit of 4".to_owned()),
    ] {
        let error = opened(text).unwrap_err().to_string();
        assert!(error.contains(&words), "{error}");
        assert!(
            text.is_empty() || !error.contains(text.trim()),
            "the error contains the secret: {error}"
        );
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = open(&source, &subject, now()).unwrap_err().to_string();
    assert!(error.contains("is not text"), "{error}");
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        open(&source, &subject, now()),
        Err(IdentityError::Unreadable { .. })
    ));
}

#[test]
fn a_passphrase_causes_a_warning_and_a_file_readable_by_all_users_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let source = Source::SecretFile(path.clone());
    let subject = node("prod", "a");
    write(&path, PASSPHRASE);
    let warnings = open(&source, &subject, now()).unwrap().warnings;
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        matches!(&said[..], [one] if one.contains("secret:1: is a passphrase, and every host that can connect")),
        "{said:?}"
    );
    write(&path, COUNTING);
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let warnings = open(&source, &subject, now()).unwrap().warnings;
    assert!(
        matches!(
            &warnings[..],
            [Warning::OpenPermissions { mode: 0o640, .. }]
        ),
        "{warnings:?}"
    );
    mode(0o644);
    let error = open(&source, &subject, now()).unwrap_err().to_string();
    assert!(
        error.contains("all users of this machine have access (mode 0644)")
            && error.ends_with(&format!("run: chmod 0600 {}", path.display())),
        "{error}"
    );
}

#[test]
fn a_secret_is_read_from_a_variable() {
    let source = Source::SecretVariable(format!("{ONES}\n{COUNTING}").into());
    let opened = open(&source, &node("prod", "a"), now()).unwrap();
    assert!(matches!(opened.identity.trust(), Trust::Secrets(all) if all.len() == 2));
    let source = Source::SecretVariable("short".to_owned().into());
    let error = open(&source, &node("prod", "a"), now())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("environment variable PHALANX_SECRET:1: is a passphrase of 5"),
        "{error}"
    );
}

#[test]
fn a_secret_mints_no_service_and_a_minted_one_is_not_a_peer() {
    let service = Subject::service("prod", NodeId::new("shop").unwrap()).unwrap();
    let minted = Identity::from_secrets(&[secret(COUNTING)], &service, days(90), now());
    let refusal = minted.unwrap_err().to_string();
    assert!(refusal.contains("phalanx ca issue --service"), "{refusal}");
    // A member that changes its program can mint one all the same.
    let of_secret = secret(COUNTING).authority("prod").unwrap();
    let minted = identity(&of_secret, &service);
    let presented = minted.certified().cert.clone();
    let judged = of_secrets(&[COUNTING], "a").judge(Some(&presented));
    assert_eq!(judged.unwrap_err(), PeerError::MintedService);
    // The CA of a mesh with certificates is trusted with services.
    let ca = authority("prod");
    let presented = identity(&ca, &service).certified().cert.clone();
    let peer = identity(&ca, &node("prod", "a")).judge(Some(&presented));
    assert_eq!(peer.unwrap().subject, service);
}

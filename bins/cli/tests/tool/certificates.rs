//! `phalanx ca …`.

use super::{run, text};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn certificates_are_created_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let pki = text(&folder.path().join("pki"));
    let made = run(&["ca", "init", "--cert-dir", &pki, "--mesh", "shop", "--json"])
        .fine()
        .json();
    assert_eq!(made[0]["mesh"], "shop");
    let issued = run(&["ca", "issue", "web-1", "--cert-dir", &pki, "--json"])
        .fine()
        .json();
    assert_eq!(issued[0]["subject"], "spiffe://shop/node/web-1");
    let key = issued[0]["key"].as_str().unwrap();
    let mode = std::fs::metadata(key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the key is readable by its owner only");
    let admin = run(&[
        "ca",
        "issue",
        "alice",
        "--admin",
        "--cert-dir",
        &pki,
        "--json",
    ])
    .fine()
    .json();
    assert_eq!(admin[0]["subject"], "spiffe://shop/admin/alice");
    let shown = run(&["ca", "show", "--cert-dir", &pki, "--json"])
        .fine()
        .json();
    let subjects: Vec<&str> = shown
        .iter()
        .filter_map(|it| it["subject"].as_str())
        .collect();
    assert_eq!(
        subjects,
        [
            "spiffe://shop/admin/alice",
            "spiffe://shop",
            "spiffe://shop/node/web-1"
        ]
    );
    assert!(shown.iter().all(|it| it["valid"] == true));
}

#[test]
fn certificates_of_services_and_of_registries_are_issued() {
    let folder = tempfile::tempdir().unwrap();
    let pki = text(&folder.path().join("pki"));
    run(&["ca", "init", "--cert-dir", &pki, "--mesh", "shop"]).fine();
    let issue = |words: &[&str]| run(&[&["ca", "issue", "--cert-dir", &pki], words].concat());
    let service = issue(&["--service", "mail.example", "--json"])
        .fine()
        .json();
    assert_eq!(service[0]["subject"], "spiffe://shop/service/mail.example");
    let file = service[0]["certificate"].as_str().unwrap();
    assert!(file.ends_with("mail.example+service-cert.pem"), "{file}");
    let node = issue(&["n1", "--registry", "eu", "--json"]).fine().json();
    let shown = run(&[
        "ca",
        "show",
        "--json",
        node[0]["certificate"].as_str().unwrap(),
    ])
    .fine()
    .json();
    assert_eq!(
        (&shown[0]["subject"], &shown[0]["registry"]),
        (&"spiffe://shop/node/n1".into(), &"eu".into())
    );
    issue(&["--service", "Mail"]).fails(2, &["--service: `Mail`: a service is 1 to 63"]);
    issue(&["n1", "--registry", "EU"]).fails(2, &["--registry", "a region is 2 to 30"]);
    issue(&["alice", "--admin", "--registry", "eu"]).fails(2, &["cannot be used with"]);
    issue(&["n1", "--service", "mail"]).fails(2, &["cannot be used with"]);
}

#[test]
fn an_authority_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let pki = text(folder.path());
    run(&["ca", "init", "--cert-dir", &pki]).fine();
    let before = std::fs::read(folder.path().join("ca-cert.pem")).unwrap();
    run(&["ca", "init", "--cert-dir", &pki]).fails(2, &["ca-cert.pem"]);
    assert_eq!(
        std::fs::read(folder.path().join("ca-cert.pem")).unwrap(),
        before
    );
}

#[test]
fn errors_of_issue_and_show_name_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let empty = text(folder.path());
    run(&["ca", "issue", "web-1", "--cert-dir", &empty])
        .fails(2, &["does not contain an authority", "phalanx ca init"]);
    run(&["ca", "show", "--cert-dir", &empty]).fails(2, &["does not contain a certificate"]);
    run(&["ca", "init", "--cert-dir", &empty]).fine();
    run(&["ca", "issue", "Web 1", "--cert-dir", &empty]).fails(2, &["`Web 1`", "'W'", "a-z"]);
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "no certificate").unwrap();
    run(&["ca", "show", &text(&broken)]).fails(2, &["broken.pem"]);
    std::fs::remove_file(folder.path().join("ca-key.pem")).unwrap();
    run(&["ca", "issue", "web-1", "--cert-dir", &empty]).fails(2, &["ca-key.pem"]);
}

#[test]
fn a_mesh_that_is_not_the_one_of_the_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pki = text(folder.path());
    run(&["ca", "init", "--cert-dir", &pki, "--mesh", "shop"]).fine();
    let ask = ["status", "--node", "127.0.0.1:1", "--cert-dir", &pki];
    let other = [&ask[..], &["--mesh", "prod"]].concat();
    run(&other).fails(2, &["--mesh (or PHALANX_MESH)", "`shop`, not of `prod`"]);
    let same = [&ask[..], &["--mesh", "shop"]].concat();
    run(&same).fails(1, &["connection refused"]);
}

#[test]
fn a_secret_file_is_private_and_never_overwritten_and_its_fingerprint_depends_on_the_mesh() {
    let folder = tempfile::tempdir().unwrap();
    let file = text(&folder.path().join("secret"));
    run(&["ca", "secret", "--out", &file]).fine();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(
        secret.starts_with("phx1-") && secret.len() == 45,
        "{secret}"
    );
    run(&["ca", "secret", "--out", &file]).fails(2, &["exists already"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    let printed = run(&["ca", "secret"]).fine().out;
    assert!(
        printed.starts_with("phx1-") && printed != secret,
        "{printed}"
    );
    let of = |mesh: &str| {
        run(&["ca", "fingerprint", &file, "--mesh", mesh, "--json"])
            .fine()
            .json()
    };
    let (shop, prod) = (of("shop"), of("prod"));
    assert_eq!(shop[0]["minted_from"], true);
    assert_eq!(shop[0]["fingerprint"].as_str().unwrap().len(), 16);
    assert_ne!(shop[0]["fingerprint"], prod[0]["fingerprint"]);
    let ask = ["status", "--node", "127.0.0.1:1", "--secret-file", &file];
    run(&ask).fails(2, &["--mesh"]);
    let beside = [&ask[..], &["--mesh", "shop", "--cert-dir", "pki"]].concat();
    run(&beside).fails(2, &["cannot be used with"]);
    run(&[&ask[..], &["--mesh", "Shop"]].concat()).fails(2, &["--mesh: `Shop`"]);
    run(&[&ask[..], &["--mesh", "shop"]].concat()).fails(1, &["connection refused"]);
}

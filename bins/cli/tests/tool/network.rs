//! Queries over IPv6, and the display of links in trusted subnets.

use super::daemon::StartedDaemon;
use super::fleet::RunningFleet;
use super::{run, text, tool};

#[test]
fn links_in_a_trusted_subnet_are_shown_as_unencrypted() {
    let mut command = tool(&["dev", "--json", "--nodes", "2"]);
    command.env("PHALANX_TRUSTED_SUBNETS", "127.0.0.0/8");
    let mut dev = RunningFleet::of(command);
    dev.formed();
    let links = dev.ask(&["links"]).fine().out;
    assert!(
        links.contains("ENCRYPTION") && links.contains("unencrypted"),
        "{links}"
    );
    let links = &dev.ask(&["links", "--json"]).fine().json()[0];
    assert_eq!(links["links"][0]["encryption"], "unencrypted", "{links}");
    let status = dev.ask(&["status"]).fine().out;
    for words in ["1, 1 unencrypted", "unencrypted in 127.0.0.0/8"] {
        assert!(status.contains(words), "{status}");
    }
    let status = &dev.ask(&["status", "--json"]).fine().json()[0];
    assert_eq!(
        status["trusted_subnets"],
        serde_json::json!(["127.0.0.0/8"])
    );
    assert_eq!(status["links"][0]["encryption"], "unencrypted");
}

#[test]
fn a_node_is_queried_over_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    let pki = text(&folder.path().join("pki"));
    let state = text(&folder.path().join("a"));
    let daemon = StartedDaemon::start(&[
        "--id",
        "a",
        "--mesh",
        "six",
        "--listen",
        "[::1]:0",
        "--cert-dir",
        &pki,
        "--state-dir",
        &state,
    ]);
    assert!(daemon.address.starts_with("[::1]:"), "{}", daemon.address);
    let arguments = [
        "peers",
        "--node",
        &daemon.address,
        "--cert-dir",
        &pki,
        "--json",
    ];
    let peers = &run(&arguments).fine().json()[0]["peers"];
    assert_eq!(peers[0]["address"], daemon.address.as_str(), "{peers}");
    run(&["status", "--node", &daemon.address, "--cert-dir", &pki]).fine();
}

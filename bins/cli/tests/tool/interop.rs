//! Clients of other TLS and gRPC libraries call a node with certificates that `phalanx ca issue` makes: curl with OpenSSL,
//! and Python's gRPC, which has BoringSSL and gRPC's C core. `make tools` installs both.

use super::fleet::RunningFleet;
use super::{run, text};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HEALTH: &str = "/phalanx.mesh.v1.MeshService/GetHealth";
/// The call of `docs/channels.md`, with the method and the files as arguments.
const PYTHON: &str = r#"
import sys, grpc
address, method, directory = sys.argv[1:]
def read(name):
    with open(directory + "/" + name, "rb") as file:
        return file.read()
credentials = grpc.ssl_channel_credentials(
    read("ca-cert.pem"), read("billing+admin-key.pem"), read("billing+admin-cert.pem"))
with grpc.secure_channel(address, credentials) as channel:
    sys.stdout.buffer.write(channel.unary_unary(method)(b"", timeout=20))
"#;

/// A fleet with a certificate for the tool `billing`; returns the address of a node and the directory.
fn fleet() -> (RunningFleet, String, String) {
    let mut fleet = RunningFleet::start("2");
    fleet.formed();
    let [_, address, _, directory] = fleet.flags();
    let (address, directory) = (address.to_owned(), directory.to_owned());
    let issue = [
        "ca",
        "issue",
        "billing",
        "--admin",
        "--cert-dir",
        &directory,
    ];
    run(&issue).fine();
    (fleet, address, directory)
}

fn output(command: &mut Command) -> Output {
    let ended = command.stdin(Stdio::null()).output();
    ended.expect("the program starts; `make tools` installs it")
}

fn says_healthy(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{why}");
    assert!(said.contains("member of the mesh"), "{said:?} {why}");
}

#[test]
fn curl_calls_a_node() {
    let (_fleet, address, directory) = fleet();
    let path = |name: &str| format!("{directory}/{name}");
    let request = path("request");
    // An empty message: not compressed, of length 0.
    std::fs::write(&request, [0; 5]).unwrap();
    says_healthy(&output(
        Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "20"])
            .args(["--cert", &path("billing+admin-cert.pem")])
            .args(["--key", &path("billing+admin-key.pem")])
            .args(["--cacert", &path("ca-cert.pem")])
            .args(["--header", "content-type: application/grpc"])
            .args(["--header", "te: trailers"])
            .args(["--data-binary", &format!("@{request}")])
            .arg(format!("https://{address}{HEALTH}")),
    ));
}

#[test]
fn pythons_grpc_calls_a_node() {
    let (_fleet, address, directory) = fleet();
    says_healthy(&output(
        Command::new("/usr/bin/python3").args(["-c", PYTHON, &address, HEALTH, &directory]),
    ));
}

#[test]
fn openssl_reads_the_keys_and_certificates_of_an_authority() {
    let place = tempfile::tempdir().unwrap();
    let directory = text(place.path());
    run(&["ca", "init", "--cert-dir", &directory, "--mesh", "shop"]).fine();
    let issue = ["ca", "issue", "web-1", "--cert-dir", &directory];
    let names = ["--name", "web-1.example", "--ip", "10.0.0.5"];
    run(&[&issue[..], &names[..]].concat()).fine();
    for key in ["ca-key.pem", "web-1-key.pem"] {
        let key = place.path().join(key);
        let read = output(
            Command::new("openssl")
                .args(["pkey", "-noout", "-in"])
                .arg(key),
        );
        assert!(read.status.success(), "{read:?}");
    }
    let certificate = place.path().join("web-1-cert.pem");
    let shown = output(
        Command::new("openssl")
            .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
            .arg(Path::new(&certificate)),
    );
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for name in ["DNS:web-1.example", "IP Address:10.0.0.5", "DNS:localhost"] {
        assert!(shown.contains(name), "{shown}");
    }
}

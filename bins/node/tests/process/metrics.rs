//! Metrics and health over HTTP, read by curl and by the parser of Prometheus's Python client.

use crate::daemon::{RunningDaemon, refused};
use crate::mesh::{all_alive, sees};
use crate::place::Place;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Parses the metrics strictly, and prints them as JSON: each sample with its labels as the key.
const PARSE: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
samples = {}
for family in parse(sys.stdin.read()):
    assert family.documentation, family.name
    for sample in family.samples:
        labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
        samples[sample.name + "{" + labels + "}"] = sample.value
print(json.dumps(samples))
"#;

/// Starts a daemon that serves metrics; returns it with the address.
pub(crate) fn start(mut command: Command) -> (RunningDaemon, SocketAddr) {
    command.env("PHALANX_METRICS_LISTEN", "127.0.0.1:0");
    let daemon = RunningDaemon::start(command);
    let line = daemon.says("metrics and health are served over HTTP");
    let address = line["address"].as_str().unwrap().parse().unwrap();
    (daemon, address)
}

/// The status and the body of a request.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30"])
        .args(["--write-out", "%{http_code}"])
        .arg(format!("http://{address}{path}"))
        .output()
        .expect("curl starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.split_at(text.len() - 3);
    (status.parse().unwrap(), body.to_owned())
}

pub(crate) fn metrics(address: SocketAddr) -> Value {
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200, "{text}");
    let mut parser = Command::new("/usr/bin/python3")
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Debian's Python starts");
    let mut input = parser.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "not OpenMetrics:\n{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn value(metrics: &Value, name: &str) -> f64 {
    let value = metrics[name].as_f64();
    value.unwrap_or_else(|| panic!("no {name} in {metrics:#}"))
}

#[tokio::test]
async fn a_monitoring_system_reads_the_mesh_and_the_registry() {
    let place = Place::new();
    let mut command = place.command("a");
    command.env("PHALANX_REGISTRY_REGION", "eu");
    let (a, address) = start(command);
    let b = place.start("b", &[&a]);
    sees(&place, &a, |view| all_alive(view, 2)).await;
    let found = metrics(address);
    for (name, expected) in [
        ("phalanx_members{status=alive}", 2.0),
        ("phalanx_members{status=down}", 0.0),
        ("phalanx_phase{phase=running}", 1.0),
        ("phalanx_phase{phase=isolated}", 0.0),
        ("phalanx_healthy{}", 1.0),
        ("phalanx_links{state=open}", 1.0),
        ("phalanx_unreachable_members{}", 0.0),
        ("phalanx_registry_serving{region=eu}", 1.0),
        ("phalanx_registry_epoch{region=eu}", 1.0),
        ("phalanx_registry_commit_seconds_count{}", 0.0),
    ] {
        assert!(
            (value(&found, name) - expected).abs() < 0.5,
            "{name} in {found:#}"
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    let info = format!("phalanx_node_info{{id=a,mesh=test,version={version}}}");
    assert!((value(&found, &info) - 1.0).abs() < 0.5);
    assert!(value(&found, "phalanx_link_bytes_total{direction=sent}") > 100.0);
    assert!(value(&found, "phalanx_certificate_expiry_timestamp_seconds{}") > 1.7e9);
    assert_eq!(get(address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/other").0, 404);
    drop(b);
    let begun = Instant::now();
    while value(&metrics(address), "phalanx_members{status=down}") < 0.5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "b is not down");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_node_that_joins_is_alive_and_not_ready() {
    let place = Place::new();
    let mut command = place.command("a");
    // Nothing listens at port 1.
    command.args(["--target", "127.0.0.1:1"]);
    let (_a, address) = start(command);
    assert_eq!(get(address, "/healthz").0, 200);
    let not_ready = (503, "no seed address was reached yet\n".to_owned());
    assert_eq!(get(address, "/readyz"), not_ready);
    assert!(value(&metrics(address), "phalanx_phase{phase=joining}") > 0.5);
}

#[test]
fn an_address_in_use_is_refused_with_its_setting() {
    let place = Place::new();
    let (_a, address) = start(place.command("a"));
    let mut command = place.command("b");
    command.args(["--metrics-listen", &address.to_string()]);
    let (code, said) = refused(command);
    assert_eq!(code, Some(2), "{said}");
    let expected = format!("metrics.listen: cannot listen on {address}: ");
    assert!(
        said.contains(&expected) && said.contains("choose another address or port"),
        "{said}"
    );
}

#[test]
fn connections_that_send_nothing_take_no_place_for_ever() {
    let place = Place::new();
    let (_a, address) = start(place.command("a"));
    let silent: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for mut stream in &silent {
        stream
            .set_read_timeout(Some(Duration::from_secs(90)))
            .unwrap();
        // Each is closed when its time is over, also those that waited for a place.
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
    }
    drop(silent);
    assert_eq!(get(address, "/healthz").0, 200);
}

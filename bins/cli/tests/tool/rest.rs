//! The registry over HTTP with JSON, called by curl.

use super::registry::RegistryDaemon;
use super::{run, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// The answer to a request.
#[derive(Debug)]
struct HttpAnswer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

impl HttpAnswer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Checks that this is a problem with these members.
    fn is_problem(&self, status: u16, code: &str, detail: &str) {
        let kind = self.header("content-type");
        assert_eq!(
            (self.status, kind),
            (status, "application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.body["status"], status, "{self:?}");
        assert_eq!(
            self.body["code"].as_str().unwrap_or_default(),
            code,
            "{self:?}"
        );
        let found = self.body["detail"].as_str().unwrap();
        assert!(found.contains(detail), "{found}");
    }
}

/// A client with a certificate.
struct Curl<'a> {
    registry: &'a RegistryDaemon,
    name: String,
    /// The flag of the version of HTTP.
    version: &'static str,
}

impl<'a> Curl<'a> {
    /// Issues the certificate of an administrator, or of a node.
    fn new(registry: &'a RegistryDaemon, name: &str, admin: bool) -> Self {
        let directory = text(&registry.place.path().join("certs"));
        let words = ["ca", "issue", name, "--cert-dir", &directory];
        let words: Vec<_> = words
            .into_iter()
            .chain(admin.then_some("--admin"))
            .collect();
        run(&words).fine();
        let name = if admin {
            format!("{name}+admin")
        } else {
            name.to_owned()
        };
        Self {
            registry,
            name,
            version: "--http2",
        }
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> HttpAnswer {
        let file = |name: String| text(&self.registry.place.path().join("certs").join(name));
        let address = &self.registry.daemon.address;
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                self.version,
                "--globoff",
            ])
            .args(["--path-as-is", "--dump-header", "-", "--request", method])
            .args(["--cert", &file(format!("{}-cert.pem", self.name))])
            .args(["--key", &file(format!("{}-key.pem", self.name))])
            .args(["--cacert", &file("ca-cert.pem".to_owned())]);
        for header in headers {
            command.args(["--header", header]);
        }
        if let Some(body) = body {
            command.args(["--header", "content-type: application/json"]);
            command.args(["--data-binary", &body.to_string()]);
        }
        let output = command
            .arg(format!("https://{address}{path}"))
            .stdin(Stdio::null())
            .output();
        let output = output.expect("curl starts; `make tools` installs it");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{why}");
        let said = String::from_utf8(output.stdout).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        HttpAnswer {
            status,
            headers: headers.collect(),
            body: serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())),
        }
    }

    fn get(&self, path: &str) -> HttpAnswer {
        self.ask("GET", path, &[], None)
    }

    fn post(&self, path: &str, body: &Value) -> HttpAnswer {
        self.ask("POST", path, &[], Some(body))
    }
}

#[test]
fn objects_are_created_read_and_changed_unless_they_changed_meanwhile() {
    let registry = RegistryDaemon::start(&[]);
    let curl = Curl::new(&registry, "billing", true);
    let region = json!({"name": "regions/eu", "body": {"display_name": "Europe"}});
    let created = curl.post("/v1/objects", &region);
    assert_eq!(
        (created.status, created.header("content-type")),
        (200, "application/json"),
        "{created:?}"
    );
    let first = created.header("etag").to_owned();
    assert!(first.starts_with('"') && first.len() > 3, "{created:?}");
    assert_eq!(created.body["metadata"]["generation"], "1");
    let found = curl.get("/v1/objects/regions/eu");
    assert_eq!((found.status, found.header("etag")), (200, &*first));
    assert_eq!(found.body["body"]["display_name"], "Europe");
    let change = json!({"body": {"display_name": "Old World"}});
    let path = "/v1/objects/regions/eu?update_mask=display_name";
    let condition = format!("if-match: {first}");
    let changed = curl.ask("PATCH", path, &[&condition], Some(&change));
    assert_eq!(
        (changed.status, &changed.body["body"]["display_name"]),
        (200, &"Old World".into()),
        "{changed:?}"
    );
    assert_ne!(changed.header("etag"), first);
    curl.ask("PATCH", path, &[&condition], Some(&change))
        .is_problem(412, "ABORTED", "has changed since it was read");
    // Without a condition, a write is unconditional.
    assert_eq!(curl.ask("PATCH", path, &[], Some(&change)).status, 200);
    let stale = curl.ask("DELETE", "/v1/objects/regions/eu", &[&condition], None);
    stale.is_problem(412, "ABORTED", "has changed");
}

#[test]
fn objects_are_written_together_listed_replaced_and_deleted() {
    let registry = RegistryDaemon::start(&[]);
    let curl = Curl::new(&registry, "billing", true);
    let region = json!({"name": "regions/eu", "body": {"display_name": "Europe"}});
    assert_eq!(curl.post("/v1/objects", &region).status, 200);
    let policy = json!({"enabled_regions": ["eu"], "default_control_region": "eu"});
    let shop = json!({"all_versions": ["v1"], "multi_region_policy": policy});
    let labels = json!({"labels": {"tier": "web"}});
    let in_eu = json!({"region": "eu", "current_version": "v1"});
    let batch = json!({"operations": [
        {"create": {"name": "services/shop", "metadata": labels, "body": shop}},
        {"create": {"name": "services/shop/deployments/eu", "body": in_eu}},
    ]});
    let applied = curl.post("/v1/objects:apply", &batch);
    assert_eq!(applied.status, 200, "{applied:?}");
    assert_eq!(applied.body["objects"].as_array().map(Vec::len), Some(2));
    let listed = curl.get(
        "/v1/objects?selector=services&filter=metadata.labels.tier%20%3D%20%22web%22&pageSize=5",
    );
    assert_eq!(
        listed.body["objects"][0]["name"], "services/shop",
        "{listed:?}"
    );
    let several = curl.get("/v1/objects:batchGet?names=services/shop&names=services/none");
    assert_eq!(
        several.body["missing"],
        json!(["services/none"]),
        "{several:?}"
    );
    let mut replaced = json!({"body": shop});
    replaced["body"]["display_name"] = "Shop".into();
    let replaced = curl.ask("PUT", "/v1/objects/services/shop", &[], Some(&replaced));
    assert_eq!(
        replaced.body["body"]["display_name"], "Shop",
        "{replaced:?}"
    );
    assert_eq!(
        curl.post("/v1/objects", &json!({"name": "regions/us"}))
            .status,
        200
    );
    let deleted = curl.ask("DELETE", "/v1/objects/regions/us", &[], None);
    assert_eq!((deleted.status, deleted.body), (200, json!({})));
    assert_eq!(curl.get("/v1/objects/regions/us").status, 404);
    assert_eq!(curl.get("/v1/registry/status").body["region"], "eu");
}

#[test]
fn clients_of_http_1_read_and_write_too_and_grpc_needs_http_2() {
    let registry = RegistryDaemon::start(&[]);
    let mut curl = Curl::new(&registry, "billing", true);
    curl.version = "--http1.1";
    let region = json!({"name": "regions/eu"});
    let operations = json!({"operations": [{"create": region}]});
    assert_eq!(curl.post("/v1/objects:apply", &operations).status, 200);
    let found = curl.get("/v1/objects/regions/eu");
    assert_eq!(
        (found.status, &found.body["name"]),
        (200, &"regions/eu".into())
    );
    let changed = json!({"body": {"display_name": "Europe"}});
    let path = "/v1/objects/regions/eu";
    let tag = format!("if-match: {}", found.header("etag"));
    for expected in [200, 412] {
        let answer = curl.ask("PATCH", path, &[&tag], Some(&changed));
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    let grpc = "/phalanx.mesh.v1.MeshService/GetHealth";
    let refused = curl.ask("POST", grpc, &["content-type: application/grpc"], None);
    assert_eq!(refused.status, 505, "{refused:?}");
}

#[test]
fn objects_of_other_kinds_have_paths_too() {
    let registry = RegistryDaemon::start(&[]);
    let curl = Curl::new(&registry, "billing", true);
    let shop = super::registry::documented("yaml", "name: services/shop");
    let shop = registry.file("shop.yaml", &shop);
    registry.ask(&["apply", "-f", &shop]).fine();
    for path in [
        "/v1/objects///shop/orders/o-17",
        "/v1/objects/%2F%2Fshop%2Forders%2Fo-17",
        "/v1/object?name=//shop/orders/o-17",
    ] {
        let found = curl.get(path);
        assert_eq!(
            found.body["name"], "//shop/orders/o-17",
            "{path}: {found:?}"
        );
    }
}

#[test]
fn refusals_are_problems_that_name_the_mend() {
    let registry = RegistryDaemon::start(&[]);
    let curl = Curl::new(&registry, "billing", true);
    let region = json!({"name": "regions/eu"});
    assert_eq!(curl.post("/v1/objects", &region).status, 200);
    let again = curl.post("/v1/objects", &region);
    again.is_problem(409, "ALREADY_EXISTS", "regions/eu");
    assert_eq!(again.body["reason"], "ALREADY_EXISTS");
    curl.get("/v1/objects/regions/us")
        .is_problem(404, "NOT_FOUND", "regions/us: does not exist");
    let invalid = curl.get("/v1/objects/nonsense");
    invalid.is_problem(400, "INVALID_ARGUMENT", "name: ");
    assert_eq!(invalid.body["violations"][0]["field"], "name");
    curl.get("/v1/objects?filter=%3D%3D")
        .is_problem(400, "INVALID_ARGUMENT", "filter: ");
    curl.get("/v1/objects?size=5")
        .is_problem(400, "", "size: is not a field; there is fieldMask");
    curl.post("/v1/objects", &json!({"nam": 1}))
        .is_problem(400, "", "nam");
    curl.get("/v1/nothing")
        .is_problem(404, "", "/v1/openapi.json has them all");
    let other = curl.ask("DELETE", "/v1/objects", &[], None);
    other.is_problem(405, "", "this path takes GET, POST");
    assert_eq!(other.header("allow"), "GET, POST");
    let tag = curl.ask(
        "PATCH",
        "/v1/objects/regions/eu",
        &["if-match: W/\"x\""],
        Some(&json!({})),
    );
    tag.is_problem(400, "", "is not one entity tag in quotes");
    let text = curl.ask("POST", "/v1/objects", &["content-type: text/plain"], None);
    text.is_problem(400, "", "the body is not valid JSON");
    // A path of no service is answered with 404.
    assert_eq!(curl.get("/other").status, 404);
    // A node that is neither an administrator nor this node.
    let stranger = Curl::new(&registry, "n9", false);
    assert_eq!(stranger.get("/v1/objects/regions/eu").status, 403);
}

#[test]
fn the_openapi_document_has_every_path() {
    let registry = RegistryDaemon::start(&[]);
    let curl = Curl::new(&registry, "billing", true);
    let document = curl.get("/v1/openapi.json").body;
    assert_eq!(document["openapi"], "3.1.0");
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    let expected = [
        "/v1/object",
        "/v1/objects",
        "/v1/objects/{name}",
        "/v1/objects:apply",
        "/v1/objects:batchGet",
        "/v1/registry/explain",
        "/v1/registry/status",
    ];
    assert_eq!(paths, expected);
}

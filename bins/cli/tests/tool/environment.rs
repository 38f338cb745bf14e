//! `EnvironmentService` called from Python: the program of docs/registry.md, with types that `protoc` generates. `make tools`
//! installs both.

use super::registry::{RegistryDaemon, documented};
use super::text;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program of the documentation, while it runs.
struct Program {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(types: &Path, socket: &str) -> Self {
        let program = documented("python", "FollowEnvironment");
        let mut process = Command::new("/usr/bin/python3")
            .args(["-u", "-c", &program, &text(types), socket])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts; `make tools` installs it");
        let out = process.stdout.take().unwrap();
        let lines = BufReader::new(out).lines();
        Self { process, lines }
    }

    /// Reads lines until one begins with a text; returns the rest of it. The program ends itself after a minute.
    fn says(&mut self, begin: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.to_owned();
            }
        }
        panic!("the program has ended without {begin:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.process.kill().is_err();
        drop(self.process.wait());
    }
}

/// The types of the protocol, generated in a directory.
fn types(registry: &RegistryDaemon) -> PathBuf {
    let types = registry.place.path().join("types");
    std::fs::create_dir(&types).unwrap();
    let definitions: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "net", "proto"]
        .iter()
        .collect();
    let made = Command::new("protoc")
        .arg("--python_out")
        .arg(&types)
        .arg("--proto_path")
        .arg(&definitions)
        .args(["registry.proto", "registry_environment.proto"])
        .args(["google/api/annotations.proto", "google/api/http.proto"])
        .current_dir(&definitions)
        .output()
        .expect("protoc starts; `make tools` installs it");
    assert!(made.status.success(), "{made:?}");
    types
}

#[test]
fn a_program_in_python_registers_itself_and_follows_the_relevant_services() {
    let user = std::fs::metadata("/proc/self").unwrap();
    let user = std::os::unix::fs::MetadataExt::uid(&user);
    let clients = format!("clients = {{ {user} = \"shop\" }}\n");
    let registry = RegistryDaemon::start(&[&clients]);
    let types = types(&registry);
    let socket = registry.place.path().join("state/registry.sock");
    let socket = text(&socket);
    let mut program = Program::start(&types, &socket);
    let reason = program.says("waiting: ");
    assert!(reason.contains("regions/eu"), "{reason}");
    let mail = "name: services/mail\nglobal_domain: mail.example\n";
    let region = registry.file("eu.yaml", &format!("name: regions/eu\n---\n{mail}"));
    registry.ask(&["apply", "-f", &region]).fine();
    assert_eq!(program.says("ready: "), "services/shop/deployments/eu");
    let exists = program.says("snapshot: ");
    for name in [
        "services/mail",
        "services/shop",
        "services/shop/deployments/eu",
    ] {
        assert!(exists.split(' ').any(|it| it == name), "{exists}");
    }
    assert_eq!(program.says("mail is at "), "mail.example (GLOBAL)");
    let moved = registry.file("mail.yaml", &mail.replace("mail.example", "post.example"));
    registry.ask(&["apply", "-f", &moved]).fine();
    assert_eq!(program.says("changed: "), "services/mail");
    assert_eq!(program.says("mail is at "), "post.example (GLOBAL)");
    drop(program);
    // The records stand, and a second process writes nothing.
    let shop = || {
        registry
            .ask(&["get", "services/shop", "-o", "json"])
            .fine()
            .out
    };
    let before = shop();
    let mut second = Program::start(&types, &socket);
    second.says("ready: ");
    assert_eq!(shop(), before);
}

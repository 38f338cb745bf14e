//! Tests that flake.nix evaluates, without a network: nixpkgs is replaced by a stub that returns
//! its arguments.

use phalanx_tests::repository;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Replaces nixpkgs: each builder returns its arguments, so that the test can read them.
const STUB: &str = r#"{
  outputs = { self }: {
    legacyPackages = builtins.listToAttrs (map (system: {
      name = system;
      value = {
        rustPlatform.buildRustPackage = arguments: arguments // { drv = "rust"; };
        symlinkJoin = arguments: arguments // { drv = "join"; };
        mkShell = arguments: arguments // { drv = "shell"; };
        lib.licenses = { mit = "MIT"; asl20 = "Apache-2.0"; };
        cargo = "cargo"; rustc = "rustc"; clippy = "clippy"; rustfmt = "rustfmt";
        cargo-deny = "cargo-deny"; gnumake = "gnumake"; nix = "nix";
      };
    }) [ "x86_64-linux" "aarch64-linux" ]);
  };
}"#;

/// Evaluates `attribute` of a copy of the flake, with a separate store below `folder`: no daemon,
/// no root, no network.
fn evaluate(folder: &Path, attribute: &str) -> Value {
    let (flake, stub) = (folder.join("flake"), folder.join("nixpkgs"));
    for made in [&flake, &stub] {
        std::fs::create_dir_all(made).expect("a directory can be created in the temporary one");
    }
    for file in ["flake.nix", "Cargo.toml", "Cargo.lock"] {
        std::fs::copy(repository().join(file), flake.join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    std::fs::write(stub.join("flake.nix"), STUB).expect("the stub can be written");
    let output = Command::new("nix")
        .args([
            "--extra-experimental-features",
            "nix-command flakes",
            "--store",
        ])
        .arg(folder.join("store"))
        .args([
            "eval",
            "--json",
            "--offline",
            "--no-write-lock-file",
            "--override-input",
            "nixpkgs",
        ])
        .arg(format!("path:{}", stub.display()))
        .arg(format!("path:{}#{attribute}", flake.display()))
        .env("HOME", folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .unwrap_or_else(|error| {
            panic!("nix cannot be started ({error}); run `make tools` to install it")
        });
    assert!(
        output.status.success(),
        "nix eval {attribute}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("nix eval --json prints JSON")
}

#[test]
fn the_flake_has_a_package_for_every_binary() {
    let folder = tempfile::tempdir().expect("a temporary directory can be created");
    let packages = evaluate(folder.path(), "packages.x86_64-linux");
    for (name, manifest) in [
        ("phalanx", "bins/cli"),
        ("phalanxd", "bins/node"),
        ("phalanx-sim-wire", "sim/wire"),
    ] {
        let text = std::fs::read_to_string(repository().join(manifest).join("Cargo.toml"))
            .expect("the manifest can be read");
        assert!(
            text.contains(&format!("name = \"{name}\"")),
            "{manifest} is not the manifest of {name}"
        );
        assert_eq!(packages[name]["pname"], name);
        assert_eq!(packages[name]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(
            packages[name]["cargoBuildFlags"],
            serde_json::json!(["--package", name])
        );
        assert!(
            packages[name]["cargoLock"]["lockFile"]
                .as_str()
                .is_some_and(|file| file.ends_with("Cargo.lock"))
        );
    }
    let joined = packages["default"]["paths"]
        .as_array()
        .expect("the default package joins the others");
    assert_eq!(joined.len(), 3);
}

#[test]
fn the_flake_has_a_shell_and_checks_on_both_platforms() {
    let folder = tempfile::tempdir().expect("a temporary directory can be created");
    for system in ["x86_64-linux", "aarch64-linux"] {
        let shell = evaluate(folder.path(), &format!("devShells.{system}.default"));
        let tools = shell["packages"]
            .as_array()
            .expect("the shell lists packages");
        for tool in ["cargo", "clippy", "rustfmt", "gnumake", "nix"] {
            assert!(
                tools.iter().any(|found| found == tool),
                "{tool} is missing in the shell for {system}"
            );
        }
        let checks = evaluate(folder.path(), &format!("checks.{system}"));
        for check in ["core", "net", "sim"] {
            assert_eq!(checks[check]["doCheck"], true, "{check} on {system}");
        }
    }
}

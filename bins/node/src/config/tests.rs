//! Accepted and rejected configurations, and the texts of problems.

use super::key::DaemonKey;
use super::{Advertise, DaemonSettings};
use crate::flags::Flags;
use clap::{CommandFactory as _, Parser as _};
use phalanx_core::gossip::Tuning;
use phalanx_net::configuration::{SettingKey as _, inconsistencies};
use phalanx_net::identity::Source;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

const GOOD: &str = r#"
id = "web-1"
mesh = "prod"
listen = "127.0.0.1:7946"
state_dir = "/var/lib/phalanx"
targets = ["seed.example:7946", "[::1]:7946"]
services = ["shop/1", "cart"]
metadata = { region = "eu" }
[tls]
cert_dir = "/etc/phalanx"
[log]
level = "warn"
[tuning]
retry_max_ms = 5_000
"#;

/// Loads settings from a file, environment variables and flags. The file is named `FILE` in problems.
fn load(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[&str],
) -> Result<DaemonSettings, Vec<String>> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("phalanxd.toml");
    fs::write(&path, file).unwrap();
    let config = ["phalanxd", "--config", path.to_str().unwrap()];
    let flags = Flags::parse_from(config.iter().chain(flags));
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let named = |problem: String| problem.replace(path.to_str().unwrap(), "FILE");
    DaemonSettings::load(&flags, variables)
        .map_err(|problems| problems.into_iter().map(named).collect())
}

fn problems(file: &str) -> Vec<String> {
    load(file, &[], &[]).expect_err("the file is bad")
}

/// Returns the only problem of a valid file with this line changed.
fn problem(line: &str, instead: &str) -> String {
    assert!(GOOD.contains(line), "{line:?} is not in the good file");
    let problems = problems(&GOOD.replace(line, instead));
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn a_good_file_is_taken() {
    let settings = load(GOOD, &[], &[]).unwrap();
    assert_eq!(settings.subject.to_string(), "spiffe://prod/node/web-1");
    assert_eq!(settings.advertise, Advertise::Listen);
    assert_eq!(
        settings
            .targets
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["seed.example:7946", "[::1]:7946"]
    );
    let services: Vec<_> = settings
        .services
        .iter()
        .map(|s| (s.name.as_str(), s.version.as_str()))
        .collect();
    assert_eq!(services, [("cart", ""), ("shop", "1")]);
    assert_eq!(
        settings.metadata,
        [("region".to_owned(), "eu".to_owned())].into()
    );
    assert_eq!(settings.kind, "");
    let tuning = Tuning {
        retry_max: Duration::from_secs(5),
        ..Tuning::default()
    };
    assert_eq!(settings.tuning, tuning);
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let variables = [
        ("PHALANX_ID", "from-environment"),
        ("PHALANX_KIND", "gateway"),
        ("PHALANX_TARGETS", "a:1, b:2"),
    ];
    let settings = load(
        GOOD,
        &variables,
        &["--id", "from-flag", "--service", "mail/2"],
    )
    .unwrap();
    assert_eq!(settings.subject.id().as_str(), "from-flag");
    assert_eq!(settings.kind, "gateway");
    assert_eq!(settings.targets.len(), 2);
    assert_eq!(settings.services.len(), 1, "a list is replaced as a whole");
}

#[test]
fn the_default_class_is_not_encoded() {
    let settings = load(GOOD, &[("PHALANX_KIND", "generic")], &[]).unwrap();
    assert_eq!(settings.kind, "");
}

#[test]
fn a_bound_beyond_what_a_view_can_number_is_refused() {
    let more = [("PHALANX_TUNING_MEMBERS_MAX", "16777217")];
    let problem = load(GOOD, &more, &[]).unwrap_err().concat();
    assert!(
        problem.contains("MEMBERS_MAX") && problem.contains("from 2 to 16777216"),
        "{problem}"
    );
}

#[test]
fn the_timeout_of_resolutions_is_a_setting_of_its_own() {
    let of = |value| {
        let given = [("PHALANX_TUNING_RESOLUTION_TIMEOUT_MS", value)];
        load(GOOD, &given, &[]).map(|settings| settings.tuning)
    };
    let tuning = of("3000").unwrap();
    assert_eq!(tuning.resolution_timeout, Duration::from_secs(3));
    assert_eq!(tuning.dial_timeout, Tuning::default().dial_timeout);
    let problem = of("0").unwrap_err().concat();
    assert!(problem.contains("RESOLUTION_TIMEOUT_MS"), "{problem}");
}

#[test]
fn each_key_has_its_own_variable() {
    for (at, key) in DaemonKey::ALL.iter().enumerate() {
        let twins = DaemonKey::ALL[at + 1..]
            .iter()
            .filter(|other| other.variable() == key.variable());
        assert_eq!(twins.count(), 0, "{}", key.variable());
    }
}

#[test]
fn the_table_of_keys_is_consistent_and_has_the_flags_of_the_command_line() {
    assert_eq!(inconsistencies::<DaemonKey>(), Vec::<String>::new());
    let command = Flags::command();
    let known = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    let own = ["config", "check-config", "until-input-ends"];
    let settings = known.filter(|name| !own.contains(name));
    let settings: BTreeSet<String> = settings.map(|name| format!("--{name}")).collect();
    let flags = DaemonKey::ALL.iter().filter_map(|key| key.flag());
    assert_eq!(settings, flags.map(str::to_owned).collect());
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one() {
    assert_eq!(
        problem("retry_max_ms", "retry_maks_ms"),
        "FILE:14: tuning.retry_maks_ms: unknown key; did you mean \"tuning.retry_max_ms\"?"
    );
    assert_eq!(
        problem("targets =", "tarfets ="),
        "FILE:6: tarfets: unknown key; did you mean \"targets\"?"
    );
    assert_eq!(
        problem("metadata = { region", "cert_dir = { region"),
        "FILE:8: cert_dir: unknown key; did you mean \"tls.cert_dir\"?"
    );
    assert_eq!(
        problems("log = 5"),
        ["FILE:1: log: is a table; write [log]"]
    );
    assert_eq!(
        problem("level =", "zzz ="),
        "FILE:12: log.zzz: unknown key; phalanxd --help says what can be set"
    );
}

#[test]
fn an_unknown_variable_is_a_warning_since_others_set_some_too() {
    let settings = load(
        GOOD,
        &[
            ("PHALANX_LISTN", "x"),
            ("PHALANX_ELSEWHERE_PORT", "1"),
            ("HOME", "/"),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(
        settings.warnings,
        [
            "environment variable PHALANX_LISTN: means nothing to phalanxd; did you mean PHALANX_LISTEN?",
            "environment variable PHALANX_ELSEWHERE_PORT: means nothing to phalanxd",
        ]
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_line() {
    assert_eq!(
        problem("\"web-1\"", "7"),
        "FILE:2: id: is of the type integer; write a string, in quotes"
    );
    assert_eq!(
        problem("5_000", "\"long\""),
        "FILE:14: tuning.retry_max_ms: is of the type string; write a whole number"
    );
    assert_eq!(
        problem("5_000", "-1"),
        "FILE:14: tuning.retry_max_ms: is of the type integer; write a whole number"
    );
    assert_eq!(
        problem("[\"shop/1\", \"cart\"]", "\"shop\""),
        "FILE:7: services: is of the type string; write an array of strings"
    );
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let problems = problems("mesh = \"a\"\nid = \n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("FILE:2: is no TOML: "),
        "{problems:?}"
    );
}

#[test]
fn a_bad_value_is_named_with_its_place_and_the_mend() {
    assert!(
        problem("\"web-1\"", "\"Web 1\"")
            .starts_with("FILE:2: id: \"Web 1\" has 'W' at byte 0; use a-z")
    );
    assert!(problem("\"prod\"", "\"\"").starts_with("FILE:3: mesh: \"\" is empty"));
    assert!(
        problem("127.0.0.1:7946", "localhost")
            .starts_with("FILE:4: listen: \"localhost\" is not a valid address; write IP:PORT")
    );
    assert_eq!(
        problem("seed.example:7946", "seed.example"),
        "FILE:6: targets: \"seed.example\" has no port; write host:port"
    );
    assert_eq!(
        problem("\"[::1]:7946\"", "\n\"a:99999\""),
        "FILE:7: targets: \"a:99999\" has no valid port; a port is a number from 1 to 65535"
    );
    assert!(
        problem("shop/1", "Shop/1")
            .starts_with("FILE:7: services: \"Shop/1\" names a service that has 'S'")
    );
    assert!(
        problem("\"warn\"", "\"loud\"")
            .starts_with("FILE:12: log.level: \"loud\" is not a valid log level")
    );
    assert!(
        problem("5_000", "50")
            .contains("tuning.retry_min_ms: is 100 ms, more than tuning.retry_max_ms (50 ms)")
    );
    assert!(
        problem(
            "region = \"eu\"",
            &format!("region = {:?}", "x".repeat(9000))
        )
        .starts_with("FILE:8: metadata: more than 8192 bytes")
    );
}

#[test]
fn trusted_subnets_are_lists_and_what_is_none_is_named_with_the_mend() {
    let subnets = |settings: DaemonSettings| settings.trusted.to_string();
    let with = |list: &str| format!("trusted_subnets = {list}\n{GOOD}");
    assert_eq!(subnets(load(GOOD, &[], &[]).unwrap()), "");
    let file = with("[\"10.0.0.0/8\", \"fd00::/8\"]");
    assert_eq!(
        subnets(load(&file, &[], &[]).unwrap()),
        "10.0.0.0/8, fd00::/8"
    );
    let variable = [("PHALANX_TRUSTED_SUBNETS", "192.0.2.0/24, ::/0")];
    let settings = load(&file, &variable, &[]).unwrap();
    assert_eq!(subnets(settings), "192.0.2.0/24, ::/0");
    let flags = [
        "--trusted-subnet",
        "10.0.0.0/8",
        "--trusted-subnet",
        "10.0.0.1/32",
    ];
    let settings = load(&file, &variable, &flags).unwrap();
    assert_eq!(subnets(settings), "10.0.0.0/8, 10.0.0.1/32");
    assert_eq!(
        problems(&with("[\n\"fd00::/8\",\n\"10.1.0.0/8\"]")),
        [
            "FILE:3: trusted_subnets: \"10.1.0.0/8\" has bits set beyond its prefix; write 10.0.0.0/8"
        ]
    );
    assert_eq!(
        load(GOOD, &[("PHALANX_TRUSTED_SUBNETS", "lan")], &[]).unwrap_err(),
        [
            "environment variable PHALANX_TRUSTED_SUBNETS: trusted_subnets: \"lan\" is not a valid subnet; write \
          ADDRESS/PREFIX, such as 10.0.0.0/8 or fd00::/8"
        ]
    );
    assert_eq!(
        load(GOOD, &[], &["--trusted-subnet", "10.0.0.1"]).unwrap_err(),
        [
            "--trusted-subnet: trusted_subnets: \"10.0.0.1\" is a single address; write 10.0.0.1/32 to mean this address only"
        ]
    );
    let many: Vec<String> = (0..65).map(|n| format!("10.{n}.0.0/16")).collect();
    assert_eq!(
        problems(&with(&format!("{many:?}"))),
        ["FILE:1: trusted_subnets: 65 subnets exceed the limit of 64"]
    );
}

#[test]
fn a_flag_and_a_variable_are_named_as_the_place() {
    let place = |variables: &[(&str, &str)], flags: &[&str]| {
        load(GOOD, variables, flags).unwrap_err().remove(0)
    };
    assert!(
        place(&[], &["--listen", "x"])
            .starts_with("--listen: listen: \"x\" is not a valid address")
    );
    assert!(
        place(&[("PHALANX_ID", "X")], &[])
            .starts_with("environment variable PHALANX_ID: id: \"X\" has 'X'")
    );
    assert_eq!(
        place(&[], &["--metadata", "plain"]),
        "--metadata: metadata: \"plain\" is not a valid entry; write KEY=VALUE"
    );
}

#[test]
fn an_undialable_address_must_be_replaced_or_dropped() {
    for (listen, why) in [
        ("0.0.0.0:7946", "is the unspecified address"),
        ("[::]:7946", "is the unspecified address"),
        ("[fe80::1%3]:7946", "is a link-local address"),
    ] {
        let any = GOOD.replace("127.0.0.1:7946", listen);
        let problem = problems(&any).remove(0);
        let wanted = format!(
            "FILE:4: advertise: is missing, and other nodes cannot dial {listen}, which {why}"
        );
        assert!(problem.starts_with(&wanted), "{problem}");
        assert!(problem.contains("or \"none\" if this node"), "{problem}");
        let without = load(&any, &[], &["--advertise", "none"]).unwrap();
        assert_eq!(without.advertise, Advertise::Nowhere);
    }
    let any = GOOD.replace("127.0.0.1:7946", "0.0.0.0:7946");
    for good in ["10.0.0.1:1", "[2001:db8::1]:1", "web-1.example:7400"] {
        let settings = load(&any, &[], &["--advertise", good]).unwrap();
        assert_eq!(settings.advertise, Advertise::At(good.parse().unwrap()));
        assert_eq!(settings.warnings, Vec::<String>::new());
    }
    for bad in [
        "0.0.0.0:1",
        "[::]:1",
        "[::ffff:0.0.0.0]:1",
        "10.0.0.1:0",
        "224.0.0.1:1",
        "[ff02::1]:1",
        "255.255.255.255:1",
        "[fe80::1]:1",
    ] {
        let problem = load(&any, &[], &["--advertise", bad]).unwrap_err().concat();
        for part in [
            "so other nodes cannot dial it",
            "give an address of this machine",
        ] {
            assert!(problem.contains(part), "{bad}: {problem}");
        }
    }
}

#[test]
fn a_loopback_address_of_a_node_that_listens_for_other_machines_is_warned_of() {
    let warnings = |listen: &str, advertise: &str| {
        let file = GOOD.replace("127.0.0.1:7946", listen);
        let settings = load(&file, &[], &["--advertise", advertise]);
        settings.unwrap().warnings
    };
    for (listen, advertise) in [("0.0.0.0:1", "127.0.0.1:1"), ("10.0.0.1:1", "[::1]:1")] {
        let [warning] = &warnings(listen, advertise)[..] else {
            panic!("{listen} {advertise}");
        };
        assert!(warning.contains("is a loopback address"), "{warning}");
    }
    assert!(warnings("127.0.0.1:1", "127.0.0.1:1").is_empty());
}

#[test]
fn a_target_that_cannot_be_dialled_is_refused() {
    for bad in ["0.0.0.0:1", "[ff02::1]:1", "255.255.255.255:1"] {
        let problem = load(GOOD, &[], &["--target", bad]).unwrap_err().concat();
        assert!(
            problem.contains("give the address of one node"),
            "{problem}"
        );
    }
    let scoped = load(GOOD, &[], &["--target", "[fe80::1%3]:7400"]);
    assert_eq!(scoped.unwrap().targets.len(), 1);
}

#[test]
fn the_nearest_source_of_certificates_counts_and_must_be_whole() {
    let source = |variables: &[(&str, &str)], flags: &[&str]| {
        load(GOOD, variables, flags).map(|s| s.certificates)
    };
    assert_eq!(
        source(&[], &[]),
        Ok(Source::Directory("/etc/phalanx".into()))
    );
    let pem = [
        ("PHALANX_TLS_CERT", "c"),
        ("PHALANX_TLS_KEY", "k"),
        ("PHALANX_TLS_CA", "a"),
    ];
    assert!(matches!(source(&pem, &[]), Ok(Source::Variables { key, .. }) if key == "k"));
    assert_eq!(
        source(&pem, &["--cert-dir", "here"]),
        Ok(Source::Directory("here".into()))
    );
    let error = source(&pem[..2], &[]).unwrap_err();
    assert_eq!(
        error,
        [
            "environment variable PHALANX_TLS_CA: is missing; the certificate, its key and the CA go together"
        ]
    );
    let error = source(&[], &["--tls-cert", "c", "--tls-ca", "a"]).unwrap_err();
    assert_eq!(
        error,
        [
            "tls.key: is missing; give it in the configuration file, as PHALANX_TLS_KEY_FILE or by its flag"
        ]
    );
    let error = source(&[], &["--tls-cert", "c", "--cert-dir", "d"]).unwrap_err();
    assert_eq!(
        error,
        [
            "--cert-dir: tls.cert_dir and --tls-cert: tls.cert stand beside each other: a node has either \
          certificates or the mesh's secret; give one source"
        ]
    );
    assert!(
        problem("cert_dir = \"/etc/phalanx\"", "")
            .starts_with("tls: nothing proves who this node is; give tls.cert_dir, or")
    );
}

#[test]
fn a_meshs_secret_comes_from_a_file_or_the_environment_and_not_beside_certificates() {
    let source = |variables: &[(&str, &str)], flags: &[&str]| {
        load(GOOD, variables, flags).map(|s| s.certificates)
    };
    assert_eq!(
        source(&[], &["--secret-file", "s"]),
        Ok(Source::SecretFile("s".into()))
    );
    let inline = [("PHALANX_SECRET", "one\ntwo")];
    assert_eq!(
        source(&inline, &[]),
        Ok(Source::SecretVariable("one\ntwo".to_owned().into()))
    );
    assert!(
        !format!("{:?}", source(&inline, &[])).contains("two"),
        "it prints the secret"
    );
    let error = source(&[], &["--secret-file", "s", "--cert-dir", "d"]).unwrap_err();
    assert_eq!(
        error,
        [
            "--cert-dir: tls.cert_dir and --secret-file: tls.secret_file stand beside each other: a node has either \
          certificates or the mesh's secret; give one source"
        ]
    );
    let both = "cert_dir = \"/etc/phalanx\"\nsecret_file = \"/etc/phalanx/secret\"";
    let error = problem("cert_dir = \"/etc/phalanx\"", both);
    assert!(
        error.starts_with("FILE:10: tls.cert_dir and FILE:11: ")
            && error.contains("tls.secret_file stand beside"),
        "{error}"
    );
    assert!(
        Flags::try_parse_from(["phalanxd", "--secret", "x"]).is_err(),
        "every user of the host can read a command line"
    );
}

#[test]
fn all_problems_are_reported_together() {
    let problems = problems("mesh = \"A\"\nlisten = \"x\"\n");
    for key in [
        ": listen: ",
        ": mesh: ",
        "tls: ",
        "id: is missing",
        "state_dir: is missing",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(key)),
            "{key} in {problems:?}"
        );
    }
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn the_example_is_good_and_shows_every_key_with_its_default() {
    let example = include_str!("../../phalanxd.example.toml");
    let settings = load(example, &[], &[]).unwrap();
    for key in DaemonKey::ALL {
        let last = key.name().rsplit('.').next().unwrap();
        assert!(
            example.lines().any(|line| line
                .trim_start_matches("# ")
                .starts_with(&format!("{last} = "))),
            "{last}"
        );
    }
    // The commented-out lines of the example are the defaults, except the lines for other sources of certificates, the
    // files of a database, the path of a socket, and those that make the node run a registry and serve metrics.
    assert_eq!((&settings.registry, settings.metrics), (&None, None));
    let others = [
        ("PHALANX_REGISTRY_REGION", "eu"),
        ("PHALANX_METRICS_LISTEN", "127.0.0.1:7947"),
    ];
    let settings = load(example, &others, &[]).unwrap();
    let other = |line: &&str| {
        let others = ["# cert_dir", "# secret_file", "# store_", "# socket"];
        others.iter().any(|other| line.starts_with(other))
    };
    let shown: Vec<_> = example.lines().filter(|line| !other(line)).collect();
    let whole = shown.iter().map(|line| {
        line.strip_prefix("# ")
            .filter(|rest| rest.contains(" = "))
            .unwrap_or(line)
    });
    assert_eq!(
        load(&whole.collect::<Vec<_>>().join("\n"), &[], &[]).unwrap(),
        settings
    );
}

#[test]
fn a_registry_is_read_and_its_problems_name_the_line_and_the_mend() {
    let with = |lines: &str| format!("{GOOD}[registry]\n{lines}\n");
    let line = GOOD.lines().count() + 2;
    assert_eq!(load(GOOD, &[], &[]).unwrap().registry, None);
    for lines in [
        "store = \"sqlite\"",
        "region = \"eu\"",
        "region = \"eu\"\nprimary = \"eu\"",
        "store = \"postgres://reg:cret@localhost/r\"",
        "store = \"postgres://reg:cret@db/r\"\nstore_ca_file = \"ca.pem\"",
    ] {
        let settings = load(&with(lines), &[], &[]).unwrap();
        assert_eq!(settings.registry.unwrap().region.as_str(), "eu", "{lines}");
    }
    let without = with("region = \"us\"").replace("metadata = { region = \"eu\" }", "");
    let content = load(&without, &[], &[]).unwrap().content(None);
    assert_eq!(content.metadata["region"], "us");
    assert!(
        content
            .services
            .iter()
            .any(|it| it.to_string() == "phalanx.registry/1")
    );
    for (lines, problem) in [
        (
            "region = \"us\"",
            "registry.region: \"us\" differs from the region \"eu\" in metadata",
        ),
        (
            "store = \"postgres://reg:cret@db\"",
            "registry.store: the URL names no database; write postgres://USER@HOST/DATABASE",
        ),
        (
            "store = \"postgres://reg:cret@db/r\"",
            "registry.store: db:5432 is reached with TLS, and no authority is given that proves it; give \
             registry.store_ca_file",
        ),
        (
            "store = \"mysql://reg:cret@db/r\"",
            "registry.store: the text is not a store; write \"sqlite\" or \"postgres://USER@HOST/DATABASE\"",
        ),
        (
            "store = \"mysql\"",
            "registry.store: \"mysql\" is not a store; write \"sqlite\"",
        ),
        (
            "retain_events = 5",
            "registry.retain_events: has no effect without a registry",
        ),
    ] {
        let problems = problems(&with(lines));
        let expected = format!("FILE:{line}: {problem}");
        assert!(
            problems.iter().any(|it| it.starts_with(&expected)),
            "{expected}: {problems:?}"
        );
        assert!(!problems.concat().contains("cret"), "{problems:?}");
    }
    let quota = problems(&with("region = \"eu\"\nquota_writes = 0")).concat();
    let expected = "registry.quota_writes: \"0\" is not a whole number from 1";
    assert!(quota.contains(expected), "{quota}");
    let primary = problems(&with("region = \"eu\"\nprimary = \"U\"")).concat();
    let expected = "registry.primary: \"U\" is not a region";
    assert!(primary.contains(expected), "{primary}");
    let secret = with("region = \"eu\"").replace("cert_dir =", "secret_file =");
    let secret = problems(&secret).concat();
    assert!(
        secret.contains("registry.region: a mesh with a secret cannot own a region"),
        "{secret}"
    );
}

#[test]
fn metrics_are_served_at_an_address_of_their_own() {
    let with = |address: &str| format!("{GOOD}[metrics]\nlisten = \"{address}\"\n");
    let settings = load(&with("127.0.0.1:7947"), &[], &[]).unwrap();
    assert_eq!(settings.metrics, Some("127.0.0.1:7947".parse().unwrap()));
    let problem = problems(&with("localhost:7947")).join("\n");
    assert!(
        problem
            .contains("metrics.listen: \"localhost:7947\" is not a valid address; write IP:PORT"),
        "{problem}"
    );
    let own = load(GOOD, &[], &[]).unwrap().listen;
    let problem = problems(&with(&own.to_string())).join("\n");
    assert!(
        problem.contains("is the address of the node itself; choose another port"),
        "{problem}"
    );
}

#[test]
fn problems_of_local_users_and_quotas_name_the_mend() {
    for (lines, expected) in [
        (
            "clients = { shop = \"shop\" }",
            "registry.clients: \"shop=shop\" does not begin with the number of a user (id -u NAME)",
        ),
        (
            "clients = { 1000 = \"Shop\" }",
            "registry.clients: \"1000=Shop\" does not name a service: a service is 1 to 63",
        ),
        (
            "socket = \"/run/registry.sock\"",
            "registry.socket: has no effect without users; map users to services in [registry.clients]",
        ),
        (
            "quotas = { \"//shop/\" = \"many\" }",
            "registry.quotas: \"//shop/=many\" is not a quota; write a prefix and a text such as",
        ),
        (
            "quotas = { \"//shop/\" = \"0 writes\" }",
            "registry.quotas: \"//shop/=0 writes\" has a number of writes that is not within",
        ),
    ] {
        let problems = problems(&format!("{GOOD}[registry]\nregion = \"eu\"\n{lines}\n")).concat();
        assert!(problems.contains(expected), "{problems}");
    }
}

//! Effects within a host: files, commands, signals and names, with the fakes of nginx and of a resolver.

mod probe;
mod seeds;

use phalanx_sim::disk::Files;
use phalanx_sim::fakes::dns::{Dns, RecordData, ResourceRecord, State, Zone};
use phalanx_sim::fakes::nginx::NginxProgram;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::{Scenario, Vocabulary, Words};
use phalanx_sim::world::{Cast, Definition, Process, ProcessStartError, Program, Scene, Start};
use phalanx_sim::{RunOptions, run};
use probe::Probes;

/// The commands of the probe, of nginx and of the resolver.
const COMMANDS: [(&str, &[&str]); 3] = [
    (
        "probe",
        &[
            "read",
            "list",
            "read-link",
            "replace",
            "remove",
            "rename",
            "symlink",
            "folder",
            "sync-folder",
            "sync-file",
            "run",
            "signal",
            "resolve",
            "get",
            "listen",
        ],
    ),
    ("nginx", &["nginx-names"]),
    ("dns", &["dns-set", "dns-state"]),
];

/// A program whose processes settle at once, because the suite's expectations concern the probe.
struct Settled<P>(P);

impl<P: Program> Program for Settled<P> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn prepare(&mut self, host: usize, disk: &mut Files) -> Result<(), ProcessStartError> {
        self.0.prepare(host, disk)
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        self.0.start(start)
    }

    fn resolves_names(&self) -> bool {
        self.0.resolves_names()
    }

    fn settled(&self, _: &Scene<'_>) -> Result<(), String> {
        Ok(())
    }
}

fn nginx() -> NginxProgram {
    let configuration = |version: &str, more: &str| {
        format!(
            "worker_processes 1;\npid /p/run/nginx.pid;\nerror_log /p/logs/error.log notice;\n\
             events {{}}\nhttp {{ proxy_temp_path /p/tmp; client_body_temp_path /p/tmp;\n\
             server {{ listen unix:/p/run/p.sock; location = /v {{ return 200 {version}; }} }}\n\
             server {{ listen 8080; return 200 site-{version}; }}\n{more} }}\n"
        )
    };
    let file = |path: &str, text: String| (path.to_owned(), text.into_bytes());
    NginxProgram {
        at_boot: None,
        folders: ["/p/logs", "/p/run", "/p/tmp"].map(str::to_owned).to_vec(),
        files: vec![
            file("/p/gen/v1/nginx.conf", configuration("v1", "")),
            file("/p/gen/v2/nginx.conf", configuration("v2", "")),
            file("/p/gen/bad/nginx.conf", configuration("bad", "bogus;")),
            file(
                "/p/gen/up/nginx.conf",
                configuration(
                    "up",
                    "server { listen 8081; location / { proxy_pass http://10.0.0.2:8080; } }",
                ),
            ),
        ],
        ..NginxProgram::default()
    }
}

fn dns() -> Dns {
    let record = |last: u8| ResourceRecord {
        name: "pool.example.test".to_owned(),
        ttl: 2,
        data: RecordData::A([10, 9, 0, last].into()),
    };
    Dns {
        zones: vec![Zone {
            name: "example.test".to_owned(),
            negative_ttl: 1,
            records: vec![record(1), record(2)],
            state: State::Answers,
        }],
    }
}

static HOSTS: Definition = Definition {
    name: "hosts",
    command: "hosts",
    vocabulary: || {
        let words = COMMANDS.map(|(program, commands)| Words {
            program,
            commands: commands.to_vec(),
            ..Words::default()
        });
        Vocabulary::of("the hosts", words)
    },
    build: |_, _| {
        Ok(Cast {
            programs: vec![
                Box::new(Probes),
                Box::new(Settled(nginx())),
                Box::new(Settled(dns())),
            ],
            // The first host runs no resolver.
            hosts: vec![vec![0, 1], vec![0, 1, 2]],
        })
    },
    recoverable: |_, _, _| Ok(()),
};

/// Runs a scenario of steps, each with its time, and checks the answers that the first host's probe receives, in order.
fn outcome(steps: &str, expected: &[&str], seed: u64) -> Outcome {
    let expect = expected.iter().enumerate().map(|(at, answer)| {
        let answer = serde_json::to_string(answer).expect("a text can be quoted");
        format!(
            "[[expect]]\neventually = {{ state = {{ who = \"n1/probe\", key = \"log.{at}\", is = {answer} }} }}\n"
        )
    });
    let text = format!(
        "scenario = 1\nname = \"hosts\"\nabout = \"Effects within a host.\"\nengines = [\"model\"]\n\
         duration = \"40s\"\nrecovery = \"5s\"\nspread = \"1ms\"\n[[nodes]]\ncount = 2\n{steps}\n{}",
        expect.collect::<String>()
    );
    let scenario = Scenario::parse_with("hosts.toml", &text, &(HOSTS.vocabulary)());
    let scenario = scenario.unwrap_or_else(|why| panic!("{why}\n{text}"));
    run(&HOSTS, &scenario, seed, RunOptions::default()).expect("the scenario runs")
}

/// A command to the first host's probe: the time in milliseconds, the name of the command, and its arguments.
fn step(at: u64, name: &str, words: &[&str]) -> String {
    let words = serde_json::to_string(words).expect("words can be quoted");
    format!(
        "[[at]]\ntime = \"{at}ms\"\ncommand = {{ who = \"n1/probe\", name = \"{name}\", with = {{ of = {words} }} }}\n"
    )
}

fn passes(steps: &[String], expected: &[&str]) {
    let outcome = outcome(&steps.concat(), expected, 1);
    let failures: Vec<&str> = outcome.failures.iter().map(|it| it.why.as_str()).collect();
    assert_eq!(failures, [""; 0]);
}

const START: &[&str] = &[
    "nginx",
    "-p",
    "/p",
    "-c",
    "current/nginx.conf",
    "-e",
    "logs/error.log",
];
const TEST: &[&str] = &["nginx", "-p", "/p", "-e", "stderr", "-t", "-q", "-c"];

/// Points the link to another generation.
fn swap(at: u64, version: &str) -> String {
    step(at, "symlink", &[version, "/p/.next"])
        + &step(at + 1, "rename", &["/p/.next", "/p/current"])
}

#[test]
fn files_are_written_linked_renamed_and_read() {
    let steps = [
        step(1_000, "folder", &["/a/b"]),
        step(1_001, "replace", &["/a/b/f", "one"]),
        step(1_002, "replace", &["/a/none/f", "one"]),
        step(1_003, "symlink", &["b", "/a/l"]),
        step(1_004, "read", &["/a/l/f"]),
        step(1_005, "rename", &["/a/b/f", "/a/g"]),
        step(1_006, "list", &["/a"]),
        step(1_007, "read-link", &["/a/l"]),
        step(1_008, "remove", &["/a/l"]),
        step(1_009, "read", &["/a/l"]),
    ];
    passes(
        &steps,
        &[
            "written",
            "written",
            "No such file or directory",
            "written",
            "one",
            "written",
            "b g l",
            "b",
            "written",
            "No such file or directory",
        ],
    );
}

#[test]
fn a_failing_disk_fails_reads() {
    let steps = [
        step(1_000, "replace", &["/f", "x"]),
        "[[at]]\ntime = \"2s\"\ndisk = { who = \"n1\", fault = \"io-error\" }\nfor = \"2s\"\n"
            .to_owned(),
        step(3_000, "read", &["/f"]),
        step(5_000, "read", &["/f"]),
    ];
    passes(&steps, &["written", "input/output error", "x"]);
}

#[test]
fn a_link_swap_is_durable_once_its_folder_is_synced() {
    let loss = "[[at]]\ntime = \"3s\"\npower-loss = \"n1\"\nfor = \"1s\"\n".to_owned();
    let look = || step(5_000, "read-link", &["/p/current"]);
    let synced = [
        swap(1_000, "gen/v1"),
        step(1_010, "sync-folder", &["/p"]),
        swap(1_020, "gen/v2"),
        step(1_030, "sync-folder", &["/p"]),
        loss.clone(),
        look(),
    ];
    for seed in 0..8 {
        let outcome = outcome(&synced.concat(), &["gen/v2"], seed);
        assert!(
            outcome.failures.is_empty(),
            "{seed}: {:?}",
            outcome.failures
        );
    }
    let unsynced = [
        swap(1_000, "gen/v1"),
        step(1_010, "sync-folder", &["/p"]),
        swap(1_020, "gen/v2"),
        loss,
        look(),
    ];
    let kept = |version: &str| {
        let kept = (0..12).filter(|seed| {
            outcome(&unsynced.concat(), &[version], *seed)
                .failures
                .is_empty()
        });
        kept.count()
    };
    let (old, new) = (kept("gen/v1"), kept("gen/v2"));
    assert!(
        old > 0 && new > 0 && old + new == 12,
        "{old} old, {new} new"
    );
}

#[test]
fn a_command_of_an_absent_program_is_not_found() {
    passes(
        &[step(1_000, "run", &["other"])],
        &["127|absent: command not found"],
    );
}

#[test]
fn nginx_is_tested_started_and_reloaded() {
    let test = |at, version: &str| {
        let file = format!("gen/{version}/nginx.conf");
        step(at, "run", &[TEST, &[file.as_str()]].concat())
    };
    let socket = "unix:/p/run/p.sock";
    let probe = |at| step(at, "get", &["127.0.0.1:1", socket, "/v"]);
    let steps = [
        test(1_000, "v1"),
        swap(1_100, "gen/v1"),
        step(1_200, "run", START),
        probe(1_400),
        step(1_500, "read", &["/p/run/nginx.pid"]),
        step(1_600, "read", &["/proc/1003/task/1003/children"]),
        step(1_700, "read", &["/proc/1004/cmdline"]),
        swap(1_800, "gen/v2"),
        step(1_900, "signal", &["1003", "hup"]),
        probe(2_500),
        step(2_600, "get", &["127.0.0.1:8080", "127.0.0.1:8080", "/"]),
        swap(2_700, "gen/bad"),
        step(2_800, "signal", &["1003", "hup"]),
        probe(3_000),
        step(3_100, "signal", &["77", "hup"]),
        step(3_200, "signal", &["1003", "quit"]),
        step(3_300, "list", &["/p/run"]),
    ];
    passes(
        &steps,
        &[
            "0",
            "written",
            "written",
            "0",
            "200 v1",
            "1003\n",
            "1004 ",
            "nginx: worker process",
            "written",
            "written",
            "delivered true",
            "200 v2",
            "200 site-v2",
            "written",
            "written",
            "delivered true",
            "200 v2",
            "delivered false",
            "delivered true",
            "",
        ],
    );
}

#[test]
fn a_bad_configuration_fails_the_command_with_its_place() {
    let steps = [
        swap(1_000, "gen/bad"),
        step(1_100, "run", START),
        step(1_200, "list", &["/p/run"]),
    ];
    let fault = "1|nginx: [emerg] unknown directive \"bogus\" in /p/current/nginx.conf:8";
    passes(&steps, &["written", "written", fault, ""]);
}

#[test]
fn a_crash_of_nginx_leaves_a_socket_file_that_blocks_its_start() {
    let failed = "nginx: [emerg] bind() to unix:/p/run/p.sock failed (98: Address already in use)|";
    let failed = format!(
        "1|{}nginx: [emerg] still could not bind()",
        failed.repeat(5)
    );
    let steps = [
        swap(1_000, "gen/v1"),
        step(1_100, "run", START),
        "[[at]]\ntime = \"2s\"\ncrash = \"n1/nginx\"\n".to_owned(),
        step(3_000, "get", &["127.0.0.1:8080", "127.0.0.1:8080", "/"]),
        step(4_000, "run", START),
        step(8_000, "remove", &["/p/run/p.sock"]),
        step(8_100, "run", START),
        step(9_000, "get", &["127.0.0.1:8080", "127.0.0.1:8080", "/"]),
    ];
    // No process answers the first request.
    passes(
        &steps,
        &[
            "written",
            "written",
            "0",
            &failed,
            "written",
            "0",
            "200 site-v1",
        ],
    );
}

#[test]
fn a_crash_ends_the_commands_under_way() {
    let steps = [
        step(900, "listen", &["8080"]),
        swap(1_000, "gen/v1"),
        step(1_100, "run", START),
        "[[at]]\ntime = \"2s\"\ncrash = \"n1/nginx\"\n".to_owned(),
    ];
    passes(&steps, &["written", "written", "137"]);
}

#[test]
fn a_port_of_another_program_fails_the_start() {
    let failed = "nginx: [emerg] bind() to 0.0.0.0:8080 failed (98: Address already in use)|";
    let failed = format!(
        "1|{}nginx: [emerg] still could not bind()",
        failed.repeat(5)
    );
    let steps = [
        step(900, "listen", &["8080"]),
        swap(1_000, "gen/v1"),
        step(1_100, "run", START),
    ];
    passes(&steps, &["written", "written", &failed]);
}

#[test]
fn requests_pass_through_an_upstream_on_another_host() {
    let on_second = |step: String| step.replace("n1/probe", "n2/probe");
    let get = |at| step(at, "get", &["127.0.0.1:8081", "127.0.0.1:8081", "/"]);
    let steps = [
        on_second(swap(1_000, "gen/v1")),
        on_second(step(1_100, "run", START)),
        swap(1_200, "gen/up"),
        step(1_300, "run", START),
        get(2_000),
        "[[at]]\ntime = \"3s\"\ncrash = \"n2/nginx\"\n".to_owned(),
        get(4_000),
    ];
    let page = "502 <html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
                Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
    passes(&steps, &["written", "written", "0", "200 site-v1", page]);
}

#[test]
fn names_are_resolved_by_a_program_of_another_host() {
    let resolve = |at, name: &str| step(at, "resolve", &[name]);
    let dns = |at: u64, name: &str, with: &str| {
        format!(
            "[[at]]\ntime = \"{at}ms\"\ncommand = {{ who = \"n2/dns\", name = \"{name}\", with = {{ {with} }} }}\n"
        )
    };
    let pool = "pool.example.test";
    let steps = [
        resolve(1_000, pool),
        resolve(1_100, "none.example.test"),
        dns(
            1_200,
            "dns-set",
            "name = \"pool.example.test\", addresses = [\"10.9.0.3\"], ttl = 2",
        ),
        resolve(1_300, pool),
        resolve(5_000, pool),
        dns(
            5_100,
            "dns-state",
            "zone = \"example.test\", state = \"fails\"",
        ),
        resolve(9_000, pool),
        dns(
            9_100,
            "dns-state",
            "zone = \"example.test\", state = \"silent\"",
        ),
        resolve(9_200, pool),
        dns(
            15_000,
            "dns-state",
            "zone = \"example.test\", state = \"answers\"",
        ),
        "[[at]]\ntime = \"16s\"\npartition = { sets = [\"n1\", \"n2\"] }\n".to_owned(),
        resolve(17_000, pool),
        "[[at]]\ntime = \"23s\"\nheal = true\n".to_owned(),
        resolve(24_000, pool),
    ];
    passes(
        &steps,
        &[
            "10.9.0.1 10.9.0.2",
            "name or service not known",
            "10.9.0.1 10.9.0.2",
            "10.9.0.3",
            "temporary failure in name resolution",
            "name resolution timed out",
            "name resolution timed out",
            "10.9.0.3",
        ],
    );
}

//! Tests of reading, planning, and error messages.

use super::names::Names;
use super::plan::ScheduledAction;
use super::{Engine, Scenario, Situation};
use core::time::Duration;
use proptest::prelude::*;

const HEAD: &str = r#"scenario = 1
name = "test"
about = "A test."
engines = ["model"]
duration = "60s"

[[nodes]]
count = 5

[[expect]]
eventually = { converged = true }
"#;

fn error(tail: &str) -> String {
    Scenario::parse("x.toml", &format!("{HEAD}{tail}"))
        .unwrap_err()
        .to_string()
}

fn scenario(tail: &str) -> Scenario {
    Scenario::parse("x.toml", &format!("{HEAD}{tail}")).unwrap()
}

#[test]
fn a_mistake_names_file_line_key_and_the_nearest_word() {
    assert_eq!(
        error("[[at]]\ntime = \"5s\"\npowerloss = \"n1\"\n"),
        "x.toml:14: powerloss: is not a key here; did you mean `power-loss`?"
    );
    assert_eq!(
        error("[[at]]\ntime = \"5s\"\ncrash = \"m1\"\n"),
        "x.toml:14: crash: there is no node `m1`; did you mean `n1`?"
    );
    assert_eq!(
        error("[[at]]\ntime = \"5s\"\npause = { who = \"n1\", for = \"4\" }\n"),
        "x.toml:14: for: `4` is not a valid duration; write a number with ns, us, ms, s, min or h, such as 250ms"
    );
    assert_eq!(
        error("[[expect]]\nnever = { event = { kind = \"peer-dwon\" } }\n"),
        "x.toml:13: kind: `peer-dwon` is not an event of the mesh; did you mean `peer-down`?"
    );
    assert!(
        error("[[at]]\ntime = \"61s\"\ncrash = \"n1\"\n")
            .starts_with("x.toml:13: time: is not before")
    );
    assert!(error("[[at]]\ntime = \"1s\"\n").starts_with("x.toml:12: at: has no action"));
    assert!(
        error("[[at]]\ntime = \"1s\"\ncrash = \"n1\"\nleave = \"n2\"\n")
            .contains("crash and leave")
    );
    assert!(error("x = [\n").starts_with("x.toml:1"));
}

#[test]
fn the_usual_class_may_be_written_and_is_the_same() {
    let written = HEAD.replace("count = 5", "count = 5\nkind = \"generic\"");
    let written = Scenario::parse("x.toml", &written).unwrap();
    assert!(written.hosts.iter().all(|host| host.own.is_empty()));
    assert_eq!(written.hosts, scenario("").hosts);
}

#[test]
fn an_expectation_that_cannot_fail_is_refused() {
    let what = error("[[expect]]\nmetric = \"bytes-per-node\"\n");
    assert_eq!(
        what,
        "x.toml:12: metric: needs `min` or `max`: without them it cannot fail"
    );
    assert!(error("[[expect]]\neventually = { links = {} }\n").contains("cannot fail"));
}

#[test]
fn the_wire_engine_refuses_unsupported_steps_and_names_them() {
    let scenario = scenario("[[at]]\ntime = \"5s\"\npause = { who = \"n1\", for = \"4s\" }\n");
    assert_eq!(scenario.check_engine(Engine::Model), Ok(()));
    let why = scenario.check_engine(Engine::Wire).unwrap_err().to_string();
    assert_eq!(
        why,
        "x.toml:12: pause: engine wire cannot do the step `pause`; use --engine model"
    );
}

#[test]
fn an_engine_that_the_file_lists_and_that_cannot_run_it_is_to_be_removed_from_the_list() {
    let steps = [
        "pause = { who = \"n1\", for = \"4s\" }",
        "slow = { who = \"n1\", by = \"4ms\" }",
        "clock = { who = \"n1\", jump = \"4s\" }",
        "disk = { who = \"n1\", fault = \"full\" }",
        "disk = { who = \"n1\", slow = \"10ms\" }",
        "nat = { who = \"n1\", idle = \"9s\" }",
        "move = \"n1\"",
        "hold = { from = \"n1\", to = \"n2\" }",
        "clog = \"n1\"",
        "swizzle-clog = \"2 of all\"",
        "loss = \"10%\"",
        "bandwidth = \"10Mbit\"",
        "latency = \"exponential 5ms from 1ms\"",
        "loss = { from = \"n1\", to = \"n2\", is = \"5%\" }",
        "mtu = { from = \"n1\", to = \"n2\", is = \"500B\" }",
    ];
    let steps = steps.map(|step| format!("[[at]]\ntime = \"5s\"\n{step}\n"));
    let settings = [
        "[network]\nloss = \"5%\"\n",
        "[[link]]\nfrom = \"n1\"\nto = \"n2\"\nlatency = \"1ms\"\nbandwidth = \"1Mbit\"\n",
        "[[nodes]]\ncount = 1\nprefix = \"m\"\nrestart-after = \"5s\"\n",
        "[[nodes]]\ncount = 60\nprefix = \"m\"\n",
        "[[nodes]]\ncount = 1\nprefix = \"m\"\nclock = { offset = \"3s\" }\n",
        "[chaos]\nkinds = [\"pause\"]\n",
    ];
    let head = HEAD.replace("[\"model\"]", "[\"model\", \"wire\"]");
    for text in steps.into_iter().chain(settings.map(str::to_owned)) {
        let scenario = Scenario::parse("x.toml", &format!("{head}{text}"))
            .unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(scenario.check_engine(Engine::Model), Ok(()), "{text}");
        let why = scenario.check_engine(Engine::Wire).unwrap_err();
        let mend = "; use --engine model, and remove \"wire\" from `engines` (line 4)";
        assert!(why.message.ends_with(mend), "{text}: {why}");
        assert!(why.line > 4, "{text}: {why}");
    }
}

#[test]
fn a_plan_is_the_same_for_one_seed_and_another_for_another() {
    let scenario =
        scenario("[[at]]\ntime = \"5s\"\npower-loss = \"2 of all\"\nnamed = \"victims\"\n");
    let (one, two) = (scenario.plan(1).unwrap(), scenario.plan(1).unwrap());
    assert_eq!(one.named, two.named);
    assert_eq!(one.named["victims"].len(), 2);
    assert!((2..20).any(|seed| scenario.plan(seed).unwrap().named != one.named));
}

#[test]
fn repeated_and_staggered_steps_unfold() {
    let scenario = scenario(concat!(
        "[[at]]\ntime = \"5s\"\nevery = \"2s\"\ntimes = 3\npartition = { isolate = \"n1\" }\n",
        "[[at]]\ntime = \"6s\"\nevery = \"2s\"\ntimes = 3\nheal = true\n",
        "[[at]]\ntime = \"20s\"\nstagger = \"1s\"\nrestart = { who = \"n1..n3\" }\n",
        "[[at]]\ntime = \"30s\"\ncrash = \"n4\"\n[[at]]\ntime = \"31s\"\nrestart = { who = \"down\" }\n",
    ));
    let plan = scenario.plan(1).unwrap();
    let when = |wanted: &dyn Fn(&ScheduledAction) -> bool| -> Vec<u64> {
        plan.actions
            .iter()
            .filter(|p| p.step.is_some() && wanted(&p.action))
            .map(|p| p.at.as_secs())
            .collect()
    };
    assert_eq!(
        when(&|order| matches!(order, ScheduledAction::Cut(_))),
        [5, 7, 9]
    );
    assert_eq!(
        when(&|order| matches!(order, ScheduledAction::Heal(_))),
        [6, 8, 10]
    );
    assert_eq!(
        when(&|order| matches!(order, ScheduledAction::Start { .. })),
        [20, 21, 22, 31]
    );
    assert!(plan.actions.is_sorted_by_key(|planned| planned.at));
}

#[test]
fn a_staggered_step_follows_the_order_of_the_file() {
    let order = |who: &str| -> Vec<usize> {
        let step = format!(
            "[[at]]\ntime = \"5s\"\nstagger = \"1s\"\npause = {{ who = \"{who}\", for = \"1s\" }}\n"
        );
        let plan = scenario(&step).plan(1).unwrap();
        let paused = plan.actions.iter().filter_map(|planned| {
            if let ScheduledAction::Pause { host, .. } = planned.action {
                Some(host)
            } else {
                None
            }
        });
        paused.collect()
    };
    assert_eq!(order("n4, n2, n5"), [3, 1, 4]);
    assert_eq!(order("n5, n1..n3, n2"), [4, 0, 1, 2]);
    assert_eq!(order("all"), [0, 1, 2, 3, 4]);
    let drawn = order("3 of all");
    assert!(drawn.is_sorted() && drawn.len() == 3, "{drawn:?}");
}

#[test]
fn every_fault_is_lifted_at_the_end_except_kept_ones() {
    let scenario = scenario(concat!(
        "[[at]]\ntime = \"5s\"\ncut = { fraction = \"30%\", kept = true }\n",
        "[[at]]\ntime = \"6s\"\npartition = { halves = true }\n",
    ));
    let plan = scenario.plan(1).unwrap();
    let mended: Vec<_> = plan
        .actions
        .iter()
        .filter(|p| matches!(p.action, ScheduledAction::Heal(_)))
        .collect();
    assert_eq!(mended.len(), 1);
    assert_eq!(
        (mended[0].at, &mended[0].action),
        (Duration::from_secs(60), &ScheduledAction::Heal(1))
    );
}

#[test]
fn the_schema_knows_every_step() {
    let schema = super::schema(&crate::mesh::vocabulary()).to_string();
    for word in [
        "power-loss",
        "partition",
        "converged",
        "drift-ppm",
        "isolate",
    ] {
        assert!(schema.contains(&format!("\"{word}\"")), "{word}");
    }
}

/// A file that uses every key.
const EVERYTHING: &str = r#"scenario = 1
name = "everything"
about = "One of each: \"quoted\"."
engines = ["model"]
duration = "90s"
recovery = "15s"
seeds = "web1, db"
spread = "1s"
[network]
latency = "exponential 5ms from 1ms"
loss = "0.5%"
bandwidth = "100Mbit"
[tuning]
forget-after = "30s"
[chaos]
kinds = ["crash", "partition"]
at-once = 3
stay-up = 2
from = "10s"
quiet = "80s"
[[nodes]]
count = 4
prefix = "web"
services = ["web/1"]
metadata = { "a key" = "a value" }
role = "front"
region = "eu"
zone = "eu-1"
tuning = { links-max = 9 }
[[nodes]]
names = ["db", "spare"]
waits = false
clock = { offset = "-3s", drift-ppm = -50 }
dialable = false
start = "1500ms"
kind = "store"
[[nodes]]
names = ["late"]
waits = true
[[link]]
from = "role:front"
to = "db"
latency = "log-normal 5ms p99 80ms"
[[at]]
between = ["5s", "8s"]
for = "4s"
named = "side"
partition = { random = true, direction = "in" }
[[at]]
after = { event = "peer-down", by = "web1", about = "db", delay = "1s" }
crash = "web2"
for = "2s"
[[at]]
time = "20s"
every = "10s"
hold = { from = "web1", to = "region:eu", direction = "out" }
for = "2s"
[[at]]
time = "21s"
clog = "db"
for = "1s"
[[at]]
time = "22s"
swizzle-clog = "zone:eu-1"
for = "8s"
[[at]]
time = "30s"
cut = { fraction = "10%", kept = true }
[[at]]
time = "31s"
stagger = "1s"
upgrade = { who = "web1..web3", version = "2" }
[[at]]
time = "40s"
disk = { who = "db", fault = "torn-write" }
[[at]]
time = "41s"
certificate = { who = "db", is = "expired" }
for = "3s"
[[at]]
time = "42s"
flap = { who = "1 of web1..web4", services = ["x/1"], every = "1s", for = "5s" }
[[at]]
time = "50s"
latency = "1ms..9ms"
for = "5s"
[[at]]
time = "60s"
join = "late"
[[at]]
time = "61s"
clone = { of = "db", name = "db-copy" }
[[at]]
time = "62s"
updates = { who = "web4", every = "1s", for = "3s" }
[[at]]
time = "63s"
clock = { who = "web1", jump = "3s", drift-ppm = 20 }
[[at]]
time = "64s"
slow = { who = "side.1", by = "3ms", for = "4s" }
[[at]]
time = "70s"
restart = { who = "down, spare", state = "lose" }
[[at]]
time = "71s"
reset = { from = "db", to = "not db" }
[[at]]
time = "71s"
refuse = "running, not web1"
for = "3s"
[[at]]
time = "72s"
loss = { from = "db", to = "web1..web2", direction = "out", is = "5%" }
for = "3s"
[[at]]
time = "72s"
latency = { fraction = "20%", is = "50ms..60ms" }
[[at]]
time = "73s"
bandwidth = "2Mbit"
[[at]]
time = "73s"
mtu = { from = "db", to = "spare", is = "1200B" }
[[at]]
time = "74s"
duplicate = "1%"
[[at]]
time = "74s"
corrupt = "2%"
[[at]]
time = "75s"
partition = { sets = ["db", "rest"] }
for = "1s"
[[at]]
time = "76s"
clock = { who = "web1", jump = "-3s" }
[[at]]
time = "76s"
disk = { who = "db", slow = "20ms" }
[[at]]
time = "77s"
nat = { who = "web2", idle = "30s" }
[[at]]
time = "77s"
move = "spare"
[[at]]
after = { event = "peer-down", by = "web1", from = "20s", nth = 3 }
crash = "web3"
[[expect]]
sometimes = { event = { kind = "peer-down", about = "db", min = 2 } }
[[expect]]
never = { members = { who = "running", as = "suspect", min = 6 } }
from = "1s"
to = "2s"
[[expect]]
metric = "converge-p99-ms"
who = "all"
min = 1
max = 9000
[[expect]]
always = { links = { who = "web1", max = 9 } }
from = "80s"
[[expect]]
eventually = { providers = { of = "x", are = "" } }
within = "90s"
"#;

#[test]
fn a_scenario_that_is_written_reads_as_itself() {
    let scenario = Scenario::parse("x.toml", EVERYTHING).unwrap();
    let text = scenario.to_toml();
    let again = Scenario::parse("x.toml", &text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    assert_eq!(again.to_toml(), text);
    assert_eq!(
        (&again.hosts, &again.links),
        (&scenario.hosts, &scenario.links)
    );
    assert_eq!(
        (again.network, &again.settings),
        (scenario.network, &scenario.settings)
    );
    let modes = |scenario: &Scenario| -> Vec<_> {
        let expectations = scenario.expectations.iter();
        expectations
            .map(|expect| (format!("{:?}", expect.mode), expect.from, expect.to))
            .collect()
    };
    let unread = |text: &str| text.split("text: \"").next().map(str::to_owned);
    assert_eq!(unread(&modes(&again)[0].0), unread(&modes(&scenario)[0].0));
    for seed in 1..5 {
        assert_eq!(again.plan(seed), scenario.plan(seed), "{text}");
    }
}

#[test]
fn chaos_keeps_its_budget() {
    let tail = concat!(
        "[chaos]\nat-once = 2\nstay-up = 3\nevery = \"1s\"\nshortest = \"1s\"\nlongest = \"6s\"\n",
        "from = \"5s\"\nquiet = \"50s\"\n"
    );
    let scenario = scenario(tail);
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let plan = scenario.plan(seed).unwrap();
        let chaos: Vec<_> = plan
            .actions
            .iter()
            .filter(|planned| planned.chaos)
            .collect();
        assert!(!chaos.is_empty());
        let (first, last) = (chaos[0].at, chaos[chaos.len() - 1].at);
        assert!(first >= Duration::from_secs(5) && last <= Duration::from_secs(50));
        let mut down = std::collections::BTreeSet::new();
        for planned in &plan.actions {
            kinds.insert(
                format!("{:?}", planned.action)
                    .split([' ', '('])
                    .next()
                    .map(str::to_owned),
            );
            if let ScheduledAction::Stop { host, .. } | ScheduledAction::Leave(host) =
                &planned.action
            {
                down.insert(*host);
            }
            if let ScheduledAction::Start { host, .. } = &planned.action {
                down.remove(host);
            }
            assert!(down.len() <= 2, "seed {seed}");
        }
        assert!(down.is_empty(), "seed {seed}");
    }
    assert!(kinds.len() >= 9, "{kinds:?}");
}

/// Words of selectors over `n1..n9` and a given name.
const SELECTOR_WORDS: [&str; 9] = [
    "n1",
    "n3..n6",
    "n5..n9",
    "all",
    "down",
    "running",
    "hall",
    "2 of n2..n8",
    "not n4",
];

proptest! {
    #[test]
    fn a_selector_selects_the_nodes_that_it_resolves_to(
        words in prop::collection::vec(prop::sample::select(&SELECTOR_WORDS[..]), 1..4),
        running in prop::collection::vec(any::<bool>(), 9),
    ) {
        let mut names = Names::new(core::iter::empty());
        for host in 1..=9 {
            names.add(&format!("n{host}"), None).unwrap();
        }
        names.give("hall").unwrap();
        let Ok(selector) = names.selector(&words.join(", ")) else {
            return Ok(());
        };
        let named = [("hall".to_owned(), vec![6, 2])].into();
        let situation = Situation {
            hosts: 9,
            named: &named,
            running: &|host| running[host],
            stopped: &|host| !running[host],
        };
        let resolved = selector.resolve_now(&situation);
        let selected: Vec<usize> = (0..9)
            .filter(|host| selector.selects_now(*host, &situation))
            .collect();
        prop_assert_eq!(resolved, selected);
    }
}

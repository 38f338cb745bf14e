//! Measures bytes on the wire, time of detection and false deaths for several times between two heartbeats of a node, on
//! the model engine. The figures are the same on every computer.
//!
//! The other limits follow from this time: see [`Limits::of_spacing`]. `SPACINGS=250,500` selects the times in
//! milliseconds; `SPACINGS=2000/330/2500/3500/4700`, the defaults, sets all limits of a row: the interval of a link, the
//! spacing, `redial_after`, `silent_after`, `down_after`. `MINUTES=1000` selects the node-minutes of each fault.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use phalanx_sim::RunOptions;
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::Scenario;

const NODES: u64 = 100;
/// The number of neighbours of a node on the three rings.
const RING_LINKS: u64 = 6;
/// Bytes of one small message on the wire without its encoding: IP 20, TCP 32, TLS 22, HTTP/2 9, gRPC 5.
const MESSAGE_OVERHEAD: f64 = 88.0;
/// Bytes of the acknowledgement of one message: IP 20, TCP 32.
const ACKNOWLEDGEMENT: f64 = 52.0;
/// The length of one run with faults, in minutes. A run of each seed follows the other.
const RUN_MINUTES: u64 = 10;
/// A bound that every value meets, because the benchmark reads only the measured value.
const ANY: &str = "max = 1000000000";

/// Settings of the failure detector, in milliseconds.
struct Limits {
    interval: u64,
    spacing: u64,
    redial: u64,
    silent: u64,
    down: u64,
}

impl Limits {
    /// The limits that a time between two heartbeats of a node requires: a heartbeat on each link of the rings, half a
    /// second until a silent neighbour is dialled again, half a second for that dial and for the report; at least
    /// 3.5 s and 4.7 s, because a node that pauses for 4 s must not be declared down.
    fn of_spacing(spacing: u64) -> Self {
        let interval = RING_LINKS * spacing;
        let redial = interval + 500;
        let silent = (redial + 500).max(3_500);
        let down = (silent + 500).max(4_700);
        Self {
            interval,
            spacing,
            redial,
            silent,
            down,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers: Result<Vec<u64>, _> = text.split('/').map(str::parse).collect();
        match numbers.ok()?[..] {
            [spacing] => Some(Self::of_spacing(spacing)),
            [interval, spacing, redial, silent, down] => Some(Self {
                interval,
                spacing,
                redial,
                silent,
                down,
            }),
            _ => None,
        }
    }

    /// A scenario of these limits that lasts this many seconds.
    fn scenario(&self, seconds: u64, steps: &str) -> String {
        let Self {
            interval,
            spacing,
            redial,
            silent,
            down,
        } = self;
        format!(
            "scenario = 1\nname = \"heartbeats\"\nabout = \"Limits, measured.\"\nengines = [\"model\"]\nduration = \"{seconds}s\"\n\
             recovery = \"20s\"\nspread = \"100ms\"\n[tuning]\nheartbeat-interval-max = \"{interval}ms\"\n\
             heartbeat-spacing = \"{spacing}ms\"\nredial-after = \"{redial}ms\"\nsilent-after = \"{silent}ms\"\ndown-after = \"{down}ms\"\n\
             [network]\nlatency = \"1ms\"\n[[nodes]]\ncount = {NODES}\n{steps}"
        )
    }
}

fn run(text: &str, seed: u64) -> Result<Outcome, String> {
    let scenario = Scenario::parse("heartbeats.toml", text).map_err(|error| error.to_string())?;
    phalanx_sim::run(&MESH, &scenario, seed, RunOptions::default())
        .map_err(|error| error.to_string())
}

/// The figure of each expectation of a run.
fn figures(text: &str, seed: u64) -> Result<Vec<u64>, String> {
    let outcome = run(text, seed)?;
    let figures = outcome.expected.iter().map(|expected| expected.figure);
    figures
        .collect::<Option<_>>()
        .ok_or_else(|| "a figure is missing".to_owned())
}

/// Messages and encoded bytes of a node at rest, per second.
fn at_rest(limits: &Limits) -> Result<(f64, f64), String> {
    let (from, to) = (60, 120);
    let metric = |name| {
        format!("[[expect]]\nmetric = \"{name}\"\nfrom = \"{from}s\"\nto = \"{to}s\"\n{ANY}\n")
    };
    let metrics = metric("messages-per-node") + &metric("bytes-per-node");
    let figures = figures(&limits.scenario(125, &metrics), 1)?;
    let rate = |figure: u64| figure as f64 / (to - from) as f64;
    Ok((rate(figures[0]), rate(figures[1])))
}

/// The median and the slowest of ten detections of a silent node by all others, in milliseconds; none if a node was not
/// detected within 20 s.
fn detection(limits: &Limits, loss: &str) -> Result<Option<(u64, u64)>, String> {
    let mut steps = format!("[[at]]\ntime = \"20s\"\nloss = \"{loss}\"\n");
    let crashes: Vec<u64> = (2..7).map(|number| number * 20).collect();
    for at in &crashes {
        steps += &format!(
            "[[at]]\ntime = \"{}ms\"\npower-loss = \"n{}\"\n",
            at * 1_000 - 1,
            at / 2
        );
    }
    for at in &crashes {
        steps += &format!(
            "[[expect]]\neventually = {{ sees = {{ who = \"all\", of = \"n{}\", as = \"down\" }} }}\nfrom = \"{at}s\"\nwithin = \"19s\"\n",
            at / 2
        );
    }
    let text = limits.scenario(145, &steps);
    let mut times = Vec::new();
    for seed in 1..=2 {
        for (at, expected) in crashes.iter().zip(&run(&text, seed)?.expected) {
            let Some(known) = expected.at_ms.filter(|_| expected.met) else {
                return Ok(None);
            };
            times.push(known - at * 1_000);
        }
    }
    times.sort_unstable();
    Ok(Some((times[times.len() / 2], times[times.len() - 1])))
}

/// The false deaths in this many node-minutes under a fault, and the encoded bytes of a node per second.
fn false_deaths(limits: &Limits, fault: &str, minutes: u64) -> Result<(u64, u64), String> {
    let seconds = RUN_MINUTES * 60;
    let metric = |name| format!("[[expect]]\nmetric = \"{name}\"\nto = \"{seconds}s\"\n{ANY}\n");
    let expect = metric("false-deaths") + &metric("bytes-per-node");
    let text = limits.scenario(seconds + 20, &(fault.to_owned() + &expect));
    let runs = minutes.div_ceil(RUN_MINUTES * NODES);
    let (mut deaths, mut bytes) = (0, 0);
    for seed in 1..=runs {
        let found = figures(&text, seed)?;
        deaths += found[0];
        bytes += found[1];
    }
    Ok((deaths, bytes / (runs.max(1) * seconds)))
}

/// Prints the row of these limits.
fn measure(limits: &Limits, minutes: u64) -> Result<(), String> {
    let (messages, encoded) = at_rest(limits)?;
    let wire = messages * (MESSAGE_OVERHEAD + ACKNOWLEDGEMENT) + encoded;
    let known = |found: Option<(u64, u64)>| {
        found.map_or_else(
            || "never".to_owned(),
            |(median, slowest)| format!("{median} {slowest}"),
        )
    };
    let (quiet, lossy) = (detection(limits, "0%")?, detection(limits, "25%")?);
    let at_loss = "[[at]]\ntime = \"10s\"\nloss = \"25%\"\nfor = \"580s\"\n";
    let pauses = "[[at]]\ntime = \"10s\"\nevery = \"10s\"\ntimes = 58\npause = { who = \"10 of all\", for = \"4s\" }\n";
    let (dead, _) = false_deaths(limits, pauses, minutes)?;
    let (dead_at_loss, encoded_at_loss) = false_deaths(limits, at_loss, minutes)?;
    let limits_text = format!(
        "{}/{}/{}/{}",
        limits.interval, limits.redial, limits.silent, limits.down
    );
    println!(
        "{:>7} {limits_text:>24} {messages:>10.2} {encoded:>9.1} {wire:>6.0} {:>12} {:>12} {dead:>10} {dead_at_loss:>10} {encoded_at_loss:>10}",
        limits.spacing,
        known(quiet),
        known(lossy),
    );
    Ok(())
}

fn main() {
    let minutes = std::env::var("MINUTES").ok();
    let minutes = minutes.and_then(|text| text.parse().ok()).unwrap_or(10_000);
    println!(
        "{NODES} nodes; milliseconds; false deaths in {minutes} node-minutes of each fault\n\
         spacing interval/redial/silent/down messages/s encoded/s wire/s  down after  at 25 % loss  4 s pauses  25 % loss  encoded/s"
    );
    let chosen = std::env::var("SPACINGS").unwrap_or_else(|_| {
        "250,2000/330/2500/3500/4700,2500/420/3000/3500/4700,500,700,1000".to_owned()
    });
    for text in chosen.split(',') {
        let found = Limits::parse(text).ok_or_else(|| "are not limits".to_owned());
        if let Err(why) = found.and_then(|limits| measure(&limits, minutes)) {
            println!("{text:>7} {why}");
        }
    }
}

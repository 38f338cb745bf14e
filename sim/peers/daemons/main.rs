//! Real daemons on real sockets: the resource usage of each at rest, compared with other programs for the same purpose.
//!
//! The program starts a mesh of processes on this machine, each with its own loopback address, and waits until all
//! nodes know all others. After a settling time it measures processor time, memory and bytes on the wire. It then stops
//! one process, waits until all others have detected this, and ends all processes. [`contender`] lists the programs,
//! [`fleet`] runs them, [`gauge`] reads their resource usage.
//!
//! Run by `make bench-daemons`. The program first moves into a network namespace of its own (`unshare`), so that the
//! loopback interface carries no other traffic.

mod contender;
mod fleet;
mod gauge;

use contender::Contender;
use fleet::DaemonFleet;
use gauge::{Cost, Gauge, Wire};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const USAGE: &str = "Usage: daemons [--nodes N] [--for SECONDS] [--only NAME,NAME...]

  --nodes  how many processes, 3 to 200 (50)
  --for    how long the steady state is measured, 5 to 3600 (60)
  --only   phalanxd, weave, memberlist (all; the latter two need Go and Debian's libraries)";

/// The argument with which the program runs itself inside its own network namespace.
const INSIDE: &str = "--in-a-network-of-its-own";

/// Time between the formation of the mesh and the measurement, so that late links and full exchanges are complete.
const SETTLE: Duration = Duration::from_secs(35);

/// Maximum time for the mesh to form.
const FORM_MAX: Duration = Duration::from_secs(300);

/// Maximum time for all nodes to detect the stopped process.
const DEATH_MAX: Duration = Duration::from_secs(120);

/// The command line.
struct Arguments {
    nodes: usize,
    length: Duration,
    only: Vec<String>,
    inside: bool,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        nodes: 50,
        length: Duration::from_secs(60),
        only: Contender::NAMES.map(str::to_owned).to_vec(),
        inside: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--nodes" => arguments.nodes = number("--nodes", &value()?, 3, 200)?,
            "--for" => {
                let seconds = number("--for", &value()?, 5, 3_600)?;
                arguments.length = Duration::from_secs(seconds as u64);
            }
            "--only" => {
                let text = value()?;
                arguments.only = text.split(',').map(str::to_owned).collect();
                let known = |name: &String| Contender::NAMES.contains(&name.as_str());
                if let Some(unknown) = arguments.only.iter().find(|name| !known(name)) {
                    return Err(format!(
                        "--only {unknown}: there is no such program\n{USAGE}"
                    ));
                }
            }
            INSIDE => arguments.inside = true,
            _ => return Err(format!("{word}?\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn number(flag: &str, text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("{flag} {text}: write a number from {min} to {max}"))
}

/// Replaces this process by the same program in a network namespace of its own. Returns only on failure, with the
/// reason.
fn move_out() -> String {
    let mut up = Command::new("unshare");
    up.args(["--map-root-user", "--net", "ip", "link", "set", "lo", "up"]);
    if !up.output().is_ok_and(|output| output.status.success()) {
        return "needs unshare and ip, and user namespaces".to_owned();
    }
    let me = match std::env::current_exe() {
        Ok(me) => me,
        Err(why) => return format!("this program: {why}"),
    };
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--net"]).arg(me);
    again.args(std::env::args_os().skip(1)).arg(INSIDE);
    format!("unshare: {}", again.exec())
}

/// The figures of one program's mesh.
struct Figures {
    formed: Duration,
    /// Bytes on the wire per node until the mesh had formed.
    forming_bytes: f64,
    cost: Cost,
    /// Time until all nodes detected the stopped process; `None` if they did not detect it in time.
    death: Option<Duration>,
}

fn measure(contender: &Contender, nodes: usize, length: Duration) -> Result<Figures, String> {
    let wire = Wire::read()?;
    let mut fleet = DaemonFleet::start(contender, nodes)?;
    let formed = fleet.wait(FORM_MAX, |seen| seen.all_see_all())?;
    let formed = formed.ok_or_else(|| {
        format!(
            "{}: not all saw all within {} s",
            contender.name(),
            FORM_MAX.as_secs()
        )
    })?;
    let forming_bytes = Wire::read()?.since(&wire).bytes / nodes as f64;
    std::thread::sleep(SETTLE);
    let before = Gauge::read(contender, &fleet)?;
    let since = Instant::now();
    std::thread::sleep(length);
    let took = since.elapsed();
    let after = Gauge::read(contender, &fleet)?;
    let cost = after.since(&before, took);
    let death = fleet.stop_one_dead(DEATH_MAX)?;
    fleet.end()?;
    Ok(Figures {
        formed,
        forming_bytes,
        cost,
        death,
    })
}

fn print(name: &str, figures: &Figures) {
    let cost = &figures.cost;
    let encoded = cost
        .encoded
        .map_or("-".to_owned(), |bytes| format!("{bytes:.0}"));
    let death = figures.death.map_or("not in time".to_owned(), |took| {
        format!("{:.1}", took.as_secs_f64())
    });
    println!(
        "{name:<12}{:>10.2}{:>10.1}{:>10.1}{:>12}{:>12.0}{:>12.1}{:>12.2}{:>14.1}{death:>14}",
        cost.processor_ms,
        cost.resident_mb,
        cost.shared_out_mb,
        encoded,
        cost.wire_bytes,
        cost.wire_packets,
        figures.formed.as_secs_f64(),
        figures.forming_bytes / 1_000.0,
    );
}

fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.inside {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        up.map_err(|why| format!("ip: {why}"))?;
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    println!(
        "{} processes, {} s at rest, means of a process; loopback, encrypted",
        arguments.nodes,
        arguments.length.as_secs()
    );
    println!(
        "{:<12}{:>10}{:>10}{:>10}{:>12}{:>12}{:>12}{:>12}{:>14}{:>14}",
        "program",
        "CPU ms/s",
        "RSS MB",
        "PSS MB",
        "encoded B/s",
        "wire B/s",
        "packets/s",
        "formed s",
        "for it KB",
        "death known s"
    );
    for name in &arguments.only {
        let measured = Contender::find(name, &top).and_then(|contender| {
            let figures = measure(&contender, arguments.nodes, arguments.length)?;
            Ok((contender, figures))
        });
        let contender = match measured {
            Ok((contender, figures)) => {
                print(name, &figures);
                contender
            }
            // A failure of another project's program is a result; a failure of phalanxd is an error.
            Err(why) if name != "phalanxd" => {
                println!("{name:<12}not measured: {why}");
                continue;
            }
            Err(why) => return Err(why),
        };
        if let Some(note) = contender.note() {
            println!("{:<12}{note}", "");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let done = arguments(std::env::args().skip(1)).and_then(|arguments| {
        if !arguments.inside {
            eprintln!(
                "No network of its own is to be had ({}): whatever else uses the loopback \
                 interface meanwhile is counted with the bytes on the wire.",
                move_out()
            );
        }
        run(&arguments)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("daemons: {why}");
            ExitCode::FAILURE
        }
    }
}

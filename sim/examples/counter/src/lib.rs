//! A counter without a leader (a G-Counter), simulated.
//!
//! Each node counts its own additions in a share, which is on disk before it is confirmed or sent. Nodes send all shares
//! that they know to each other. Shares only grow, so the greater of two is the newer one; the value is the sum.

use phalanx_sim::prelude::*;

const INTERVAL: Duration = Duration::from_millis(100);
const FILE: &str = "share";

struct Counter {
    me: usize,
    random: Random,
    shares: Vec<u64>,
    /// The node's own share, with the additions that are not on disk yet.
    newest: u64,
    deadline: Instant,
}

enum Input {
    Add,
    Heard(Shares),
    Saved(u64),
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

enum Output {
    Send(usize, Shares),
    Save(u64),
    Report(&'static str),
}

impl Counter {
    fn value(&self) -> u64 {
        self.shares.iter().sum()
    }
}

impl Machine for Counter {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Add => {
                self.newest += 1;
                out.push(Output::Save(self.newest));
            }
            Input::Heard(Shares(shares)) => {
                for (mine, theirs) in self.shares.iter_mut().zip(shares) {
                    *mine = theirs.max(*mine);
                }
            }
            Input::Saved(share) => {
                self.shares[self.me] = share;
                out.push(Output::Report("counted"));
            }
            Input::Wake => {
                let to = self.random.below(self.shares.len() as u64) as usize;
                out.push(Output::Send(to, Shares(self.shares.clone())));
                self.deadline = now + INTERVAL;
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.deadline)
    }
}

/// The counter as a system: each host runs one node.
pub static COUNTER: Definition = Definition {
    name: "counter",
    command: "cargo run --",
    vocabulary: || {
        let words = Words {
            program: "counter",
            events: vec!["counted"],
            commands: vec!["add"],
            state: vec!["value"],
            // A restarted node begins at zero, so its additions disappear below its former share.
            sabotage: vec!["disk-unread"],
            // A share is on one disk until its next gossip.
            excluded_chaos: vec!["wipe"],
            ..Words::default()
        };
        Vocabulary::of("the counter", [words])
    },
    build: |scenario, sabotage| {
        let forgets = !sabotage.is_empty();
        Ok(Cast::everywhere(Counters { forgets }, scenario))
    },
    recoverable: |_, _, _| Ok(()),
};

struct Counters {
    forgets: bool,
}

impl Program for Counters {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let file = start.disk.read(FILE).filter(|_| !self.forgets);
        let text = String::from_utf8_lossy(file.unwrap_or_default());
        // The beginning of a torn number is smaller than the number before it.
        let newest = text.lines().filter_map(|line| line.parse().ok()).max();
        let mut node = Counter {
            me: start.host,
            random: start.random,
            shares: vec![0; start.scenario.hosts.len()],
            newest: newest.unwrap_or(0),
            deadline: Instant::ZERO,
        };
        node.shares[start.host] = node.newest;
        Box::new(Adapter::new(node, input, effect).listening_on(PORT))
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(NothingLost(0))]
    }
}

fn input(_: &Counter, event: &ProcessEvent) -> Option<Input> {
    match event {
        ProcessEvent::Command(_) => Some(Input::Add),
        ProcessEvent::Datagram { message, .. } => {
            Some(Input::Heard(message.of::<Shares>()?.clone()))
        }
        ProcessEvent::Written { ticket } => Some(Input::Saved(ticket.0)),
        _ => None,
    }
}

fn effect(output: Output, out: &mut Effects) {
    match output {
        Output::Send(to, shares) => out.datagram(address(to), shares),
        Output::Save(share) => {
            let line = format!("\n{share}\n").into_bytes();
            out.write(Ticket(share), DiskChange::Append(FILE.into(), line), true);
        }
        Output::Report(event) => out.report(event),
    }
}

#[derive(Clone, Debug)]
struct Shares(Vec<u64>);

impl Message for Shares {
    fn encoded_len(&self) -> usize {
        8 * self.0.len()
    }

    fn kind(&self) -> &'static str {
        "shares"
    }
}

impl ProcessView for Counter {
    fn state(&self) -> Value {
        json!({ "value": self.value() })
    }
}

/// In the end, all nodes count every confirmed addition. The field is their number.
struct NothingLost(u64);

impl Invariant for NothingLost {
    fn name(&self) -> &'static str {
        "nothing-lost"
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        self.0 += u64::from(report.event.described().0 == "counted");
        Ok(())
    }

    fn at_rest(&mut self, scene: &Scene<'_>) -> InvariantResult {
        let mut nodes = scene.of::<Counter>().map(|(_, node)| node.value());
        match nodes.find(|value| *value < self.0) {
            Some(value) => Err(format!("a node counts {value} of {}", self.0)),
            None => Ok(()),
        }
    }
}

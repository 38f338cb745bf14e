//! Faults in plain English, with their nodes and times.

use super::removable::RemovableFault;
use super::trials::SeedResults;
use crate::scenario::text::{self, show_latency, show_link_setting, show_share};
use crate::scenario::{
    Action, CertificateChange, Direction, Disk, DiskFault, LinkSetting, NetworkAction, NodeAction,
    Pairs, Scenario, Selector, Sides, Step, Trigger, Trouble, When,
};
use core::time::Duration;
use serde::Serialize;
use std::collections::BTreeSet;

/// A fault of the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeededFault {
    /// The fault as a clause, with its nodes and times.
    pub text: String,
    /// A short name of the fault.
    pub name: String,
    /// The line of the fault's first step in the file; `None` for a fault that chaos drew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The lines of the fault's other steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_lines: Vec<usize>,
    /// The names of the nodes; empty: all nodes.
    pub nodes: Vec<String>,
    /// The beginning in milliseconds; `None` for a step that waits for an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// The end in milliseconds, if the fault ends before the end of all faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// Whether the expectation is about the fault: without the fault, the expectation cannot hold.
    pub is_subject: bool,
    /// The results of the file without this fault.
    pub without: SeedResults,
}

/// Formats a time in seconds, with milliseconds: `8 s`, `7.612 s`.
pub(super) fn moment(time: Duration) -> String {
    let (whole, rest) = (time.as_secs(), time.subsec_millis());
    if rest == 0 {
        return format!("{whole} s");
    }
    let fraction = format!("{rest:03}");
    format!("{whole}.{} s", fraction.trim_end_matches('0'))
}

/// Describes a fault: the same steps at one or several nodes.
pub(super) fn describe(scenario: &Scenario, members: &[&RemovableFault]) -> NeededFault {
    let steps: Vec<&Step> = members.first().map_or_else(Vec::new, |fault| {
        fault
            .steps
            .iter()
            .map(|step| &scenario.steps[*step])
            .collect()
    });
    let hosts: BTreeSet<usize> = members.iter().filter_map(|fault| fault.host).collect();
    let hosts: Vec<usize> = hosts.into_iter().collect();
    let fault = DescribedFault {
        scenario,
        steps: &steps,
        hosts: &hosts,
    };
    let mut lines: Vec<usize> = Vec::new();
    for line in steps.iter().map(|step| step.line).filter(|line| *line > 0) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let (from, to) = fault.span();
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let touched = fault.touched();
    NeededFault {
        text: fault.clause(),
        name: fault.name(),
        line: lines.first().copied(),
        other_lines: lines.into_iter().skip(1).collect(),
        nodes: touched
            .into_iter()
            .map(|host| scenario.hosts[host].name.clone())
            .collect(),
        from_ms: from.map(ms),
        to_ms: to.map(ms),
        is_subject: false,
        without: SeedResults::default(),
    }
}

/// Formats a selection of nodes: `n1`, `n1 and n2`, `n1..n5 and n9`, `all nodes`.
fn nodes(scenario: &Scenario, who: &Selector) -> String {
    let shown = who.show(&scenario.hosts);
    if shown == "all" {
        return "all nodes".to_owned();
    }
    match shown.rsplit_once(", ") {
        Some((first, last)) => format!("{first} and {last}"),
        None => shown,
    }
}

struct DescribedFault<'a> {
    scenario: &'a Scenario,
    /// The steps, in time order. There is at least one.
    steps: &'a [&'a Step],
    /// The nodes of a fault at nodes.
    hosts: &'a [usize],
}

impl DescribedFault<'_> {
    fn first(&self) -> &Step {
        self.steps[0]
    }

    /// The beginning and the end; an instantaneous fault has no end.
    fn span(&self) -> (Option<Duration>, Option<Duration>) {
        let first = self.first();
        let When::At(from) = first.when else {
            return (None, None);
        };
        let length = first.length.or(match &first.action {
            Action::Nodes(_, NodeAction::Pause(length)) => Some(*length),
            Action::Nodes(_, NodeAction::Slow { length, .. }) => *length,
            Action::Nodes(_, NodeAction::Own(action)) => action.arguments.time("for"),
            Action::Nodes(..) | Action::Network(_) | Action::Clone(_) => None,
        });
        let is_pair = !matches!(first.action, Action::Network(_));
        let last = self
            .steps
            .last()
            .filter(|_| is_pair && self.steps.len() > 1);
        let ended = last.and_then(|last| match last.when {
            When::At(to) => Some(to),
            When::Between(..) | When::After(_) => None,
        });
        (Some(from), length.map(|length| from + length).or(ended))
    }

    /// The nodes that the fault affects; empty: all nodes.
    fn touched(&self) -> Vec<usize> {
        if !self.hosts.is_empty() {
            return self.hosts.to_vec();
        }
        let mut touched = BTreeSet::new();
        for step in self.steps {
            for who in selectors(&step.action) {
                touched.extend(who.fixed().unwrap_or_default());
            }
            if let Action::Clone(host) = step.action {
                touched.insert(host);
            }
        }
        touched.into_iter().collect()
    }

    /// The nodes as the subject of a sentence.
    fn who(&self) -> String {
        let chosen = match &self.first().action {
            Action::Nodes(who, _) if self.hosts.is_empty() => who.clone(),
            Action::Nodes(who, _) => Selector::of(self.hosts).running(who.program()),
            Action::Network(_) => Selector::of(self.hosts),
            Action::Clone(host) => Selector::of(&[*host]),
        };
        nodes(self.scenario, &chosen)
    }

    fn is_plural(&self) -> bool {
        self.hosts.len() > 1 || self.who() == "all nodes"
    }

    /// Chooses the form of a verb.
    const fn verb<'b>(&self, one: &'b str, many: &'b str, is_plural: bool) -> &'b str {
        if is_plural { many } else { one }
    }

    fn at(&self) -> String {
        match &self.first().when {
            When::At(time) => format!("at {}", moment(*time)),
            When::Between(from, to) => {
                format!("between {} and {}", moment(*from), moment(*to))
            }
            When::After(trigger) => self.after(trigger),
        }
    }

    fn after(&self, trigger: &Trigger) -> String {
        let by = nodes(self.scenario, &trigger.by);
        let about = trigger.about.as_ref();
        let about = about.map_or_else(String::new, |about| {
            format!(" about {}", nodes(self.scenario, about))
        });
        let count = match trigger.nth {
            1 => String::new(),
            nth => format!(" for the {nth}. time"),
        };
        let delay = match trigger.delay.is_zero() {
            true => "once".to_owned(),
            false => format!("{} after", moment(trigger.delay)),
        };
        format!("{delay} {by} reports {}{about}{count}", trigger.event)
    }

    /// The time of a fault that lasts.
    fn during(&self) -> String {
        match (self.span(), &self.first().when) {
            ((Some(from), Some(to)), _) => format!("from {} to {}", moment(from), moment(to)),
            ((Some(from), None), _) => {
                let end = self.scenario.duration;
                match self.scenario.recovers {
                    true => format!(
                        "from {} until all faults end at {}",
                        moment(from),
                        moment(end)
                    ),
                    false => format!("from {} until the end of the run", moment(from)),
                }
            }
            ((None, _), _) => match self.first().length {
                Some(length) => format!("{}, for {}", self.at(), moment(length)),
                None => self.at(),
            },
        }
    }

    /// The lines of the file, or that chaos drew the fault.
    fn source(&self, index: usize) -> String {
        let step = self.steps[index];
        match step.line {
            0 => " (drawn by chaos)".to_owned(),
            line if step.file == self.scenario.file => format!(" (line {line})"),
            line => format!(" (line {line} of {})", step.file),
        }
    }

    fn clause(&self) -> String {
        let source = self.source(0);
        match &self.first().action {
            Action::Network(action) => {
                let when = match action {
                    NetworkAction::Reset(_) => self.at(),
                    NetworkAction::Heal | NetworkAction::Restore => self.at(),
                    NetworkAction::Partition(..) | NetworkAction::Cut(..) => self.during(),
                    NetworkAction::Hold(..) | NetworkAction::Clog(_) => self.during(),
                    NetworkAction::Swizzle(_) | NetworkAction::Links(..) => self.during(),
                    NetworkAction::Loss(_) | NetworkAction::Latency(_) => self.during(),
                };
                format!("{when}, {}{source}", self.network(action))
            }
            Action::Clone(host) => {
                let clone = &self.scenario.hosts[*host];
                let of = clone
                    .clone_of
                    .map(|of| self.scenario.hosts[of].name.as_str());
                let of = of.unwrap_or("another node");
                format!(
                    "{} starts {} with the identity of {of}{source}",
                    clone.name,
                    self.at()
                )
            }
            Action::Nodes(_, action) => self.at_nodes(action),
        }
    }

    fn network(&self, action: &NetworkAction) -> String {
        let between =
            |pairs: &Pairs, direction: Direction, word: &str| self.between(pairs, direction, word);
        match action {
            NetworkAction::Partition(sides, direction) => self.partition(sides, *direction),
            NetworkAction::Cut(pairs, direction, _) => {
                format!("no packet passes {}", between(pairs, *direction, "between"))
            }
            NetworkAction::Hold(pairs, direction) => {
                let between = between(pairs, *direction, "between");
                format!("the packets {between} are held back")
            }
            NetworkAction::Clog(who) | NetworkAction::Swizzle(who) => {
                let who = nodes(self.scenario, who);
                format!("the packets to and from {who} are held back")
            }
            NetworkAction::Loss(ppm) => {
                format!("all links lose {} of their segments", show_share(*ppm))
            }
            NetworkAction::Latency(latency) => {
                format!("the latency of all links is {}", show_latency(*latency))
            }
            NetworkAction::Links(pairs, direction, setting) => {
                let links = match pairs {
                    Pairs::All => "all links".to_owned(),
                    Pairs::Between(..) | Pairs::Fraction(_) => {
                        format!("the links {}", between(pairs, *direction, "between"))
                    }
                };
                let value = show_link_setting(setting);
                match setting {
                    LinkSetting::Latency(_) => format!("the latency of {links} is {value}"),
                    LinkSetting::Bandwidth(_) => format!("the bandwidth of {links} is {value}"),
                    LinkSetting::Mtu(_) => {
                        format!("packets above {value} are lost on {links}")
                    }
                    LinkSetting::Loss(_) => format!("{links} lose {value} of their segments"),
                    LinkSetting::Duplicate(_) => {
                        format!("{value} of the datagrams on {links} arrive twice")
                    }
                    LinkSetting::Corrupt(_) => {
                        format!("{value} of the datagrams on {links} arrive damaged")
                    }
                }
            }
            NetworkAction::Reset(pairs) => {
                let between = between(pairs, Direction::Both, "between");
                format!("the connections {between} are reset")
            }
            NetworkAction::Heal => "the partitions end".to_owned(),
            NetworkAction::Restore => "the cuts end".to_owned(),
        }
    }

    fn partition(&self, sides: &Sides, direction: Direction) -> String {
        let sets: Vec<String> = match sides {
            Sides::Sets(sets) => sets.iter().map(|set| nodes(self.scenario, set)).collect(),
            Sides::Isolate(who) => vec![nodes(self.scenario, who), "the other nodes".to_owned()],
            Sides::Halves => return "the network is split into two halves".to_owned(),
            Sides::Random => return "the network is split into two sides".to_owned(),
        };
        match (direction, sets.as_slice()) {
            (Direction::Out, [one, rest @ ..]) => {
                format!("no packet passes from {one} to {}", rest.join(" or "))
            }
            (Direction::In, [one, rest @ ..]) => {
                format!("no packet passes from {} to {one}", rest.join(" or "))
            }
            (Direction::Both, sides) => format!("the network is split: {}", sides.join(" | ")),
            (Direction::Out | Direction::In, []) => "the network is split".to_owned(),
        }
    }

    fn between(&self, pairs: &Pairs, direction: Direction, word: &str) -> String {
        let texts: Vec<String> = self
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::Network(action) => pairs_of(action),
                Action::Nodes(..) | Action::Clone(_) => None,
            })
            .chain(self.steps.is_empty().then_some(pairs))
            .map(|pairs| match (pairs, direction) {
                (Pairs::All, _) => "between all nodes".to_owned(),
                (Pairs::Fraction(ppm), _) => format!("between {} of all pairs", show_share(*ppm)),
                (Pairs::Between(from, to), direction) => {
                    let (from, to) = (nodes(self.scenario, from), nodes(self.scenario, to));
                    match direction {
                        Direction::Both => format!("{word} {from} and {to}"),
                        Direction::Out => format!("from {from} to {to}"),
                        Direction::In => format!("from {to} to {from}"),
                    }
                }
            })
            .collect();
        match texts.len() {
            0..=3 => texts.join(", and "),
            count => format!("{}, and {} more sets of pairs", texts[0], count - 1),
        }
    }

    fn at_nodes(&self, action: &NodeAction) -> String {
        let (who, many, at, source) = (self.who(), self.is_plural(), self.at(), self.source(0));
        let verb = |one, several| self.verb(one, several, many);
        match action {
            NodeAction::Crash => self.stop(verb("crashes", "crash")),
            NodeAction::PowerLoss => self.stop(verb("loses power", "lose power")),
            NodeAction::Leave => self.stop(verb("leaves", "leave")),
            NodeAction::Restart(disk) => {
                let disk = disk_words(*disk);
                let is = verb("is", "are");
                format!("{who} {is} restarted {at}{disk}{source}")
            }
            NodeAction::Pause(_) => {
                format!(
                    "{who} {} {}{source}",
                    verb("pauses", "pause"),
                    self.during()
                )
            }
            NodeAction::Slow { by, .. } => {
                let by = text::short(*by);
                format!(
                    "each input of {who} takes {by} longer {}{source}",
                    self.during()
                )
            }
            NodeAction::Clock { .. } => self.clock(action),
            NodeAction::Disk(fault) => self.disk(*fault),
            NodeAction::Trouble(trouble) => self.trouble(*trouble),
            NodeAction::Move => {
                format!(
                    "{who} {} another address at the next start after {at}{source}",
                    verb("has", "have")
                )
            }
            NodeAction::Certificate(change) => {
                let does = match change {
                    CertificateChange::Expired => "expires",
                    CertificateChange::Revoked => "is revoked",
                    CertificateChange::Rotated => "is replaced",
                };
                format!("the certificate of {who} {does} {at}{source}")
            }
            NodeAction::Own(action) => {
                let lasts = action.end().is_some();
                let when = if lasts { self.during() } else { at };
                format!("`{}` affects {who} {when}{source}", action.word)
            }
            NodeAction::Join => format!("{who} {} {at}{source}", verb("joins", "join")),
            NodeAction::Command { name, .. } => {
                format!(
                    "{who} {} the command {name} {at}{source}",
                    verb("executes", "execute")
                )
            }
        }
    }

    fn disk(&self, fault: DiskFault) -> String {
        let (many, during) = (self.is_plural(), self.during());
        let disk = self.verb("the disk", "the disks", many);
        let does = match fault {
            DiskFault::Full => self.verb("is full", "are full", many),
            DiskFault::IoError => self.verb("fails", "fail", many),
            DiskFault::TornWrite => {
                self.verb("tears a write at a stop", "tear a write at a stop", many)
            }
        };
        format!("{disk} of {} {does} {during}{}", self.who(), self.source(0))
    }

    fn trouble(&self, trouble: Trouble) -> String {
        let (who, during, source) = (self.who(), self.during(), self.source(0));
        match trouble {
            Trouble::Refuse => {
                let refuses = self.verb("refuses", "refuse", self.is_plural());
                format!("{who} {refuses} all dials {during}{source}")
            }
            Trouble::SlowDisk(by) => {
                let by = text::short(by);
                format!("each disk operation of {who} takes {by} longer {during}{source}")
            }
            Trouble::NatIdle(idle) => {
                let idle = text::short(idle);
                format!(
                    "a NAT before {who} forgets connections that are idle for {idle}, {during}{source}"
                )
            }
        }
    }

    /// Describes a stop with the start that ends it.
    fn stop(&self, verb: &str) -> String {
        let (who, many) = (self.who(), self.is_plural());
        let start = self.steps.iter().enumerate().find_map(|(index, step)| {
            match (&step.action, &step.when) {
                (Action::Nodes(_, NodeAction::Restart(disk)), When::At(time)) => {
                    Some((index, *disk, *time))
                }
                _ => None,
            }
        });
        let (at, source) = (self.at(), self.source(0));
        let Some((index, disk, time)) = start else {
            let length = self.first().length;
            let until = length.map_or_else(
                || format!(" and {} down", self.verb("stays", "stay", many)),
                |length| format!(" for {}", moment(length)),
            );
            return format!("{who} {verb} {at}{until}{source}");
        };
        let same = self.steps[index].line == self.first().line;
        let first_source = if same { "" } else { &source };
        let starts = self.verb("starts", "start", many);
        let disk = disk_words(disk);
        let last_source = self.source(index);
        format!(
            "{who} {verb} {at}{first_source} and {starts} again at {}{disk}{last_source}",
            moment(time)
        )
    }

    fn clock(&self, action: &NodeAction) -> String {
        let NodeAction::Clock {
            jump,
            back,
            drift_ppm,
        } = action
        else {
            return String::new();
        };
        let (who, source) = (self.who(), self.source(0));
        let many = self.is_plural();
        let clock = self.verb("the clock", "the clocks", many);
        let mut parts = Vec::new();
        if !jump.is_zero() {
            let by = moment(*jump);
            parts.push(match back {
                true => format!("the calendar of {who} goes back {by} {}", self.at()),
                false => format!(
                    "{clock} of {who} {} {by} forward {}",
                    self.verb("jumps", "jump", many),
                    self.at()
                ),
            });
        }
        if let Some(ppm) = drift_ppm {
            let drifts = self.verb("drifts", "drift", many);
            let when = self.during();
            parts.push(format!("{clock} of {who} {drifts} by {ppm:+} ppm {when}"));
        }
        format!("{}{source}", parts.join(", and "))
    }

    /// A short name with the beginning.
    fn name(&self) -> String {
        let what = match &self.first().action {
            Action::Network(action) => match action {
                NetworkAction::Partition(..) => "the partition".to_owned(),
                NetworkAction::Cut(..) => "the cut".to_owned(),
                NetworkAction::Hold(..) => "the held packets".to_owned(),
                NetworkAction::Clog(_) | NetworkAction::Swizzle(_) => "the held packets".to_owned(),
                NetworkAction::Loss(_) => "the loss".to_owned(),
                NetworkAction::Latency(_) => "the latency".to_owned(),
                NetworkAction::Links(_, _, setting) => match setting {
                    LinkSetting::Latency(_) => "the latency".to_owned(),
                    LinkSetting::Bandwidth(_) => "the bandwidth".to_owned(),
                    LinkSetting::Mtu(_) => "the packet limit".to_owned(),
                    LinkSetting::Loss(_) => "the loss".to_owned(),
                    LinkSetting::Duplicate(_) => "the duplicates".to_owned(),
                    LinkSetting::Corrupt(_) => "the damaged datagrams".to_owned(),
                },
                NetworkAction::Reset(_) => "the reset".to_owned(),
                NetworkAction::Heal | NetworkAction::Restore => "the end of the cuts".to_owned(),
            },
            Action::Clone(host) => format!("the start of {}", self.scenario.hosts[*host].name),
            Action::Nodes(_, action) => {
                let what = match action {
                    NodeAction::Crash => "crash",
                    NodeAction::PowerLoss => "power loss",
                    NodeAction::Restart(_) => "restart",
                    NodeAction::Pause(_) => "pause",
                    NodeAction::Slow { .. } => "slowness",
                    NodeAction::Clock { jump, .. } if jump.is_zero() => "clock drift",
                    NodeAction::Clock { .. } => "clock jump",
                    NodeAction::Disk(_) => "disk fault",
                    NodeAction::Trouble(Trouble::Refuse) => "refusal",
                    NodeAction::Trouble(Trouble::SlowDisk(_)) => "slow disk",
                    NodeAction::Trouble(Trouble::NatIdle(_)) => "NAT",
                    NodeAction::Move => "new address",
                    NodeAction::Certificate(_) => "certificate change",
                    NodeAction::Join => "join",
                    NodeAction::Leave => "leave",
                    NodeAction::Own(action) => action.word,
                    NodeAction::Command { name, .. } => name,
                };
                format!("the {what} of {}", self.who())
            }
        };
        format!("{what} {}", self.at())
    }
}

const fn disk_words(disk: Disk) -> &'static str {
    match disk {
        Disk::Keep => "",
        Disk::Synced => " with only the synced data on its disk",
        Disk::Lose => " with an empty disk",
    }
}

/// The pairs of a fault between nodes.
const fn pairs_of(action: &NetworkAction) -> Option<&Pairs> {
    match action {
        NetworkAction::Cut(pairs, ..) | NetworkAction::Hold(pairs, _) => Some(pairs),
        NetworkAction::Links(pairs, ..) | NetworkAction::Reset(pairs) => Some(pairs),
        NetworkAction::Partition(..) | NetworkAction::Heal | NetworkAction::Restore => None,
        NetworkAction::Clog(_) | NetworkAction::Swizzle(_) => None,
        NetworkAction::Loss(_) | NetworkAction::Latency(_) => None,
    }
}

/// The selectors of an action between nodes.
fn selectors(action: &Action) -> Vec<&Selector> {
    match action {
        Action::Nodes(who, _) => vec![who],
        Action::Clone(_) => Vec::new(),
        Action::Network(action) => match (action, pairs_of(action)) {
            (_, Some(Pairs::Between(from, to))) => vec![from, to],
            (NetworkAction::Partition(Sides::Sets(sets), _), _) => sets.iter().collect(),
            (NetworkAction::Partition(Sides::Isolate(who), _), _) => vec![who],
            (NetworkAction::Clog(who) | NetworkAction::Swizzle(who), _) => vec![who],
            (_, Some(Pairs::All | Pairs::Fraction(_)) | None) => Vec::new(),
        },
    }
}

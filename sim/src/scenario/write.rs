//! Writes a scenario as a file. Reading the file gives the same scenario.
//!
//! Names that steps define, includes and matrices are already resolved; the caller adds comments.

use super::definition::DEFAULT_SYSTEM;
use super::names::numbered;
use super::text::{short, show_latency, show_link_setting, show_rate, show_share};
use super::{
    Action, Argument, Arguments, Bound, Chaos, Condition, Direction, Disk, Expectation, Host,
    LinkSetting, Mode, NetworkAction, NodeAction, OwnArguments, OwnCondition, Pairs,
    PathProperties, Scenario, Selector, Sides, Step, Trouble, When,
};
use core::fmt::Write as _;
use core::time::Duration;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys and values, in the order in which they are written.
#[derive(Default)]
struct Table(Vec<(String, String)>);

impl Table {
    fn raw(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, quoted(value));
    }

    fn time(&mut self, key: &str, value: Duration) {
        self.text(key, &short(value));
    }

    fn times(&mut self, values: &[(&str, Option<Duration>)]) {
        for (key, value) in values {
            if let Some(value) = value {
                self.time(key, *value);
            }
        }
    }

    fn lines(&self) -> String {
        let lines = self
            .0
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        lines.collect()
    }

    fn inline(&self) -> String {
        let parts = self.0.iter().map(|(key, value)| format!("{key} = {value}"));
        format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))
    }
}

/// Formats a text as a TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.map(|word| quoted(&word)).collect();
    format!("[{}]", words.join(", "))
}

fn pairs_inline(pairs: &BTreeMap<String, String>) -> String {
    let mut table = Table::default();
    for (key, value) in pairs {
        table.text(&quoted(key), value);
    }
    table.inline()
}

impl Scenario {
    /// Returns the text of a file that reads as this scenario.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let writer = Writer { hosts: &self.hosts };
        let mut tables = vec![(String::new(), self.head())];
        let mut add = |name: &str, table: Table| {
            if !table.0.is_empty() {
                tables.push((name.to_owned(), table));
            }
        };
        add(
            "[network]",
            network(&self.network, &PathProperties::default()),
        );
        for (key, settings) in self.settings.iter() {
            if let Argument::Table(settings) = settings {
                let mut table = Table::default();
                writer.arguments(settings, &mut table);
                add(&format!("[{key}]"), table);
            }
        }
        if let Some(chaos) = &self.chaos {
            add("[chaos]", show_chaos(chaos));
        }
        let mut names = Table::default();
        for (name, hosts) in &self.names {
            names.text(&quoted(name), &Selector::of(hosts).show(&self.hosts));
        }
        add("[names]", names);
        for group in groups(&self.hosts) {
            let mut own = Table::default();
            writer.arguments(&group[0].own, &mut own);
            add("[[nodes]]", nodes(group, own));
        }
        for rule in &self.links {
            let mut table = Table::default();
            table.text("from", &Selector::of(&rule.from).show(&self.hosts));
            table.text("to", &Selector::of(&rule.to).show(&self.hosts));
            direction(rule.direction, &mut table);
            table.0.extend(network(&rule.network, &self.network).0);
            add("[[link]]", table);
        }
        for step in &self.steps {
            add("[[at]]", writer.step(step));
        }
        for expectation in &self.expectations {
            add("[[expect]]", writer.expectation(expectation));
        }
        join(&tables)
    }

    fn head(&self) -> Table {
        let mut table = Table::default();
        table.raw("scenario", "1");
        table.text("name", self.plain_name());
        if self.about.contains('\n') && !self.about.contains("\"\"\"") && !self.about.contains('\\')
        {
            table.raw("about", format!("\"\"\"\n{}\n\"\"\"", self.about));
        } else {
            table.text("about", &self.about);
        }
        if self.system != DEFAULT_SYSTEM {
            table.text("system", &self.system);
        }
        table.raw(
            "engines",
            list(self.engines.iter().map(ToString::to_string)),
        );
        if self.confluent {
            table.raw("confluent", "true");
        }
        table.time("duration", self.duration);
        if !self.recovers {
            table.text("recovery", "none");
        } else if self.recovery != Duration::from_secs(20) {
            table.time("recovery", self.recovery);
        }
        if let Some(name) = &self.seed_name {
            table.text("seeds", name);
        } else if self.seeds != [0] {
            table.text("seeds", &Selector::of(&self.seeds).show(&self.hosts));
        }
        if self.spread != Duration::from_millis(100) {
            table.time("spread", self.spread);
        }
        table
    }
}

/// Joins tables, with an empty line between tables of different kinds.
fn join(tables: &[(String, Table)]) -> String {
    let (mut text, mut before) = (String::new(), "");
    for (name, table) in tables {
        if !text.is_empty() && name != before {
            text.push('\n');
        }
        if !name.is_empty() {
            text.push_str(name);
            text.push('\n');
        }
        text.push_str(&table.lines());
        before = name;
    }
    text
}

fn network(network: &PathProperties, base: &PathProperties) -> Table {
    let mut table = Table::default();
    if network.latency != base.latency {
        table.text("latency", &show_latency(network.latency));
    }
    if network.loss_ppm != base.loss_ppm {
        table.text("loss", &show_share(network.loss_ppm));
    }
    if let Some(rate) = network
        .bandwidth
        .filter(|_| network.bandwidth != base.bandwidth)
    {
        table.text("bandwidth", &show_rate(rate));
    }
    table
}

fn show_chaos(chaos: &Chaos) -> Table {
    let mut table = Table::default();
    table.raw(
        "kinds",
        list(chaos.kinds.iter().map(|kind| kind.word().to_owned())),
    );
    if chaos.by_zone_ppm > 0 {
        table.text("by-zone", &show_share(chaos.by_zone_ppm));
    }
    table.raw("at-once", chaos.at_once.to_string());
    table.raw("stay-up", chaos.stay_up.to_string());
    table.times(&[
        ("every", Some(chaos.every)),
        ("shortest", Some(chaos.shortest)),
        ("longest", Some(chaos.longest)),
        ("from", Some(chaos.from)),
        ("quiet", Some(chaos.quiet)),
    ]);
    table
}

/// Groups the hosts that one table describes; clones are created by their steps.
fn groups(hosts: &[Host]) -> Vec<Vec<&Host>> {
    let mut groups: Vec<Vec<&Host>> = Vec::new();
    for host in hosts.iter().filter(|host| host.clone_of.is_none()) {
        let same = |other: &Host| {
            let renamed = Host {
                name: host.name.clone(),
                id: host.id.clone(),
                ..other.clone()
            };
            renamed == *host
        };
        match groups.last_mut() {
            Some(group) if same(group[0]) => group.push(host),
            _ => groups.push(vec![host]),
        }
    }
    groups
}

fn nodes(group: Vec<&Host>, own: Table) -> Table {
    let mut table = Table::default();
    let first = group[0];
    let prefix = numbered(&first.name).map(|(prefix, _)| prefix);
    let prefix = prefix.filter(|prefix| {
        let mut names = (1..).map(|number| format!("{prefix}{number}"));
        let counted = group
            .iter()
            .all(|host| names.next().as_ref() == Some(&host.name));
        counted && first.group.as_deref().is_none_or(|word| word == *prefix)
    });
    if let Some(prefix) = prefix {
        table.raw("count", group.len().to_string());
        if prefix != "n" || first.group.is_some() {
            table.text("prefix", prefix);
        }
    } else {
        table.raw("names", list(group.iter().map(|host| host.name.clone())));
        if let Some(word) = &first.group {
            table.text("prefix", word);
        }
    }
    table.0.extend(own.0);
    for (key, word) in [
        ("role", &first.role),
        ("region", &first.region),
        ("zone", &first.zone),
    ] {
        if let Some(word) = word {
            table.text(key, word);
        }
    }
    match first.start {
        None => table.raw("waits", "true"),
        Some(start) if start.is_zero() => {}
        Some(start) => table.time("start", start),
    }
    if let Some(after) = first.restart_after {
        table.time("restart-after", after);
    }
    let mut clock = Table::default();
    if first.clock.offset != 0 {
        let sign = if first.clock.offset < 0 { "-" } else { "" };
        let offset = Duration::from_nanos(first.clock.offset.unsigned_abs());
        clock.text("offset", &format!("{sign}{}", short(offset)));
    }
    if first.clock.drift_ppm != 0 {
        clock.raw("drift-ppm", first.clock.drift_ppm.to_string());
    }
    if !clock.0.is_empty() {
        table.raw("clock", clock.inline());
    }
    table
}

struct Writer<'a> {
    hosts: &'a [Host],
}

impl Writer<'_> {
    fn who(&self, key: &str, who: &Selector) -> Table {
        let mut table = Table::default();
        table.text(key, &who.show(self.hosts));
        table
    }

    fn step(&self, step: &Step) -> Table {
        let mut table = Table::default();
        match &step.when {
            When::At(time) => table.time("time", *time),
            When::Between(first, last) => {
                table.raw("between", list([short(*first), short(*last)].into_iter()));
            }
            When::After(trigger) => {
                let mut after = Table::default();
                after.text("event", trigger.event);
                after.text("by", &trigger.by.show(self.hosts));
                if let Some(about) = &trigger.about {
                    after.text("about", &about.show(self.hosts));
                }
                if !trigger.delay.is_zero() {
                    after.time("delay", trigger.delay);
                }
                if !trigger.from.is_zero() {
                    after.time("from", trigger.from);
                }
                if trigger.nth != 1 {
                    after.raw("nth", trigger.nth.to_string());
                }
                table.raw("after", after.inline());
            }
        }
        if let Some((every, times)) = step.repeat {
            table.time("every", every);
            if let Some(times) = times {
                table.raw("times", times.to_string());
            }
        }
        table.times(&[("stagger", step.stagger)]);
        if let Some(word) = &step.named {
            table.text("named", word);
        }
        match &step.action {
            Action::Network(action) => self.network(action, &mut table),
            Action::Nodes(who, action) => self.nodes(who, action, &mut table),
            Action::Clone(host) => {
                let host = &self.hosts[*host];
                let mut clone = Table::default();
                clone.text("of", host.id.as_str());
                clone.text("name", &host.name);
                table.raw("clone", clone.inline());
            }
        }
        table.times(&[("for", step.length)]);
        table
    }

    fn network(&self, action: &NetworkAction, table: &mut Table) {
        match action {
            NetworkAction::Partition(sides, way) => {
                let mut partition = Table::default();
                match sides {
                    Sides::Sets(sets) => {
                        let sets = sets.iter().map(|set| set.show(self.hosts));
                        partition.raw("sets", list(sets));
                    }
                    Sides::Halves => partition.raw("halves", "true"),
                    Sides::Random => partition.raw("random", "true"),
                    Sides::Isolate(who) => partition.text("isolate", &who.show(self.hosts)),
                }
                direction(*way, &mut partition);
                table.raw("partition", partition.inline());
            }
            NetworkAction::Cut(pairs, way, kept) => {
                let mut cut = self.pairs(pairs, *way);
                if *kept {
                    cut.raw("kept", "true");
                }
                table.raw("cut", cut.inline());
            }
            NetworkAction::Hold(pairs, way) => table.raw("hold", self.pairs(pairs, *way).inline()),
            NetworkAction::Clog(who) => table.text("clog", &who.show(self.hosts)),
            NetworkAction::Swizzle(who) => table.text("swizzle-clog", &who.show(self.hosts)),
            NetworkAction::Heal => table.raw("heal", "true"),
            NetworkAction::Restore => table.raw("restore", "true"),
            NetworkAction::Loss(ppm) => table.text("loss", &show_share(*ppm)),
            NetworkAction::Latency(latency) => table.text("latency", &show_latency(*latency)),
            NetworkAction::Links(Pairs::All, Direction::Both, setting) => match setting {
                // For these settings, a text would be read as another action, so a setting of all links is written as a
                // table.
                LinkSetting::Latency(_) | LinkSetting::Loss(_) => {
                    let all = Selector::of(&(0..self.hosts.len()).collect::<Vec<_>>());
                    let pairs = Pairs::Between(all.clone(), all);
                    let mut links = self.pairs(&pairs, Direction::Both);
                    links.text("is", &show_link_setting(setting));
                    table.raw(setting.word(), links.inline());
                }
                LinkSetting::Bandwidth(_)
                | LinkSetting::Mtu(_)
                | LinkSetting::Duplicate(_)
                | LinkSetting::Corrupt(_) => {
                    table.text(setting.word(), &show_link_setting(setting))
                }
            },
            NetworkAction::Links(pairs, way, setting) => {
                let mut links = self.pairs(pairs, *way);
                links.text("is", &show_link_setting(setting));
                table.raw(setting.word(), links.inline());
            }
            NetworkAction::Reset(pairs) => {
                table.raw("reset", self.pairs(pairs, Direction::Both).inline());
            }
        }
    }

    fn pairs(&self, pairs: &Pairs, way: Direction) -> Table {
        let mut table = Table::default();
        match pairs {
            Pairs::Between(from, to) => {
                table.text("from", &from.show(self.hosts));
                table.text("to", &to.show(self.hosts));
            }
            Pairs::All => {
                table.text("from", "all");
                table.text("to", "all");
            }
            Pairs::Fraction(ppm) => table.text("fraction", &show_share(*ppm)),
        }
        direction(way, &mut table);
        table
    }

    fn nodes(&self, who: &Selector, action: &NodeAction, table: &mut Table) {
        let mut inner = self.who("who", who);
        let key = Action::Nodes(who.clone(), action.clone()).word();
        match action {
            NodeAction::Crash
            | NodeAction::PowerLoss
            | NodeAction::Join
            | NodeAction::Leave
            | NodeAction::Move
            | NodeAction::Trouble(Trouble::Refuse) => {
                table.text(key, &who.show(self.hosts));
                return;
            }
            NodeAction::Restart(disk) => match disk {
                Disk::Keep => {}
                Disk::Synced => inner.text("state", "synced"),
                Disk::Lose => inner.text("state", "lose"),
            },
            NodeAction::Pause(length) => inner.time("for", *length),
            NodeAction::Slow { by, length } => {
                inner.times(&[("by", Some(*by)), ("for", *length)]);
            }
            NodeAction::Trouble(Trouble::SlowDisk(by)) => inner.time("slow", *by),
            NodeAction::Trouble(Trouble::NatIdle(idle)) => inner.time("idle", *idle),
            NodeAction::Clock {
                jump,
                back,
                drift_ppm,
            } => {
                if !jump.is_zero() || drift_ppm.is_none() {
                    let sign = if *back { "-" } else { "" };
                    inner.text("jump", &format!("{sign}{}", short(*jump)));
                }
                if let Some(ppm) = drift_ppm {
                    inner.raw("drift-ppm", ppm.to_string());
                }
            }
            NodeAction::Command {
                name,
                with,
                refused,
            } => {
                inner.text("name", name);
                if !with.is_null() {
                    inner.raw("with", show_value(with));
                }
                if *refused {
                    inner.raw("refused", "true".to_owned());
                }
            }
            NodeAction::Disk(fault) => inner.text("fault", fault.word()),
            NodeAction::Certificate(is) => inner.text("is", is.word()),
            NodeAction::Own(action) => self.arguments(&action.arguments, &mut inner),
        }
        table.raw(key, inner.inline());
    }

    fn expectation(&self, expectation: &Expectation) -> Table {
        let mut table = Table::default();
        match &expectation.mode {
            Mode::Eventually(condition) => table.raw("eventually", self.condition(condition)),
            Mode::Always(condition) => table.raw("always", self.condition(condition)),
            Mode::Never(condition) => table.raw("never", self.condition(condition)),
            Mode::Sometimes(condition) => table.raw("sometimes", self.condition(condition)),
            Mode::Metric(metric, who, bound) => {
                table.text("metric", metric.name());
                let who = who.show(self.hosts);
                if who != "all" {
                    table.text("who", &who);
                }
                show_bound(*bound, &mut table);
            }
        }
        if !expectation.from.is_zero() {
            table.time("from", expectation.from);
        }
        match (expectation.to, &expectation.mode) {
            (None, _) => {}
            (Some(to), Mode::Eventually(_)) => table.time("within", to - expectation.from),
            (Some(to), _) => table.time("to", to),
        }
        table
    }

    /// Writes the value of a condition on states, and returns its key.
    fn own_condition(&self, condition: &Condition, table: &mut Table) -> &'static str {
        match condition {
            Condition::State {
                who,
                key,
                is,
                count,
            } => {
                table.text("who", &who.show(self.hosts));
                table.text("key", key);
                table.raw("is", show_value(is));
                if let Some(bound) = count {
                    show_bound(*bound, table);
                }
                "state"
            }
            Condition::Agree { who, key } => {
                table.text("who", &who.show(self.hosts));
                if let Some(key) = key {
                    table.text("key", key);
                }
                "agree"
            }
            Condition::Own(own) => self.own_word(own, table),
            Condition::Converged | Condition::Event(..) => "",
        }
    }

    fn condition(&self, condition: &Condition) -> String {
        let mut table = Table::default();
        let key = match condition {
            Condition::Converged => {
                table.raw("converged", "true");
                return table.inline();
            }
            Condition::Event(kind, by, about, min) => {
                self.event(kind, by, about.as_ref(), *min, &mut table);
                "event"
            }
            Condition::State { .. } | Condition::Agree { .. } | Condition::Own(_) => {
                self.own_condition(condition, &mut table)
            }
        };
        format!("{{ {key} = {} }}", table.inline())
    }

    fn event(
        &self,
        kind: &str,
        by: &Selector,
        about: Option<&Selector>,
        min: u32,
        table: &mut Table,
    ) {
        table.text("kind", kind);
        let by = by.show(self.hosts);
        if by != "all" {
            table.text("by", &by);
        }
        if let Some(about) = about {
            table.text("about", &about.show(self.hosts));
        }
        if min != 1 {
            table.raw("min", min.to_string());
        }
    }

    /// Writes a condition of a program's own vocabulary, and returns its key.
    fn own_word(&self, own: &OwnCondition, table: &mut Table) -> &'static str {
        let who = own.who.show(self.hosts);
        match &own.said {
            OwnArguments::Keyed(arguments) => {
                table.text("who", &who);
                self.arguments(arguments, table);
                own.word
            }
            OwnArguments::With(with) => {
                table.text("name", own.word);
                table.text("who", &who);
                if !with.is_null() {
                    table.raw("with", show_value(with));
                }
                "holds"
            }
        }
    }

    /// Writes the arguments of a program's word.
    fn arguments(&self, arguments: &Arguments, table: &mut Table) {
        for (key, argument) in arguments.iter() {
            match argument {
                Argument::Who(who) | Argument::WhoOrNobody(who) => {
                    table.text(key, &who.show(self.hosts));
                }
                Argument::Text(text) => table.text(key, text),
                Argument::Texts(texts) => table.raw(key, list(texts.iter().cloned())),
                Argument::Pairs(pairs) => table.raw(key, pairs_inline(pairs)),
                Argument::Time(time) => table.time(key, *time),
                Argument::Number(number) => table.raw(key, number.to_string()),
                Argument::Flag(flag) => table.raw(key, flag.to_string()),
                Argument::Table(arguments) => {
                    let mut inner = Table::default();
                    self.arguments(arguments, &mut inner);
                    table.raw(key, inner.inline());
                }
                Argument::Value(value) => table.raw(key, show_value(value)),
            }
        }
    }
}

/// Formats a value as TOML, which has no null.
fn show_value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(show_value).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(map) => {
            let mut table = Table::default();
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                table.raw(&quoted(key), show_value(value));
            }
            table.inline()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn show_bound(bound: Bound, table: &mut Table) {
    if bound.min > 0 || bound.max == u64::MAX {
        table.raw("min", bound.min.to_string());
    }
    if bound.max < u64::MAX {
        table.raw("max", bound.max.to_string());
    }
}

fn direction(direction: Direction, table: &mut Table) {
    match direction {
        Direction::Both => {}
        Direction::Out => table.text("direction", "out"),
        Direction::In => table.text("direction", "in"),
    }
}

//! Converts the tables of a file to a scenario: resolves names, and reports each error with its position.

use super::definition::DEFAULT_SYSTEM;
use super::error::{ScenarioError, SourceText};
use super::file::{NetworkTable, NodesTable, OwnKeys, OwnTables, ScenarioFile, Text};
use super::names::Names;
use super::suggestion::suggestion;
use super::value::{drift, optional, with};
use super::{
    Arguments, Clock, Engine, Expectation, Host, LinkRule, PathProperties, Scenario, Variant,
    chaos, expectations, own_words, steps, text,
};
use core::time::Duration;
use phalanx_core::identity::{NodeId, check_name};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::de::DeTable;

/// Maximum number of machines of one scenario.
const HOSTS_MAX: usize = 20_000;

pub(crate) fn scenario(source: SourceText<'_>) -> Result<Scenario, ScenarioError> {
    let source = &source;
    let (file, own) = read_file(source)?;
    check_head(source, &file)?;
    let mut names = Names::new(source.vocabulary.programs.iter().map(|words| words.program));
    let mut hosts = read_hosts(source, &mut names, &file, own.nodes)?;
    add_clones(source, &mut names, &file, &mut hosts)?;
    give_words(source, &mut names, &file)?;
    let host_names = read_names(source, &names, &file)?;
    let (seeds, seed_name) = read_seeds(source, &names, &file, &host_names)?;
    let network = read_network(source, &file.network, PathProperties::default())?;
    let duration = with(source, &file.duration, text::positive)?;
    let recovery = read_recovery(source, &file)?;
    let recovers = recovery.is_some();
    let recovery = recovery.unwrap_or_default();
    let steps = timeline(source, &names, &file, own.steps, duration)?;
    let engines: Vec<Engine> = file
        .engines
        .iter()
        .map(|word| with(source, word, Engine::named))
        .collect::<Result<_, _>>()?;
    let read_chaos = |table| chaos::read(source, table, &engines, hosts.len(), duration);
    let chaos = file.chaos.as_ref().map(read_chaos).transpose()?;
    if let Some((key, kind)) = chaos.as_ref().and_then(chaos::Chaos::zone_kind)
        && hosts.iter().all(|host| host.zone.is_none())
    {
        let at = file.chaos.as_ref().map_or(0, |table| table.span().start);
        let message = format!("has `{kind}`, and no node has a `zone`");
        return Err(source.error(source.place_of(at, key), key, message));
    }
    let scenario = Scenario {
        file: source.file.to_owned(),
        included: Vec::new(),
        name: file.name.get_ref().clone(),
        variant: Variant::default(),
        system: file
            .system
            .as_ref()
            .map_or_else(|| DEFAULT_SYSTEM.to_owned(), |name| name.get_ref().clone()),
        about: file.about.get_ref().trim().to_owned(),
        engines,
        confluent: file.confluent,
        duration,
        recovery,
        recovers,
        hosts,
        seeds,
        seed_name,
        names: host_names,
        spread: optional(source, file.spread.as_ref(), text::duration)?
            .unwrap_or(Duration::from_millis(100)),
        network,
        links: read_links(source, &names, &file, network)?,
        settings: own_words(source, 0, own.settings)?,
        chaos,
        steps,
        expectations: expectations(source, &names, &file, own.conditions, duration + recovery)?,
        hash: phalanx_core::random::hash_bytes(source.text.as_bytes()) ^ source.others.get(),
        vocabulary: Arc::new(source.vocabulary.clone()),
        lines: lines(source, &file),
    };
    scenario.check_usages()?;
    scenario.check_expectations()?;
    scenario
        .check_hosts()
        .map_err(|(key, message)| source.error(source.first_of(key), key, message))?;
    Ok(scenario)
}

/// Parses a file: its generic tables, and the program-specific keys in them.
fn read_file<'i>(source: &SourceText<'i>) -> Result<(ScenarioFile, OwnTables<'i>), ScenarioError> {
    let wrong = |error: toml::de::Error| source.parse_error(&error);
    let mut file = DeTable::parse(source.text).map_err(wrong)?;
    let own = OwnTables::split(file.get_mut(), source.vocabulary);
    let file = ScenarioFile::deserialize(toml::Deserializer::from(file)).map_err(wrong)?;
    Ok((file, own))
}

/// Returns the lines of the settings that not every engine supports.
fn lines(source: &SourceText<'_>, file: &ScenarioFile) -> BTreeMap<&'static str, usize> {
    let line = |at| source.line(at);
    let text = |text: &Option<Text>| text.as_ref().map(|text| line(text.span().start));
    let links = || file.link.iter();
    let clocks = file.nodes.iter().map(|group| {
        let at = group.span().start;
        let clock = group.get_ref().clock.as_ref();
        clock.map(|_| line(source.place_of(at, "clock")))
    });
    let lines = [
        (
            "engines",
            file.engines.first().map(|word| line(word.span().start)),
        ),
        ("latency", text(&file.network.latency)),
        ("loss", text(&file.network.loss)),
        ("bandwidth", text(&file.network.bandwidth)),
        ("link", links().next().map(|link| line(link.span().start))),
        (
            "direction",
            links().find_map(|link| text(&link.get_ref().direction)),
        ),
        ("clock", clocks.flatten().next()),
        (
            "restart-after",
            file.nodes
                .iter()
                .find_map(|group| text(&group.get_ref().restart_after)),
        ),
        (
            "nodes",
            file.nodes.first().map(|group| line(group.span().start)),
        ),
    ];
    let lines = lines.into_iter();
    lines.filter_map(|(key, line)| Some((key, line?))).collect()
}

fn timeline(
    source: &SourceText<'_>,
    names: &Names,
    file: &ScenarioFile,
    own: Vec<OwnKeys<'_>>,
    duration: Duration,
) -> Result<Vec<steps::Step>, ScenarioError> {
    let mut timeline = Vec::new();
    for (table, own) in file.at.iter().zip(own) {
        let step = steps::read(source, names, table, own)?;
        if step.when.earliest() >= duration {
            let key = if matches!(step.when, steps::When::At(_)) {
                "time"
            } else {
                "between"
            };
            let end = text::show(duration);
            let message = format!("is not before the end of the fault phase ({end})");
            let place = source.place_of(table.span().start, key);
            return Err(source.error(place, key, message));
        }
        timeline.push(step);
    }
    timeline.sort_by_key(|step| step.when.earliest());
    Ok(timeline)
}

fn expectations(
    source: &SourceText<'_>,
    names: &Names,
    file: &ScenarioFile,
    own: Vec<OwnKeys<'_>>,
    end: Duration,
) -> Result<Vec<Expectation>, ScenarioError> {
    let mut expectations = Vec::new();
    for (table, own) in file.expect.iter().zip(own) {
        let expectation = expectations::read(source, names, table, own)?;
        if expectation.from >= end {
            let end = text::show(end);
            let message =
                format!("is not before the end of the run ({end}): it would never be looked at");
            let place = source.place_of(table.span().start, "from");
            return Err(source.error(place, "from", message));
        }
        expectations.push(expectation);
    }
    Ok(expectations)
}

fn check_head(source: &SourceText<'_>, file: &ScenarioFile) -> Result<(), ScenarioError> {
    if *file.scenario.get_ref() != 1 {
        let message = format!(
            "version {} is not known; this program reads 1",
            file.scenario.get_ref()
        );
        return Err(source.error(file.scenario.span().start, "scenario", message));
    }
    with(source, &file.name, |name| {
        check_name(name).map_err(|why| format!("`{name}` {why}"))
    })?;
    if file.about.get_ref().trim().is_empty() {
        return Err(source.error(
            file.about.span().start,
            "about",
            "is empty; tell the story in a sentence",
        ));
    }
    if file.engines.is_empty() {
        return Err(source.error(0, "engines", "is empty; name model, wire or both"));
    }
    if file.expect.is_empty() {
        return Err(source.error(
            0,
            "expect",
            "is empty; a scenario that expects nothing cannot fail",
        ));
    }
    Ok(())
}

fn read_hosts(
    source: &SourceText<'_>,
    names: &mut Names,
    file: &ScenarioFile,
    own: Vec<OwnKeys<'_>>,
) -> Result<Vec<Host>, ScenarioError> {
    let mut hosts = Vec::new();
    for (group, own) in file.nodes.iter().zip(own) {
        let at = group.span().start;
        let table = group.get_ref();
        let own = own_words(source, at, own)?;
        let prefix = table.prefix.as_ref().map_or("n", |prefix| prefix.get_ref());
        // The number of nodes is checked before a list of this length is created.
        let (key, place, length) = match (&table.count, &table.names) {
            (Some(count), None) => ("count", count.span().start, u64::from(*count.get_ref())),
            (None, Some(list)) => ("names", at, list.len() as u64),
            _ => return Err(source.error(at, "nodes", "needs `count` or `names`")),
        };
        let room = (HOSTS_MAX - hosts.len()) as u64;
        if length == 0 || length > room {
            let message = format!("is out of bounds; 1 to {HOSTS_MAX} nodes in all");
            return Err(source.error(place, key, message));
        }
        let list: Vec<String> = match &table.names {
            Some(list) => list.iter().map(|name| name.get_ref().clone()).collect(),
            None => (1..=length)
                .map(|number| format!("{prefix}{number}"))
                .collect(),
        };
        let word = (table.prefix.is_some() || table.names.is_none()).then_some(prefix);
        for name in list {
            names
                .add(&name, word)
                .map_err(|why| source.error(at, "nodes", why))?;
            for (kind, word) in [
                ("role", &table.role),
                ("region", &table.region),
                ("zone", &table.zone),
            ] {
                if let Some(word) = word {
                    with(source, word, |word| {
                        check_name(word).map_err(|why| format!("`{word}` {why}"))
                    })?;
                    names.place(kind, word.get_ref());
                }
            }
            hosts.push(read_host(source, at, table, &own, &name)?);
        }
    }
    if hosts.is_empty() {
        return Err(source.error(0, "nodes", "is empty; a scenario needs a node"));
    }
    Ok(hosts)
}

/// Reads the program-specific keys of a table.
fn own_words(
    source: &SourceText<'_>,
    at: usize,
    keys: OwnKeys<'_>,
) -> Result<Arguments, ScenarioError> {
    let names = None;
    own_words::OwnKeysReader { source, names, at }.keys(keys)
}

fn read_host(
    source: &SourceText<'_>,
    at: usize,
    table: &NodesTable,
    own: &Arguments,
    name: &str,
) -> Result<Host, ScenarioError> {
    let id = NodeId::new(name)
        .map_err(|why| source.error(at, "nodes", format!("the name `{name}` {why}")))?;
    let start = optional(source, table.start.as_ref(), text::duration)?.unwrap_or_default();
    let clock = match &table.clock {
        None => Clock::default(),
        Some(clock) => {
            if clock.who.is_some() || clock.jump.is_some() {
                return Err(source.error(at, "clock", "`who` and `jump` belong to steps"));
            }
            Clock {
                offset: optional(source, clock.offset.as_ref(), text::signed_duration)?
                    .unwrap_or(0),
                drift_ppm: clock
                    .drift_ppm
                    .as_ref()
                    .map_or(Ok(0), |ppm| drift(source, ppm))?,
            }
        }
    };
    Ok(Host {
        name: name.to_owned(),
        id,
        role: table.role.as_ref().map(|word| word.get_ref().clone()),
        region: table.region.as_ref().map(|word| word.get_ref().clone()),
        zone: table.zone.as_ref().map(|word| word.get_ref().clone()),
        own: own.clone(),
        group: table.prefix.as_ref().map(|word| word.get_ref().clone()),
        clock,
        start: (!table.waits).then_some(start),
        restart_after: optional(source, table.restart_after.as_ref(), text::positive)?,
        clone_of: None,
    })
}

fn add_clones(
    source: &SourceText<'_>,
    names: &mut Names,
    file: &ScenarioFile,
    hosts: &mut Vec<Host>,
) -> Result<(), ScenarioError> {
    for step in &file.at {
        let Some(clone) = &step.get_ref().clone else {
            continue;
        };
        let of = with(source, &clone.of, |word| {
            let known: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
            hosts
                .iter()
                .position(|host| host.name == word)
                .ok_or_else(|| format!("there is no node `{word}`{}", suggestion(word, known)))
        })?;
        with(source, &clone.name, |name| {
            check_name(name).map_err(|why| format!("the name `{name}` {why}"))?;
            names.add(name, None)
        })?;
        let name = clone.name.get_ref().clone();
        hosts.push(Host {
            name,
            start: None,
            clone_of: Some(of),
            ..hosts[of].clone()
        });
    }
    Ok(())
}

/// Reads the maximum duration of the recovery; `None` without recovery.
fn read_recovery(
    source: &SourceText<'_>,
    file: &ScenarioFile,
) -> Result<Option<Duration>, ScenarioError> {
    match &file.recovery {
        None => Ok(Some(Duration::from_secs(20))),
        Some(word) if word.get_ref() == "none" => Ok(None),
        Some(text) => with(source, text, text::duration).map(Some),
    }
}

/// Reads the seed nodes, and the name of the set if the file gives one.
fn read_seeds(
    source: &SourceText<'_>,
    names: &Names,
    file: &ScenarioFile,
    host_names: &BTreeMap<String, Vec<usize>>,
) -> Result<(Vec<usize>, Option<String>), ScenarioError> {
    let Some(text) = &file.seeds else {
        return Ok((vec![0], None));
    };
    match host_names.get(text.get_ref()) {
        Some(hosts) => Ok((hosts.clone(), Some(text.get_ref().clone()))),
        None => Ok((with(source, text, |word| names.fixed(word))?, None)),
    }
}

/// Reads the names of hosts.
fn read_names(
    source: &SourceText<'_>,
    names: &Names,
    file: &ScenarioFile,
) -> Result<BTreeMap<String, Vec<usize>>, ScenarioError> {
    let read = |(name, hosts): (&String, &Text)| {
        let at = hosts.span().start;
        check_name(name).map_err(|why| source.error(at, name, format!("`{name}` {why}")))?;
        if names.selector(name).is_ok() {
            let message = format!("`{name}` already selects nodes; choose another name");
            return Err(source.error(at, name, message));
        }
        Ok((name.clone(), with(source, hosts, |word| names.fixed(word))?))
    };
    file.names.iter().map(read).collect()
}

fn give_words(
    source: &SourceText<'_>,
    names: &mut Names,
    file: &ScenarioFile,
) -> Result<(), ScenarioError> {
    for step in &file.at {
        if let Some(word) = &step.get_ref().named {
            with(source, word, |word| names.give(word))?;
            if step.get_ref().partition.is_some() {
                for side in 1..=9 {
                    let side = format!("{}.{side}", word.get_ref());
                    names
                        .give(&side)
                        .map_err(|why| source.error(word.span().start, "named", why))?;
                }
            }
        }
    }
    Ok(())
}

fn read_network(
    source: &SourceText<'_>,
    table: &NetworkTable,
    base: PathProperties,
) -> Result<PathProperties, ScenarioError> {
    let latency = optional(source, table.latency.as_ref(), text::latency)?;
    Ok(PathProperties {
        latency: latency.unwrap_or(base.latency),
        loss_ppm: optional(source, table.loss.as_ref(), text::share)?.unwrap_or(base.loss_ppm),
        bandwidth: optional(source, table.bandwidth.as_ref(), text::rate)?.or(base.bandwidth),
    })
}

fn read_links(
    source: &SourceText<'_>,
    names: &Names,
    file: &ScenarioFile,
    base: PathProperties,
) -> Result<Vec<LinkRule>, ScenarioError> {
    let mut rules: Vec<(usize, LinkRule)> = Vec::new();
    for link in &file.link {
        let table = link.get_ref();
        let network = NetworkTable {
            latency: table.latency.clone(),
            loss: table.loss.clone(),
            bandwidth: table.bandwidth.clone(),
        };
        let rule = LinkRule {
            from: with(source, &table.from, |word| names.fixed(word))?,
            to: with(source, &table.to, |word| names.fixed(word))?,
            direction: steps::direction(source, table.direction.as_ref())?,
            network: read_network(source, &network, base)?,
        };
        let at = link.span().start;
        let contradicts = |other: &LinkRule| {
            other.network != rule.network
                && other.overlaps(&rule)
                && !other.is_narrower_than(&rule)
                && !rule.is_narrower_than(other)
        };
        if let Some((line, _)) = rules.iter().find(|(_, other)| contradicts(other)) {
            let message = format!(
                "differs from the rule of line {line} for the same pairs; give each direction its own rule \
                 with `direction = \"out\"`, or leave one away"
            );
            return Err(source.error(at, "link", message));
        }
        rules.push((source.line(at), rule));
    }
    let rules: Vec<LinkRule> = rules.into_iter().map(|(_, rule)| rule).collect();
    // A rule that is wider than another rule is also wider than all rules that are narrower than the other, so it comes
    // before them.
    let depth = |rule: &LinkRule| {
        let wider = rules.iter().filter(|other| rule.is_narrower_than(other));
        wider.count()
    };
    let mut ordered: Vec<(usize, LinkRule)> = rules
        .iter()
        .map(|rule| (depth(rule), rule.clone()))
        .collect();
    ordered.sort_by_key(|(depth, _)| *depth);
    Ok(ordered.into_iter().map(|(_, rule)| rule).collect())
}

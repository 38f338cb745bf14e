//! The nodes and items that a failed expectation concerns. The functions of this module are not called while
//! expectations hold.

use crate::finding::{CountedReports, FailureFinding, seconds};
use crate::scenario::{
    Argument, Bound, Condition, Expectation, Metric, Mode, OwnArguments, OwnCondition, OwnMetric,
    Scenario, Selector,
};
use crate::world::{MeasuredMetric, Scene, value};
use core::time::Duration;
use serde_json::Value;

/// An event that a counter counted, or an observation of a gauge.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotedEvent {
    pub(super) at: Duration,
    pub(super) host: usize,
    /// The word of the event.
    pub(super) word: &'static str,
    /// The host that the event concerns.
    pub(super) about: Option<usize>,
}

/// A failed expectation.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedWatch<'a> {
    pub(super) expectation: &'a Expectation,
    /// The value of a metric.
    pub(super) figure: Option<u64>,
    pub(super) noted: Option<NotedEvent>,
    /// The time of the failure.
    pub(super) now: Duration,
}

/// Returns the nodes and items that a failed expectation concerns, with the remarks of the programs about the nodes.
pub(super) fn of(
    failed: &FailedWatch<'_>,
    scenario: &Scenario,
    scene: &Scene<'_>,
) -> Vec<FailureFinding> {
    let FailedWatch {
        expectation, now, ..
    } = *failed;
    let found = match &expectation.mode {
        Mode::Eventually(condition) | Mode::Always(condition) => {
            of_condition(expectation, condition, now, true, scene)
        }
        Mode::Never(condition) => of_condition(expectation, condition, now, false, scene),
        Mode::Sometimes(_) => None,
        Mode::Metric(metric, who, bound) => of_metric(failed, *metric, who, *bound, scene),
    };
    with_remarks(found, scenario, scene)
}

/// Returns the reason why the world has not settled, with the remarks of the programs.
pub(super) fn of_recovery(scenario: &Scenario, scene: &Scene<'_>) -> Vec<FailureFinding> {
    with_remarks(unsettled(scene), scenario, scene)
}

fn with_remarks(
    found: Option<FailureFinding>,
    scenario: &Scenario,
    scene: &Scene<'_>,
) -> Vec<FailureFinding> {
    let pair: Vec<usize> = found
        .iter()
        .flat_map(|found| found.observer.into_iter().chain(found.observed))
        .collect();
    let remarks = scene
        .programs()
        .flat_map(|program| program.remarks(scenario, scene, &pair));
    let remarks: Vec<FailureFinding> = remarks.map(FailureFinding::remark).collect();
    found.into_iter().chain(remarks).collect()
}

fn unsettled(scene: &Scene<'_>) -> Option<FailureFinding> {
    let mut hosts = scene.hosts.iter().enumerate();
    let missing =
        hosts.find(|(index, host)| host.start.is_some() && !scene.started.contains(index));
    if let Some((index, host)) = missing {
        return Some(FailureFinding::new(format!("{} has not started", host.name)).by(index));
    }
    let mut open = scene
        .programs()
        .filter(|program| program.settled(scene).is_err());
    open.find_map(|program| program.unsettled(scene))
}

fn of_condition(
    expectation: &Expectation,
    condition: &Condition,
    now: Duration,
    wanted: bool,
    scene: &Scene<'_>,
) -> Option<FailureFinding> {
    match condition {
        Condition::Converged if wanted => unsettled(scene),
        Condition::Converged => None,
        Condition::Event(word, by, about, min) => {
            let reports = CountedReports {
                word,
                by: scene.select(by),
                about: about.as_ref().map(|about| scene.select(about)),
                window: window(expectation, now),
                excess: (!wanted).then_some(*min),
            };
            Some(of_reports(reports))
        }
        Condition::State {
            who,
            key,
            is,
            count,
        } => of_state(scene, (who, key), is, *count, wanted),
        Condition::Agree { who, key } if wanted => {
            scene.disagreement(scene.observers(who).ok()?, key.as_deref())
        }
        Condition::Agree { .. } => None,
        Condition::Own(own) => of_own(scene, own, wanted),
    }
}

/// The reports are looked up in a recording.
fn of_reports(reports: CountedReports) -> FailureFinding {
    let one = |hosts: &[usize]| match hosts {
        [host] => Some(*host),
        _ => None,
    };
    FailureFinding {
        observer: one(&reports.by),
        observed: reports.about.as_deref().and_then(one),
        reports: Some(reports),
        ..FailureFinding::default()
    }
}

fn of_state(
    scene: &Scene<'_>,
    (who, key): (&Selector, &str),
    is: &Value,
    count: Option<Bound>,
    wanted: bool,
) -> Option<FailureFinding> {
    let observers = scene.observers(who).ok()?;
    let held: Vec<(usize, Value)> = observers
        .into_iter()
        .map(|(host, view)| (host, value(&view.state(), key)))
        .collect();
    let fitting = || held.iter().filter(|(_, found)| found == is);
    let few = count.is_none_or(|bound| (fitting().count() as u64) < bound.min);
    if wanted && few {
        let (host, found) = held.iter().find(|(_, found)| found != is)?;
        let text = format!("`{key}` is {found} at {}, not {is}", scene.name(*host));
        return Some(FailureFinding::new(text).by(*host).under(key));
    }
    let allowed = count.map_or(0, |bound| if wanted { bound.max } else { 0 });
    let place = usize::try_from(allowed).ok()?;
    let (host, found) = fitting().nth(place)?;
    let text = format!("`{key}` is {found} at {}", scene.name(*host));
    Some(FailureFinding::new(text).by(*host).under(key))
}

fn of_own(scene: &Scene<'_>, own: &OwnCondition, wanted: bool) -> Option<FailureFinding> {
    let program = scene.program(own.program)?;
    let found = program.found(scene, own, wanted);
    found.or_else(|| {
        // The nodes that the condition names.
        let observer = *scene.select(&own.who).first()?;
        let mut finding = FailureFinding::default().by(observer);
        if let OwnArguments::Keyed(arguments) = &own.said {
            let named = arguments.iter().filter_map(|(_, argument)| match argument {
                Argument::Who(who) | Argument::WhoOrNobody(who) => Some(scene.select(who)),
                Argument::Text(_) | Argument::Texts(_) | Argument::Pairs(_) => None,
                Argument::Time(_) | Argument::Number(_) | Argument::Flag(_) => None,
                Argument::Table(_) | Argument::Value(_) => None,
            });
            finding.observed = named.flatten().find(|host| *host != observer);
        }
        Some(finding)
    })
}

fn of_metric(
    failed: &FailedWatch<'_>,
    metric: Metric,
    who: &Selector,
    bound: Bound,
    scene: &Scene<'_>,
) -> Option<FailureFinding> {
    let window = window(failed.expectation, failed.now);
    match metric {
        Metric::ConvergeMs | Metric::ConvergeP99Ms | Metric::AllRightMs => unsettled(scene),
        Metric::BytesPerNode
        | Metric::BytesPerNodeSecond
        | Metric::MessagesPerNode
        | Metric::MessagesPerNodeSecond => Some(FailureFinding {
            traffic: Some(window),
            ..FailureFinding::default()
        }),
        Metric::Own(OwnMetric { program, word }) => {
            let program = scene.program(program)?;
            let metric = MeasuredMetric {
                word,
                who: &scene.select(who),
                window,
                bound,
                figure: failed.figure,
            };
            program.measured(scene, &metric)
        }
        Metric::Counter(_) => of_counter(failed, bound, scene),
        Metric::Gauge(own) => {
            let noted = failed.noted?;
            let (name, at) = (scene.name(noted.host), seconds(nanos(noted.at)));
            let text = format!("{} is highest at {name}, first at {at}", own.word);
            Some(FailureFinding::new(text).by(noted.host).at(nanos(noted.at)))
        }
    }
}

/// The first counted event in excess, or, if too few events were counted, the last of them.
fn of_counter(failed: &FailedWatch<'_>, bound: Bound, scene: &Scene<'_>) -> Option<FailureFinding> {
    let figure = failed.figure.unwrap_or(0);
    let Some(noted) = failed.noted else {
        return Some(FailureFinding::new("none was counted"));
    };
    let about = noted
        .about
        .map_or_else(String::new, |about| format!(" {}", scene.name(about)));
    let at = seconds(nanos(noted.at));
    let report = format!(
        "{} reports {}{about} at {at}",
        scene.name(noted.host),
        noted.word
    );
    let excess = figure > bound.max;
    let text = match (excess, bound.max) {
        (true, 0) => format!("the first is: {report}"),
        (true, max) => format!("number {}, the first above {max}, is: {report}", max + 1),
        (false, _) => format!("the last of {figure} is: {report}"),
    };
    let at = nanos(noted.at);
    let reports = CountedReports {
        word: noted.word,
        by: vec![noted.host],
        about: noted.about.map(|about| vec![about]),
        window: (at, at),
        excess: excess.then_some(1),
    };
    Some(FailureFinding {
        observer: Some(noted.host),
        observed: noted.about,
        since: Some(at),
        reports: Some(reports),
        text,
        ..FailureFinding::default()
    })
}

fn window(expectation: &Expectation, now: Duration) -> (u64, u64) {
    let to = expectation.to.unwrap_or(now).min(now);
    (nanos(expectation.from), nanos(to))
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

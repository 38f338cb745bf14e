//! Watches a run and decides which of its expectations hold. The judge is the same for every engine.
//!
//! An engine calls [`Judge::event`] for each reported event, [`Judge::check`] at (or soon after) every
//! [`Judge::next_check`], and ends the run when [`Judge::is_over`] or at [`Plan::end`](crate::scenario::plan::Plan).
//! [`Judge::finish`] then returns the verdict.

mod condition;
pub mod ending;
mod findings;

use crate::finding::FailureFinding;
use crate::record::fault::{Fault, FaultPhase, FaultSubject};
use crate::scenario::plan::{Plan, Reporter, ScheduledAction};
use crate::scenario::{Condition, Expectation, Metric, Mode, OwnMetric, Scenario, Selector};
use crate::verdict::{ExpectationResult, Failure};
use crate::world::{ReportedEvent, Scene, World};
use condition::{converged, holds, is_so, is_unambiguous};
use core::time::Duration;
use findings::{FailedWatch, NotedEvent};
use std::collections::{BTreeMap, BTreeSet};

/// The minimum duration of the recovered state before it counts.
const HOLD: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    Met(Duration),
    Broken { at: Duration, why: String },
}

#[derive(Clone, Debug)]
struct Watch {
    expectation: Expectation,
    /// The number of matching events since `from`.
    events: u32,
    /// The figure of a metric. A traffic metric keeps its counter at `from` here until the window ends.
    figure: Option<u64>,
    /// For percentiles of convergence: for each host, the time since which its view has been correct; none while the
    /// view is not correct.
    right_since: BTreeMap<usize, Option<Duration>>,
    /// Whether one of the nodes of a count ran in the time window. A count of nodes that did not run has no sample.
    sampled: bool,
    /// The reason why the condition did not hold, or why the metric had no value, at the latest check.
    latest: String,
    /// For a counter, the first event in excess or the latest event; for a gauge, the highest observation.
    noted: Option<NotedEvent>,
    /// The nodes and items that a violated expectation concerns, once they have been determined.
    findings: Option<Vec<FailureFinding>>,
    verdict: Verdict,
}

/// The results of a judge.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The failed expectations.
    pub failures: Vec<Failure>,
    /// The figures, by name.
    pub metrics: BTreeMap<String, u64>,
    /// The result of each expectation, in the order in which the file lists them.
    pub expected: Vec<ExpectationResult>,
    /// The triggers of the plan whose event was reported.
    pub fired: BTreeSet<usize>,
}

/// The judge of one run.
pub struct Judge<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) plan: &'a Plan,
    interval: Duration,
    watches: Vec<Watch>,
    started: BTreeSet<usize>,
    /// The triggers of the plan whose event was reported before the faults ended.
    fired: BTreeSet<usize>,
    /// The number of reports that each trigger counted.
    reports: BTreeMap<usize, u32>,
    recovered: Option<Duration>,
    /// The time of the last change of nodes or network.
    last_fault_at: Duration,
    /// The time after `last_fault_at` since which all views have been correct.
    settled: Option<Duration>,
    latest_recovery: String,
    next_order: usize,
    next: Duration,
    metrics: BTreeMap<String, u64>,
}

impl core::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Judge")
            .field("watches", &self.watches)
            .field("recovered", &self.recovered)
            .finish_non_exhaustive()
    }
}

/// Whether a figure counts traffic from the start of the run. Such a figure starts at 0, because no check precedes the
/// first message.
fn counts_from_zero(expectation: &Expectation) -> bool {
    let traffic = matches!(expectation.mode, Mode::Metric(metric, ..) if metric.is_of_traffic());
    traffic && expectation.from.is_zero()
}

impl<'a> Judge<'a> {
    /// Creates a judge that checks conditions every `interval`.
    #[must_use]
    pub fn new(scenario: &'a Scenario, plan: &'a Plan, interval: Duration) -> Self {
        let watch = |expectation: &Expectation| Watch {
            expectation: expectation.clone(),
            events: 0,
            figure: counts_from_zero(expectation).then_some(0),
            right_since: BTreeMap::new(),
            sampled: false,
            latest: "it was never checked".to_owned(),
            noted: None,
            findings: None,
            verdict: Verdict::Open,
        };
        let mut judge = Self {
            scenario,
            plan,
            interval,
            watches: scenario.expectations.iter().map(watch).collect(),
            started: BTreeSet::new(),
            fired: BTreeSet::new(),
            reports: BTreeMap::new(),
            recovered: None,
            last_fault_at: last_fault_at(plan),
            settled: None,
            latest_recovery: "it was never checked".to_owned(),
            next_order: 0,
            next: Duration::ZERO,
            metrics: BTreeMap::new(),
        };
        judge.plan_next(Duration::ZERO);
        judge
    }

    /// The time of the next check.
    #[must_use]
    pub const fn next_check(&self) -> Duration {
        self.next
    }

    /// Whether all expectations are decided, so that the run may end.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        self.scenario.recovers
            && self.recovered.is_some_and(|since| now >= since + HOLD)
            && self.watches.iter().all(|watch| {
                watch.verdict != Verdict::Open
                    || watch.expectation.to.is_none()
                        && !matches!(watch.expectation.mode, Mode::Eventually(_))
            })
    }

    /// Records an event that a process reported.
    pub fn event(
        &mut self,
        now: Duration,
        reporter: Reporter,
        notice: &dyn ReportedEvent,
        world: &dyn World,
    ) {
        let hosts = &self.scenario.hosts;
        let (word, about) = notice.described();
        if now < self.plan.faults_end {
            for (trigger, waiting) in self.plan.triggers.iter().enumerate() {
                if waiting.fits(hosts, reporter, word, about)
                    && waiting.counts(now, self.reports.entry(trigger).or_default())
                {
                    self.fired.insert(trigger);
                }
            }
        }
        let scene = Scene {
            world,
            hosts,
            named: &self.plan.named,
            started: &self.started,
        };
        for watch in &mut self.watches {
            let expectation = &watch.expectation;
            if now < expectation.from || expectation.to.is_some_and(|to| now > to) {
                continue;
            }
            match &expectation.mode {
                Mode::Eventually(condition)
                | Mode::Always(condition)
                | Mode::Never(condition)
                | Mode::Sometimes(condition) => {
                    let Condition::Event(wanted, by, of, _) = condition else {
                        continue;
                    };
                    let about_it = |of: &Selector| {
                        about.is_some_and(|id| {
                            let mut hosts = hosts.iter().enumerate();
                            hosts.any(|(at, host)| host.id == *id && scene.selects(of, at))
                        })
                    };
                    let program = by.program();
                    let fits = *wanted == word
                        && program.is_none_or(|program| program == reporter.program)
                        && scene.selects(by, reporter.host)
                        && of.as_ref().is_none_or(about_it);
                    watch.events += u32::from(fits);
                }
                Mode::Metric(metric, who, bound) => {
                    let chosen = scene.selects(who, reporter.host);
                    watch.sampled |= chosen;
                    let Metric::Counter(own) = metric else {
                        continue;
                    };
                    let owner = scene.program(own.program);
                    let counts = owner.is_some_and(|owner| owner.counts(&scene, own.word, notice));
                    if counts && chosen {
                        let before = watch.figure.unwrap_or(0);
                        watch.figure = Some(before + 1);
                        if before <= bound.max {
                            let about = about.map(|id| hosts.iter().position(|it| it.id == *id));
                            watch.noted = Some(NotedEvent {
                                at: now,
                                host: reporter.host,
                                word,
                                about: about.flatten(),
                            });
                        }
                    }
                }
            }
        }
    }

    /// Checks the expectations that are due at `now`.
    pub fn check(&mut self, now: Duration, world: &dyn World) {
        self.note_starts(now);
        let scene = Scene {
            world,
            hosts: &self.scenario.hosts,
            named: &self.plan.named,
            started: &self.started,
        };
        for watch in &mut self.watches {
            watch.check(now, &scene);
            watch.find(now, self.scenario, &scene);
        }
        let quiet = now >= self.plan.faults_end;
        // Before the faults end, views that have been correct are not checked again. An action at an instant takes
        // effect after that instant, so a check at `last_fault_at` itself does not count.
        if quiet || now > self.last_fault_at && self.settled.is_none() {
            match scene.settled() {
                Ok(()) => {
                    self.settled = self.settled.or((now > self.last_fault_at).then_some(now));
                    self.recovered = self.recovered.or(quiet.then_some(now));
                }
                Err(why) => {
                    (self.settled, self.recovered) = (None, None);
                    self.latest_recovery = why;
                }
            }
        }
        self.plan_next(now);
    }

    fn note_starts(&mut self, now: Duration) {
        while let Some(planned) = self.plan.actions.get(self.next_order) {
            // A check sees the world as it is before the actions of the same instant.
            if planned.at >= now {
                break;
            }
            if let ScheduledAction::Start { host, .. } = planned.action {
                self.started.insert(host);
            }
            self.next_order += 1;
        }
    }

    fn plan_next(&mut self, now: Duration) {
        let regular = now + self.interval;
        let mut next = self.plan.end.max(regular);
        for watch in &self.watches {
            next = next.min(watch.next_check(now, regular));
        }
        let recovery = if now < self.plan.faults_end {
            match self.settled {
                None => regular.max(self.last_fault_at).min(self.plan.faults_end),
                Some(_) => self.plan.faults_end,
            }
        } else {
            self.recovered.map_or(regular, |since| {
                if since + HOLD > now {
                    since + HOLD
                } else {
                    regular
                }
            })
        };
        self.next = next.min(recovery);
    }

    /// Ends the run. Returns the failures, the figures and the result of each expectation.
    #[must_use]
    pub fn finish(mut self, now: Duration, world: &dyn World) -> Judged {
        self.check(now, world);
        let (mut failures, mut expected) = (Vec::new(), Vec::new());
        let file = &self.scenario.file;
        let scene = Scene {
            world,
            hosts: &self.scenario.hosts,
            named: &self.plan.named,
            started: &self.started,
        };
        for watch in &mut self.watches {
            watch.finish(now, &scene);
            watch.find(now, self.scenario, &scene);
            expected.push(watch.expected());
            if let (Mode::Metric(metric, ..), Some(figure)) =
                (&watch.expectation.mode, watch.figure)
            {
                let name = metric.name().to_owned();
                let name = match self.metrics.contains_key(&name) {
                    true => format!("{name} (line {})", watch.expectation.line),
                    false => name,
                };
                self.metrics.insert(name, figure);
            }
            if let Verdict::Broken { at, why } = &watch.verdict {
                let expectation = &watch.expectation;
                let failure = Failure::new(
                    &expectation.file,
                    expectation.line,
                    &expectation.text,
                    *at,
                    why,
                );
                failures.push(Failure {
                    figure: watch.figure,
                    findings: watch.findings.take().unwrap_or_default(),
                    ..failure
                });
            }
        }
        match self.recovered {
            Some(_) if !self.scenario.recovers => {}
            Some(since) => {
                let took = self
                    .settled
                    .unwrap_or(since)
                    .saturating_sub(self.last_fault_at);
                self.metrics.insert("recovery-ms".to_owned(), millis(took));
            }
            None if !self.scenario.recovers => {}
            None => {
                let within = crate::scenario::text::show(self.scenario.recovery);
                let text = format!("all views are right within {within} after the faults");
                let found = findings::of_recovery(self.scenario, &scene);
                let failure = Failure::new(file, 0, &text, now, &self.latest_recovery);
                failures.push(failure.with_findings(found));
            }
        }
        Judged {
            failures,
            metrics: self.metrics,
            expected,
            fired: self.fired,
        }
    }
}

/// The time of the plan's last change of nodes or network, from which all views may become correct.
fn last_fault_at(plan: &Plan) -> Duration {
    let mut open = BTreeSet::new();
    let mut last_fault_at = Duration::ZERO;
    for planned in &plan.actions {
        let (subject, turn) = Fault::shape(planned);
        let ends = match turn {
            FaultPhase::Begins => {
                open.insert(subject);
                Some(planned.at)
            }
            FaultPhase::Ends => {
                let starts = matches!(subject, FaultSubject::Power(..));
                (open.remove(&subject) || starts).then_some(planned.at)
            }
            FaultPhase::Lasts(length) => Some(planned.at + length),
            FaultPhase::Once => Some(planned.at),
        };
        last_fault_at = last_fault_at.max(ends.unwrap_or_default());
    }
    last_fault_at.min(plan.faults_end)
}

impl Watch {
    /// The result of the expectation.
    fn expected(&self) -> ExpectationResult {
        let sometimes = matches!(self.expectation.mode, Mode::Sometimes(_));
        let (met, at) = match &self.verdict {
            Verdict::Met(at) => (true, Some(*at)),
            Verdict::Broken { at, .. } => (false, Some(*at)),
            Verdict::Open => (!sometimes, None),
        };
        ExpectationResult {
            sometimes,
            line: self.expectation.line,
            text: self.expectation.text.clone(),
            met,
            at_ms: at.map(millis),
            figure: self.figure,
        }
    }

    fn next_check(&self, now: Duration, regular: Duration) -> Duration {
        if self.verdict != Verdict::Open {
            return Duration::MAX;
        }
        let expectation = &self.expectation;
        if now < expectation.from {
            return expectation.from;
        }
        let to = expectation.to.unwrap_or(Duration::MAX);
        match expectation.mode {
            // Most figures are read only at the two ends of the window.
            Mode::Metric(Metric::ConvergeMs, ..) if self.figure.is_none() => regular.min(to),
            Mode::Metric(Metric::ConvergeP99Ms | Metric::AllRightMs | Metric::Gauge(_), ..)
                if to > now =>
            {
                regular.min(to)
            }
            Mode::Metric(..) => {
                if to > now {
                    to
                } else {
                    regular
                }
            }
            // `always` and `never` are still open at the very end of the window, so the next check comes after the
            // window.
            Mode::Eventually(_) | Mode::Always(_) | Mode::Never(_) | Mode::Sometimes(_) => {
                if to > now { regular.min(to) } else { regular }
            }
        }
    }

    fn check(&mut self, now: Duration, scene: &Scene<'_>) {
        if self.verdict != Verdict::Open || now < self.expectation.from {
            return;
        }
        if let Mode::Eventually(condition)
        | Mode::Always(condition)
        | Mode::Never(condition)
        | Mode::Sometimes(condition) = &self.expectation.mode
            && let Err(why) = is_unambiguous(scene, condition)
        {
            self.verdict = Verdict::Broken { at: now, why };
            return;
        }
        let over = self.expectation.to.is_some_and(|to| now >= to);
        let late = self.expectation.to.is_some_and(|to| now > to);
        match &self.expectation.mode {
            Mode::Eventually(condition) => match holds(scene, condition, self.events) {
                Ok(()) => self.verdict = Verdict::Met(now),
                Err(why) => {
                    if over {
                        self.verdict = Verdict::Broken {
                            at: now,
                            why: why.clone(),
                        };
                    }
                    self.latest = why;
                }
            },
            Mode::Always(condition) if !late => {
                if let Err(why) = holds(scene, condition, self.events) {
                    self.verdict = Verdict::Broken { at: now, why };
                }
            }
            Mode::Never(condition) if !late => {
                if is_so(scene, condition, self.events) {
                    self.verdict = Verdict::Broken {
                        at: now,
                        why: "it happened".to_owned(),
                    };
                }
            }
            Mode::Sometimes(condition) if !late => {
                if is_so(scene, condition, self.events) {
                    self.verdict = Verdict::Met(now);
                }
            }
            // A `sometimes` expectation is not refuted by one run.
            Mode::Sometimes(_) => {}
            Mode::Always(_) | Mode::Never(_) => self.verdict = Verdict::Met(now),
            Mode::Metric(..) => self.measure(now, over, scene),
        }
    }

    fn measure(&mut self, now: Duration, over: bool, scene: &Scene<'_>) {
        let Mode::Metric(metric, who, _) = &self.expectation.mode else {
            return;
        };
        self.sampled |= Self::runs(scene, *metric, who);
        match metric {
            Metric::Counter(_) => {
                self.figure = self.figure.or(Some(0));
            }
            Metric::ConvergeMs => {
                if self.figure.is_none() {
                    match converged(scene) {
                        Ok(()) => self.figure = Some(millis(now - self.expectation.from)),
                        Err(why) => self.latest = why,
                    }
                }
            }
            Metric::ConvergeP99Ms | Metric::AllRightMs => {
                let before = std::mem::take(&mut self.right_since);
                for (host, right) in correct_views(scene) {
                    let at = before.get(&host).copied().flatten().unwrap_or(now);
                    self.right_since.insert(host, right.then_some(at));
                }
                if over {
                    let percent = 99 + usize::from(*metric == Metric::AllRightMs);
                    self.figure = percentile(percent, &self.right_since, self.expectation.from);
                    self.latest = self.wrong_view(scene);
                }
            }
            Metric::Own(own) => {
                if over {
                    match self.own_figure(now, *own, who, scene) {
                        Ok(figure) => self.figure = Some(figure),
                        Err(why) => self.latest = why,
                    }
                }
            }
            Metric::Gauge(own) => {
                let hosts = scene.select(who);
                let program = Some(own.program);
                let views = hosts.iter().flat_map(|host| {
                    let views = scene.views_of(*host, program);
                    views.filter_map(|view| Some((view.gauge(own.word)?, *host)))
                });
                if let Some((highest, host)) = views.max()
                    && self.figure.is_none_or(|figure| highest > figure)
                {
                    self.figure = Some(highest);
                    self.noted = Some(NotedEvent {
                        at: now,
                        host,
                        word: own.word,
                        about: None,
                    });
                }
                "no process of these nodes ran in this time".clone_into(&mut self.latest);
            }
            Metric::BytesPerNode
            | Metric::BytesPerNodeSecond
            | Metric::MessagesPerNode
            | Metric::MessagesPerNodeSecond => {
                let (metric, hosts) = (*metric, scene.select(who));
                if !self.measure_traffic(metric, now, over, &hosts, scene) {
                    return;
                }
            }
        }
        if over {
            self.settle(now);
        }
    }

    /// The figure of a metric in a program's own vocabulary at the end of the window.
    fn own_figure(
        &self,
        now: Duration,
        own: OwnMetric,
        who: &Selector,
        scene: &Scene<'_>,
    ) -> Result<u64, String> {
        let to = self.expectation.to.unwrap_or(now);
        let nanos = |at: Duration| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let window = (nanos(self.expectation.from), nanos(to));
        let program = scene.program(own.program);
        let program = program.ok_or_else(|| format!("no host runs {}", own.program))?;
        program.metric(scene, own.word, &scene.select(who), window)
    }

    /// Whether one of these nodes runs a process that the metric concerns.
    fn runs(scene: &Scene<'_>, metric: Metric, who: &Selector) -> bool {
        let program = match metric {
            Metric::Counter(own) => Some(own.program),
            Metric::BytesPerNode | Metric::BytesPerNodeSecond => None,
            Metric::MessagesPerNode | Metric::MessagesPerNodeSecond => None,
            Metric::ConvergeMs | Metric::ConvergeP99Ms | Metric::AllRightMs => return false,
            Metric::Own(_) | Metric::Gauge(_) => return false,
        };
        let mut hosts = scene.select(who).into_iter();
        hosts.any(|host| scene.views_of(host, program).next().is_some())
    }

    /// The statement that a view was not correct at the end of the window, or that there was no view.
    fn wrong_view(&self, scene: &Scene<'_>) -> String {
        let mut views = self.right_since.iter();
        match views.find(|(_, since)| since.is_none()) {
            Some((host, _)) => {
                format!("the view of {} was not right at the end", scene.name(*host))
            }
            None => "no node ran in this time".to_owned(),
        }
    }

    /// Measures traffic over the window. Returns false at the start of the window.
    fn measure_traffic(
        &mut self,
        metric: Metric,
        now: Duration,
        over: bool,
        hosts: &[usize],
        scene: &Scene<'_>,
    ) -> bool {
        let messages = matches!(
            metric,
            Metric::MessagesPerNode | Metric::MessagesPerNodeSecond
        );
        let sent = hosts.iter().map(|host| scene.world.traffic(*host));
        let sum: u64 = sent
            .map(|sent| if messages { sent.messages } else { sent.bytes })
            .sum();
        // The counter at the start of the window is kept until the end.
        let Some(before) = self.figure else {
            self.figure = Some(sum);
            return false;
        };
        if over {
            let mean = sum
                .saturating_sub(before)
                .div_ceil(hosts.len().max(1) as u64);
            let per_second = matches!(
                metric,
                Metric::BytesPerNodeSecond | Metric::MessagesPerNodeSecond
            );
            let rate = (mean * 1_000).div_ceil(millis(now - self.expectation.from).max(1));
            self.figure = Some(if per_second { rate } else { mean });
        }
        true
    }

    /// Determines, once, the nodes and items that a violated expectation concerns.
    fn find(&mut self, now: Duration, scenario: &Scenario, scene: &Scene<'_>) {
        if matches!(self.verdict, Verdict::Broken { .. }) && self.findings.is_none() {
            let failed = FailedWatch {
                expectation: &self.expectation,
                figure: self.figure,
                noted: self.noted,
                now,
            };
            self.findings = Some(findings::of(&failed, scenario, scene));
        }
    }

    /// Compares the figure with its bound.
    fn settle(&mut self, now: Duration) {
        let Mode::Metric(metric, _, bound) = &self.expectation.mode else {
            return;
        };
        let counts = metric.is_of_traffic() || matches!(metric, Metric::Counter(_));
        if counts && !self.sampled {
            "none of these nodes ran in this time".clone_into(&mut self.latest);
            self.figure = None;
        }
        self.verdict = match self.figure {
            Some(figure) if bound.holds(figure) => Verdict::Met(now),
            Some(figure) => Verdict::Broken {
                at: now,
                why: format!("{} is {figure}", metric.name()),
            },
            None => Verdict::Broken {
                at: now,
                why: format!("{} has no value: {}", metric.name(), self.latest),
            },
        };
    }

    fn finish(&mut self, now: Duration, scene: &Scene<'_>) {
        if self.verdict != Verdict::Open {
            return;
        }
        match &self.expectation.mode {
            Mode::Eventually(_) => {
                self.verdict = Verdict::Broken {
                    at: now,
                    why: std::mem::take(&mut self.latest),
                };
            }
            Mode::Sometimes(_) => {}
            Mode::Always(_) | Mode::Never(_) => self.verdict = Verdict::Met(now),
            Mode::Metric(..) => self.measure(now, true, scene),
        }
    }
}

fn correct_views(scene: &Scene<'_>) -> Vec<(usize, bool)> {
    scene
        .programs()
        .flat_map(|program| program.correct_views(scene))
        .collect()
}

/// The time after `from`, in milliseconds, at which `percent` % of the views were correct; none if one of these views
/// is not correct.
fn percentile(
    percent: usize,
    since: &BTreeMap<usize, Option<Duration>>,
    from: Duration,
) -> Option<u64> {
    let mut times: Vec<Duration> = since
        .values()
        .map(|at| at.unwrap_or(Duration::MAX))
        .collect();
    times.sort_unstable();
    let at = times.get((times.len() * percent).div_ceil(100).checked_sub(1)?)?;
    (*at < Duration::MAX).then(|| millis(at.saturating_sub(from)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

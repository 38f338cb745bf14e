//! The explanation as one paragraph: what was done, what followed, what is expected, and what each fault contributes.

use super::words::moment;
use super::{FaultNeed, MinimalFaults, NeededFault, SeedResults, is_measurable};
use crate::explanation::{Explanation, KnowledgeChange};
use crate::invariant::INVARIANT;
use crate::scenario::{Bound, Condition, Expectation, Mode, Scenario};
use crate::search::PANIC;
use core::time::Duration;

impl MinimalFaults {
    /// Returns the paragraph. `explained` is the explanation of the failure in a recording of the run, if there is one.
    #[must_use]
    pub fn paragraph(
        &self,
        scenario: &Scenario,
        explained: Option<&Explanation>,
        sabotage: &[String],
    ) -> String {
        let mut sentences = vec![self.head(scenario)];
        sentences.extend(self.done(scenario));
        let is_counted = violated(scenario, self).is_some_and(|it| match &it.mode {
            Mode::Metric(..) => true,
            Mode::Eventually(_) | Mode::Always(_) | Mode::Never(_) | Mode::Sometimes(_) => {
                matches!(it.mode.condition(), Some(Condition::Event(..)))
            }
        });
        if let Some(explained) = explained {
            sentences.extend(followed(scenario, explained, is_counted));
            if self.need != FaultNeed::Needed {
                let properties = explained.properties.iter();
                sentences.extend(properties.map(|it| sentence(scenario, it)));
                let remarks = explained.remarks.iter();
                sentences.extend(remarks.map(|it| sentence(scenario, it)));
            }
        }
        sentences.push(expected(scenario, self));
        sentences.extend(self.measured(sabotage));
        sentences.extend(self.rest());
        sentences.join(" ")
    }

    /// The run, the time of its failure, and the number of faults that it needs.
    fn head(&self, scenario: &Scenario) -> String {
        let at = match self.failure.expectation.as_str() {
            PANIC => String::new(),
            _ => format!(" at {}", at(self)),
        };
        let only_subjects = self.faults.iter().all(|fault| fault.is_subject);
        let cause = match (self.need, self.present().as_slice()) {
            (FaultNeed::None, _) => " without any fault",
            (FaultNeed::Needed, [set]) => match self.sets[*set].len() {
                1 if only_subjects => " after the fault that the expectation is about",
                _ if only_subjects => " after the faults that the expectation is about",
                1 => " because of one fault",
                2 => " because of two faults together",
                _ => " because of several faults together",
            },
            (FaultNeed::Unknown | FaultNeed::Needed, _) => "",
        };
        format!(
            "With seed {}, {} fails{at}{cause}.",
            self.seed, scenario.name
        )
    }

    /// The faults of the sets.
    fn done(&self, scenario: &Scenario) -> Vec<String> {
        let present = self.present();
        let common = self.common(&present);
        let texts = common.iter().map(|index| self.faults[*index].text.as_str());
        let mut sentences: Vec<String> = texts.map(|text| sentence(scenario, text)).collect();
        if present.len() > 1 {
            let choices: Vec<String> = present
                .iter()
                .map(|set| self.choice(*set, &common))
                .collect();
            let also = if common.is_empty() {
                ""
            } else {
                " in addition"
            };
            sentences.push(format!(
                "Either of these alternatives is enough{also}: {}.",
                choices.join("; or ")
            ));
        }
        sentences
    }

    /// A set as one of several, without the faults of all sets.
    fn choice(&self, set: usize, common: &[usize]) -> String {
        let own = self.sets[set]
            .iter()
            .filter(|index| !common.contains(index));
        let own: Vec<&str> = own.map(|index| self.faults[*index].text.as_str()).collect();
        let SeedResults { failed, seeds, .. } = self.with_set[set];
        let own = own.join(", and ");
        format!("{own}, with which {failed} of {seeds} seeds fail")
    }

    /// The sets whose faults begin before the failure, and the first set in any case.
    fn present(&self) -> Vec<usize> {
        let is_before = |index: &usize| {
            let from = self.faults[*index].from_ms;
            from.is_none_or(|from| from <= self.failure.at_ms)
        };
        let all = 0..self.sets.len();
        all.filter(|set| *set == 0 || self.sets[*set].iter().all(is_before))
            .collect()
    }

    /// The faults that all of these sets contain.
    fn common(&self, sets: &[usize]) -> Vec<usize> {
        let all = 0..self.faults.len();
        all.filter(|index| sets.iter().all(|set| self.sets[*set].contains(index)))
            .collect()
    }

    /// The sets that begin after the failure, and would cause it if the others did not.
    fn later(&self) -> Option<String> {
        let present = self.present();
        let later = (0..self.sets.len()).filter(|set| !present.contains(set));
        let later: Vec<String> = later.map(|set| self.choice(set, &[])).collect();
        let texts = later.join("; or ");
        let also = "Later faults would be enough too";
        match (later.is_empty(), self.has_further_sets()) {
            (true, false) => None,
            (true, true) => Some("Further sets of faults are enough too.".to_owned()),
            (false, false) => Some(format!("{also}: {texts}.")),
            (false, true) => Some(format!("{also}, among them: {texts}.")),
        }
    }

    /// Whether the file fails without the faults of all known sets.
    fn has_further_sets(&self) -> bool {
        let without = self.without_alternatives.as_ref();
        without.is_some_and(|it| it.failed * 10 > it.seeds)
    }

    /// The results of the runs without faults.
    fn measured(&self, sabotage: &[String]) -> Vec<String> {
        let mut sentences = match self.need {
            // The analysis was stopped before it had a set of faults.
            FaultNeed::Unknown if !self.complete && is_measurable(&self.with_all) => {
                return vec![format!(
                    "With all faults of the file, {}.",
                    failing(&self.with_all)
                )];
            }
            FaultNeed::Unknown => {
                return vec![format!(
                    "The failure depends on the exact course of this run: with the same faults at the same times, {} of {} seeds fail in this way, too few to measure which faults the run needs.",
                    self.with_all.failed, self.with_all.seeds
                )];
            }
            FaultNeed::None => {
                let without = failing(&self.without_all);
                vec![match self.of_file {
                    0 => format!("The file has no faults, and {without}."),
                    1 => format!("Without the only fault of the file, {without}."),
                    count => format!("Without all {count} faults of the file, {without}."),
                }]
            }
            FaultNeed::Needed => self.needed(),
        };
        if let Some(without) = self.without_bug.as_ref().filter(|it| it.seeds > 0) {
            let names: Vec<String> = sabotage.iter().map(|name| format!("`{name}`")).collect();
            let bug = if names.len() == 1 { "bug" } else { "bugs" };
            sentences.push(format!(
                "Without the planted {bug} {}, {}.",
                names.join(" and "),
                passing(without)
            ));
        }
        sentences
    }

    /// The contribution of each fault.
    fn needed(&self) -> Vec<String> {
        let common = self.common(&self.present());
        let faults = common.iter().map(|index| &self.faults[*index]);
        let (subjects, needed): (Vec<&NeededFault>, Vec<&NeededFault>) =
            faults.partition(|fault| fault.is_subject);
        let rare = match self.with_all.failed * 2 < self.with_all.seeds {
            true => "The failure is rare: with",
            false => "With",
        };
        let mut results = vec![format!(
            "{rare} all faults of the file, {}",
            failing(&self.with_all)
        )];
        let without = needed.iter().filter(|it| it.without.seeds > 0);
        results.extend(without.map(|it| format!("without {}, {}", it.name, passing(&it.without))));
        let without = self.without_alternatives.as_ref();
        if let Some(without) = without.filter(|_| !self.has_further_sets()) {
            let them = match self.present().len() == self.sets.len() {
                true => "without any of the alternatives",
                false => "without these faults and the later ones",
            };
            results.push(format!("{them}, {}", passing(without)));
        }
        let mut sentences = vec![format!("{}.", results.join("; "))];
        sentences.extend(self.later());
        if !subjects.is_empty() {
            let names: Vec<&str> = subjects.iter().map(|fault| fault.name.as_str()).collect();
            let them = if subjects.len() == 1 { "it" } else { "them" };
            sentences.push(format!(
                "The expectation is about {}, and cannot hold without {them}.",
                list(&names)
            ));
        }
        sentences
    }

    /// The faults that the paragraph does not name, and the limits of the result.
    fn rest(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let others = self.of_file.saturating_sub(self.faults.len());
        let others = match others {
            _ if self.need != FaultNeed::Needed || !self.complete => None,
            _ if self.has_further_sets() => None,
            0 => None,
            1 => Some("The other fault of the file is not needed.".to_owned()),
            count => Some(format!(
                "The other {count} faults of the file are not needed."
            )),
        };
        sentences.extend(others);
        match self.failures {
            0 | 1 => {}
            2 => sentences.push("The run violates one more expectation later.".to_owned()),
            count => sentences.push(format!(
                "The run violates {} more expectations later.",
                count - 1
            )),
        }
        let runs = self.runs;
        if !self.complete && self.need == FaultNeed::Needed {
            sentences.push(match self.minimal {
                false => format!(
                    "The analysis was stopped after {runs} runs, so some of the named faults may not be needed."
                ),
                true => format!(
                    "The analysis was stopped after {runs} runs, so other sets of faults may be sufficient too."
                ),
            });
        } else if !self.complete {
            sentences.push(format!("The analysis was stopped after {runs} runs."));
        }
        sentences
    }
}

/// Returns the observer's knowledge and the last message that it received. For a counted expectation, the item that is missing or
/// in excess says more than the observer's knowledge.
fn followed(scenario: &Scenario, explained: &Explanation, is_counted: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    let (observer, observed) = (explained.observer.as_deref(), explained.observed.as_deref());
    if let Some((observer, observed)) = observer.zip(observed) {
        let held = match explained.held {
            0 => String::new(),
            1 => ", and one later message on this way was dropped or delayed".to_owned(),
            held => format!(", and {held} later messages on this way were dropped or delayed"),
        };
        sentences.push(match &explained.heard {
            Some(heard) => format!(
                "{observer} last received a message from {observed} at {}{held}.",
                moment(Duration::from_nanos(heard.at))
            ),
            None => format!("No message from {observed} arrived at {observer}{held}."),
        });
    }
    let learnt = explained.learnt.as_ref().filter(|_| !is_counted);
    match observer.zip(learnt) {
        Some((observer, learnt)) => sentences.push(learnt_sentence(observer, observed, learnt)),
        None => {
            let item = explained
                .found
                .iter()
                .find(|it| !explained.remarks.contains(it));
            sentences.extend(item.map(|text| sentence(scenario, text)));
        }
    }
    sentences
}

/// The latest change of the observer's knowledge of another node, or of a value of its state.
fn learnt_sentence(observer: &str, observed: Option<&str>, learnt: &KnowledgeChange) -> String {
    let at = moment(Duration::from_nanos(learnt.at));
    // Details after the first comma are for the explanation's lines.
    let brief = |text: &str| text.split(", ").next().unwrap_or_default().to_owned();
    let by = match &learnt.from {
        Some(from) => format!("by a message from {from}"),
        None if learnt.step == "timer" => "by its own timer".to_owned(),
        None => "by a step of its own".to_owned(),
    };
    let (before, after) = (learnt.before.as_deref(), learnt.after.as_deref());
    match (observed, before.map(brief), after.map(brief)) {
        (Some(observed), None, Some(after)) => {
            format!("{observer} learnt of {observed} as {after} at {at}, {by}.")
        }
        (Some(observed), _, None) => format!("{observer} forgot {observed} at {at}, {by}."),
        (Some(observed), Some(before), Some(after)) if before != after => format!(
            "{observer} changed its view of {observed} from {before} to {after} at {at}, {by}."
        ),
        (Some(observed), Some(_), Some(_)) => {
            format!("{observer} last changed its view of {observed} at {at}, {by}.")
        }
        (None, before, after) => {
            let none = || "nothing".to_owned();
            let (before, after) = (before.unwrap_or_else(none), after.unwrap_or_else(none));
            format!("The value at {observer} changed from {before} to {after} at {at}, {by}.")
        }
    }
}

/// The time of the failure.
fn at(found: &MinimalFaults) -> String {
    moment(Duration::from_millis(found.failure.at_ms))
}

/// The violated expectation; `None` for an invariant, a panic, and the recovery.
fn violated<'a>(scenario: &'a Scenario, found: &MinimalFaults) -> Option<&'a Expectation> {
    let failure = &found.failure;
    let mut expectations = scenario.expectations.iter();
    expectations.find(|it| it.line == failure.line && it.text == failure.expectation)
}

/// Returns the state at the failure, and the expectation.
fn expected(scenario: &Scenario, found: &MinimalFaults) -> String {
    let failure = &found.failure;
    let why = match failure.why.as_str() {
        // The reason of a `never`, whose condition says the rest.
        "it happened" => "the condition holds",
        why => without_stop(why),
    };
    let at = at(found);
    if failure.expectation == PANIC {
        return format!("A machine panics, which none may do: {why}.");
    }
    if let Some(name) = failure.expectation.strip_prefix(INVARIANT) {
        // The reason begins with the process at which the invariant was checked after a step.
        let process = why
            .split_once(": ")
            .filter(|(process, _)| !process.contains(' '));
        let (place, why) = match process {
            Some((process, why)) => (format!(" at {process}"), why),
            None => (String::new(), why),
        };
        return format!(
            "At {at}, the invariant {name}, which must hold at all times, is violated{place}: {why}."
        );
    }
    let Some(violated) = violated(scenario, found) else {
        return format!("At {at}, {why}; expected: {}.", failure.expectation);
    };
    let line = match violated.file == scenario.file {
        true => format!("line {}", violated.line),
        false => format!("line {} of {}", violated.line, violated.file),
    };
    let from = moment(violated.from);
    let to = violated
        .to
        .map_or_else(|| "the end of the run".to_owned(), moment);
    let inner = condition(&violated.text);
    let wanted = match &violated.mode {
        Mode::Eventually(_) => format!("{inner} at some time from {from} to {to}"),
        Mode::Always(_) => format!("{inner} at all times from {from} to {to}"),
        Mode::Never(_) => format!("{inner} at no time from {from} to {to}"),
        Mode::Sometimes(_) => format!("{inner} in at least one run"),
        Mode::Metric(_, _, Bound { min, max }) => match (*min, *max) {
            (0, max) => format!("at most {max}"),
            (min, u64::MAX) => format!("at least {min}"),
            (min, max) => format!("from {min} to {max}"),
        },
    };
    format!("At {at}, {why}; {line} expects {wanted}.")
}

/// Returns the condition of an expectation's text, without its mode and its time window.
fn condition(text: &str) -> String {
    let Some(start) = text.find('{') else {
        return format!("`{text}`");
    };
    let (mut depth, mut quoted) = (0_usize, false);
    for (at, letter) in text.char_indices().skip(start) {
        match letter {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let inner = text[start..at].trim_start_matches('{').trim();
            return format!("`{inner}`");
        }
    }
    format!("`{text}`")
}

/// Formats results of a set that fails: `20 of 20 seeds fail in this way`.
fn failing(results: &SeedResults) -> String {
    format!(
        "{} of {} seeds fail in this way",
        results.failed, results.seeds
    )
}

/// Formats results of a set that passes: `20 of 20 seeds pass`.
fn passing(results: &SeedResults) -> String {
    let SeedResults {
        passed,
        failed_otherwise,
        seeds,
        ..
    } = results;
    match failed_otherwise {
        0 => format!("{passed} of {seeds} pass"),
        1 => format!("{passed} of {seeds} pass and one fails in another way"),
        other => format!("{passed} of {seeds} pass and {other} fail in another way"),
    }
}

/// Formats a list: `one`, `one and two`, `one, two and three`.
fn list(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Writes a clause as a sentence: with a capital letter, unless the clause begins with the name of a node.
fn sentence(scenario: &Scenario, clause: &str) -> String {
    let first = clause
        .split([' ', ',', '/', '.'])
        .next()
        .unwrap_or_default();
    let clause = without_stop(clause);
    if scenario.host_named(first).is_some() {
        return format!("{clause}.");
    }
    let mut letters = clause.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let text: String = first.into_iter().chain(letters).collect();
    format!("{text}.")
}

/// Returns a text without the full stop and the number of an event at its end.
fn without_stop(text: &str) -> &str {
    let text = text.trim_end_matches('.');
    match text.rsplit_once(", #") {
        Some((text, event)) if event.chars().all(|digit| digit.is_ascii_digit()) => text,
        Some(_) | None => text,
    }
}

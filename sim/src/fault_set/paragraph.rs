//! The explanation as one paragraph: what was done, what followed, what is expected, and what each fault contributes.

use super::{FaultNeed, MinimalFaults, NeededFault, SeedResults, moment};
use crate::explanation::{Explanation, KnowledgeChange};
use crate::invariant::INVARIANT;
use crate::scenario::{Bound, Mode, Scenario};
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
        let at = moment(Duration::from_millis(self.failure.at_ms));
        let mut sentences = vec![format!(
            "With seed {}, {} fails at {at}{}: {}.",
            self.seed,
            scenario.name,
            self.cause(),
            without_stop(&self.failure.why)
        )];
        sentences.extend(self.done());
        sentences.extend(explained.map(followed).unwrap_or_default());
        sentences.push(expected(scenario, self));
        sentences.extend(self.measured(sabotage));
        sentences.extend(self.rest());
        sentences.join(" ")
    }

    /// The number of faults that the failure needs.
    fn cause(&self) -> String {
        match (self.need, self.sets.as_slice()) {
            (FaultNeed::None, _) => " without any fault".to_owned(),
            (FaultNeed::Unknown, _) => String::new(),
            (FaultNeed::Needed, [set]) => match set.len() {
                1 => " because of one fault".to_owned(),
                count => format!(" because of {} faults together", number(count)),
            },
            (FaultNeed::Needed, _) => " because of any one of several sets of faults".to_owned(),
        }
    }

    /// The faults of the sets.
    fn done(&self) -> Vec<String> {
        let common: Vec<usize> = self.common();
        let mut sentences: Vec<String> = common
            .iter()
            .map(|index| sentence(&self.faults[*index].text))
            .collect();
        if self.sets.len() > 1 {
            let choices = self.sets.iter().map(|set| {
                let own = set.iter().filter(|index| !common.contains(index));
                let own: Vec<&str> = own.map(|index| self.faults[*index].text.as_str()).collect();
                own.join(", and ")
            });
            let choices: Vec<String> = choices.collect();
            let also = if common.is_empty() {
                ""
            } else {
                " in addition"
            };
            sentences.push(format!(
                "Either of these is enough{also}: {}.",
                choices.join("; or ")
            ));
        }
        sentences
    }

    /// The faults that all sets contain.
    fn common(&self) -> Vec<usize> {
        let all = 0..self.faults.len();
        all.filter(|index| self.sets.iter().all(|set| set.contains(index)))
            .collect()
    }

    /// The results of the runs without faults.
    fn measured(&self, sabotage: &[String]) -> Vec<String> {
        let mut sentences = Vec::new();
        let all = &self.with_all;
        match self.need {
            FaultNeed::Unknown => {
                sentences.push(format!(
                    "The failure depends on the exact course of this run: with the same faults at the same times, none of {} seeds fails in this way, so the faults that it needs cannot be measured.",
                    all.seeds
                ));
                return sentences;
            }
            FaultNeed::None => {
                let without = &self.without_all;
                let faults = match self.of_file {
                    0 => "The file has no faults".to_owned(),
                    1 => "Without the only fault of the file".to_owned(),
                    count => format!("Without all {count} faults of the file"),
                };
                let link = if self.of_file == 0 { ":" } else { "," };
                sentences.push(format!("{faults}{link} {}.", failing(without)));
            }
            FaultNeed::Needed => sentences.extend(self.needed()),
        }
        if let Some(without) = &self.without_bug {
            let names: Vec<String> = sabotage.iter().map(|name| format!("`{name}`")).collect();
            sentences.push(format!(
                "Without the planted bug {}, {}.",
                names.join(", "),
                passing(without)
            ));
        }
        sentences
    }

    fn needed(&self) -> Vec<String> {
        let mut sentences = vec![format!(
            "With all faults of the file, {}.",
            failing(&self.with_all)
        )];
        let (subjects, needed): (Vec<&NeededFault>, Vec<&NeededFault>) =
            self.faults.iter().partition(|fault| fault.is_subject);
        let mut without = needed
            .iter()
            .map(|fault| format!("without {}, {}", fault.name, passing(&fault.without)));
        if let Some(first) = without.next() {
            let rest: Vec<String> = without.collect();
            let joined = std::iter::once(first)
                .chain(rest)
                .collect::<Vec<_>>()
                .join("; ");
            sentences.push(format!("{}.", capital(&joined)));
        }
        if !subjects.is_empty() {
            let names: Vec<&str> = subjects.iter().map(|fault| fault.name.as_str()).collect();
            let names = names.join(" and ");
            sentences.push(format!(
                "The expectation is about {names}, and cannot hold without {}.",
                if subjects.len() == 1 { "it" } else { "them" }
            ));
        }
        if self.sets.len() > 1 {
            sentences.push(format!(
                "No single fault of these sets is necessary: each set alone makes the run fail, and without any fault {}.",
                passing(&self.without_all)
            ));
        }
        sentences
    }

    /// The faults that the paragraph does not name, and the limits of the result.
    fn rest(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let others = self.of_file.saturating_sub(self.faults.len());
        if self.need == FaultNeed::Needed && self.minimal {
            match others {
                0 => {}
                1 => sentences.push("The other fault of the file is not needed.".to_owned()),
                count => sentences.push(format!(
                    "The other {count} faults of the file are not needed."
                )),
            }
        }
        match self.failures {
            0 | 1 => {}
            2 => sentences.push("The run violates one more expectation later.".to_owned()),
            count => sentences.push(format!(
                "The run violates {} more expectations later.",
                number(count - 1)
            )),
        }
        if !self.minimal {
            sentences.push(format!(
                "The analysis was stopped after {} runs, so the named faults may contain some that are not needed.",
                self.runs
            ));
        }
        sentences
    }
}

/// What the observer knew, and the last message that it received.
fn followed(explained: &Explanation) -> Vec<String> {
    let mut sentences = Vec::new();
    let (observer, observed) = (explained.observer.as_deref(), explained.observed.as_deref());
    if let Some((observer, observed)) = observer.zip(observed) {
        let heard = explained.heard.as_ref();
        let held = match explained.held {
            0 => String::new(),
            1 => ", and one later message on this way was dropped or delayed".to_owned(),
            held => format!(", and {held} later messages on this way were dropped or delayed"),
        };
        sentences.push(match heard {
            Some(heard) => format!(
                "{observer} last received a message from {observed} at {}{held}.",
                moment(Duration::from_nanos(heard.at))
            ),
            None => format!("No message from {observed} arrived at {observer}{held}."),
        });
    }
    if let (Some(observer), Some(learnt)) = (observer, &explained.learnt) {
        sentences.push(learnt_sentence(observer, observed, learnt));
    }
    // The first text names the item; the explanation's other lines are longer than a paragraph bears.
    let item = explained.found.first();
    sentences.extend(item.map(|text| sentence(text)));
    sentences
}

fn learnt_sentence(observer: &str, observed: Option<&str>, learnt: &KnowledgeChange) -> String {
    let at = moment(Duration::from_nanos(learnt.at));
    let brief = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("nothing");
        text.split(", ").next().unwrap_or_default().to_owned()
    };
    let (before, after) = (brief(&learnt.before), brief(&learnt.after));
    let by = match &learnt.from {
        Some(from) => format!("by a message from {from}"),
        None => "by a step of its own".to_owned(),
    };
    let of = observed.map_or_else(String::new, |observed| format!(" of {observed}"));
    let change = match before == after {
        true => "changed".to_owned(),
        false => format!("changed from {before} to {after}"),
    };
    format!("The latest knowledge of {observer}{of} {change} at {at}, {by}.")
}

/// The expectation in words.
fn expected(scenario: &Scenario, found: &MinimalFaults) -> String {
    let failure = &found.failure;
    if let Some(name) = failure.expectation.strip_prefix(INVARIANT) {
        return format!("The invariant {} must hold at all times.", name.trim());
    }
    let mut expectations = scenario.expectations.iter();
    let violated =
        expectations.find(|it| it.line == failure.line && it.text == failure.expectation);
    let Some(violated) = violated else {
        return format!("Every run must fulfil this: {}.", failure.expectation);
    };
    let line = match violated.file == scenario.file {
        true => format!("Line {}", violated.line),
        false => format!("Line {} of {}", violated.line, violated.file),
    };
    let from = moment(violated.from);
    let to = violated
        .to
        .map_or_else(|| "the end of the run".to_owned(), moment);
    let inner = condition(&violated.text);
    match &violated.mode {
        Mode::Eventually(_) => format!("{line} expects {inner} at some time from {from} to {to}."),
        Mode::Always(_) => format!("{line} expects {inner} at all times from {from} to {to}."),
        Mode::Never(_) => format!("{line} expects {inner} at no time from {from} to {to}."),
        Mode::Sometimes(_) => format!("{line} expects {inner} in at least one run."),
        Mode::Metric(_, _, Bound { min, max }) => {
            let bound = match (*min, *max) {
                (0, max) => format!("at most {max}"),
                (min, u64::MAX) => format!("at least {min}"),
                (min, max) => format!("from {min} to {max}"),
            };
            let name = violated.text.split('"').nth(1).unwrap_or("the metric");
            format!("{line} expects {name} to be {bound}.")
        }
    }
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

fn number(count: usize) -> String {
    const WORDS: [&str; 10] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];
    let word = WORDS.get(count);
    word.map_or_else(|| count.to_string(), |word| (*word).to_owned())
}

/// Writes a clause as a sentence. The name of a node keeps its small letter.
fn sentence(clause: &str) -> String {
    format!("{}.", capital(without_stop(clause)))
}

fn without_stop(text: &str) -> &str {
    text.trim_end_matches('.')
}

/// Begins a text with a capital letter if its first word is not a name.
fn capital(text: &str) -> String {
    const WORDS: [&str; 8] = ["at", "from", "the", "no", "each", "a", "without", "between"];
    let first = text.split([' ', ',']).next().unwrap_or_default();
    if !WORDS.contains(&first) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

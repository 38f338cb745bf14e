//! Selects variants of a matrix.

use super::definition::Scenario;
use super::error::ScenarioError;
use super::suggestion::suggestion;
use super::variant::Variant;

/// Returns the variants of a file that a selection matches: `loss=10%` matches all variants with this loss,
/// `loss=10%,nodes=30` matches one of them, and an empty selection matches all.
///
/// # Errors
/// Returns an error if the selection matches no variant.
pub(super) fn chosen(
    runs: Vec<Scenario>,
    selection: Option<&str>,
) -> Result<Vec<Scenario>, ScenarioError> {
    let Some(text) = selection else {
        return Ok(runs);
    };
    let Some(first) = runs.first() else {
        return Ok(runs);
    };
    let wrong = |message: String| ScenarioError {
        file: first.file.clone(),
        line: 0,
        key: "--variant".to_owned(),
        message,
    };
    if first.variant.is_empty() {
        let message = "has no `[[matrix]]`, so there is nothing to choose; leave --variant away";
        return Err(wrong(message.to_owned()));
    }
    let wanted = pairs(text, &first.variant).map_err(wrong)?;
    for (word, value) in &wanted {
        if !runs.iter().any(|run| run.variant.has(word, value)) {
            let mut values: Vec<&str> = Vec::new();
            for run in &runs {
                let of_run = run.variant.values().iter();
                let new =
                    of_run.filter(|(known, held)| known == word && !values.contains(&&**held));
                let new: Vec<&str> = new.map(|(_, held)| held.as_str()).collect();
                values.extend(new);
            }
            let values = values.join(", ");
            return Err(wrong(format!(
                "`{word}` is never `{value}`; it is {values}"
            )));
        }
    }
    let fits = |run: &Scenario| {
        let mut wanted = wanted.iter();
        wanted.all(|(word, value)| run.variant.has(word, value))
    };
    if !runs.iter().any(fits) {
        return Err(wrong(format!("no run has all of `{text}`")));
    }
    Ok(runs.into_iter().filter(fits).collect())
}

/// Returns the one variant that a selection matches.
///
/// # Errors
/// Returns an error if the selection matches no variant or several variants.
pub(super) fn only(
    runs: Vec<Scenario>,
    selection: Option<&str>,
) -> Result<Scenario, ScenarioError> {
    let mut runs = chosen(runs, selection)?;
    if runs.len() > 1 {
        return Err(ScenarioError {
            file: runs[0].file.clone(),
            line: 0,
            key: "matrix".to_owned(),
            message: format!(
                "makes {} runs, and here one is needed; choose it, such as --variant '{}'",
                runs.len(),
                runs[0].variant
            ),
        });
    }
    Ok(runs.swap_remove(0))
}

/// Parses the keys and values of a selection. A comma that is not followed by `WORD=` is part of the value before it.
fn pairs(text: &str, variant: &Variant) -> Result<Vec<(String, String)>, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in text.split(',') {
        let pair = part
            .split_once('=')
            .map(|(word, value)| (word.trim(), value));
        let known = |(word, _): &(&str, &str)| variant.words().any(|known| known == *word);
        match (pair.filter(known), pairs.last_mut()) {
            (Some((word, value)), _) => pairs.push((word.to_owned(), value.trim().to_owned())),
            (None, Some((_, value))) if pair.is_none() => *value += &format!(",{part}"),
            (None, _) => {
                let Some((word, _)) = pair else {
                    return Err(format!(
                        "`{part}` is not a valid selection; write WORD=VALUE, such as {variant}"
                    ));
                };
                let near = suggestion(word, variant.words());
                return Err(format!("the matrix has no word `{word}`{near}"));
            }
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::MESH;

    const SWEEP: &str = r#"
scenario = 1
name = "sweep"
about = "Several values."
engines = ["model"]
duration = "5s"

[[matrix]]
nodes = [2, 3]
who = ["n1", "n1, n2"]

[[nodes]]
count = "${nodes}"

[[at]]
time = "1s"
crash = "${who}"
for = "1s"

[[expect]]
eventually = { converged = true }
"#;

    fn runs(selection: Option<&str>) -> Result<Vec<String>, ScenarioError> {
        let runs = Scenario::parse_all("sweep.toml", SWEEP, &(MESH.vocabulary)())?;
        let runs = chosen(runs, selection)?;
        Ok(runs.iter().map(|run| run.variant.to_string()).collect())
    }

    #[test]
    fn every_combination_is_a_run_and_its_own_name_chooses_it() {
        let all = runs(None).unwrap();
        assert_eq!(
            all,
            [
                "nodes=2,who=n1",
                "nodes=2,who=n1, n2",
                "nodes=3,who=n1",
                "nodes=3,who=n1, n2"
            ]
        );
        for name in &all {
            assert_eq!(runs(Some(name)).unwrap(), std::slice::from_ref(name));
        }
        assert_eq!(runs(Some("nodes=3")).unwrap(), all[2..]);
    }

    #[test]
    fn a_selection_that_matches_nothing_lists_the_values() {
        let said = |text| runs(Some(text)).unwrap_err().to_string();
        assert!(said("node=3").contains("`nodes`"), "{}", said("node=3"));
        assert!(said("nodes=5").contains("2, 3"), "{}", said("nodes=5"));
        assert!(said("x").contains("WORD=VALUE"), "{}", said("x"));
    }

    #[test]
    fn a_matrix_is_not_one_scenario_and_a_run_of_it_can_become_one() {
        let why = Scenario::parse("sweep.toml", SWEEP)
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("4 runs") && why.contains("--variant 'nodes=2,who=n1'"),
            "{why}"
        );
        let run = Scenario::parse_all("sweep.toml", SWEEP, &(MESH.vocabulary)())
            .unwrap()
            .remove(1);
        assert_eq!(
            (run.name.as_str(), run.plain_name()),
            ("sweep[nodes=2,who=n1, n2]", "sweep")
        );
        let alone = run.alone();
        assert!(alone.name == "sweep" && alone.variant.is_empty());
    }
}

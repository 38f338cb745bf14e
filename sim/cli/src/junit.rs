//! Results as JUnit XML: one test suite per scenario and engine, one test case per seed. A scenario that was left aside
//! is a suite with one skipped test case.

use crate::catalogue::LeftAside;
use crate::failure::CommandError;
use crate::record::RunRecord;
use crate::sometimes::Sometimes;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;
use std::path::{Path, PathBuf};

/// Collects the results of runs.
pub(crate) struct Junit {
    /// The command of the tool.
    command: &'static str,
    path: PathBuf,
    suites: Vec<Suite>,
}

struct Suite {
    name: String,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    wall_ms: u64,
    /// Each failure as a headline and its details.
    failures: Vec<(String, String)>,
    /// The reason why the case did not run.
    skipped: Option<String>,
}

impl Junit {
    pub(crate) fn new(command: &'static str, path: &Path) -> Self {
        Self {
            command,
            path: path.to_owned(),
            suites: Vec::new(),
        }
    }

    /// Adds a scenario that its engines cannot run.
    pub(crate) fn add_left_aside(&mut self, aside: &LeftAside) {
        let case = Case {
            name: "left aside".to_owned(),
            wall_ms: 0,
            failures: Vec::new(),
            skipped: Some(aside.reason.clone()),
        };
        self.push(aside.scenario.clone(), case);
    }

    /// Adds a run.
    pub(crate) fn add(&mut self, record: &RunRecord, differs: bool) {
        let read = &record.read;
        let name = format!("{} on {}", read.scenario, read.engine);
        let mut failures: Vec<(String, String)> = read
            .failures
            .iter()
            .map(|broken| {
                let causes: String = broken
                    .causes
                    .iter()
                    .map(|cause| format!("  {cause}\n"))
                    .collect();
                let text = format!(
                    "{}\nat {} ms of virtual time: {}\nreproduce: {}\n{causes}",
                    broken.place(),
                    broken.at_ms,
                    broken.why,
                    broken.reproduce
                );
                (broken.expectation.clone(), text)
            })
            .collect();
        if differs {
            failures.push((
                "the same seed must give the same run".to_owned(),
                "two processes gave different traces".to_owned(),
            ));
        }
        let case = Case {
            name: format!("seed {}", read.seed),
            wall_ms: read.wall_ms,
            failures,
            skipped: None,
        };
        self.push(name, case);
    }

    /// Adds the `sometimes` expectations of a scenario: one test case for each that was checked in
    /// several runs.
    pub(crate) fn add_sometimes(&mut self, scenario: &str, engine: &str, all: &[Sometimes]) {
        for it in all.iter().filter(|it| it.runs > 1) {
            let missed = it.is_missed().then(|| {
                (
                    it.text.clone(),
                    format!("line {}: in {}", it.line, it.share()),
                )
            });
            let case = Case {
                name: format!("line {}, over all seeds", it.line),
                wall_ms: 0,
                failures: missed.into_iter().collect(),
                skipped: None,
            };
            self.push(format!("{scenario} on {engine}"), case);
        }
    }

    fn push(&mut self, name: String, case: Case) {
        match self.suites.iter_mut().find(|suite| suite.name == name) {
            Some(suite) => suite.cases.push(case),
            None => self.suites.push(Suite {
                name,
                cases: vec![case],
            }),
        }
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> Result<(), CommandError> {
        let mut bytes = Vec::new();
        self.document(&mut Writer::new_with_indent(&mut bytes, b' ', 2))
            .and_then(|()| {
                bytes.push(b'\n');
                std::fs::write(&self.path, bytes)
            })
            .map_err(|error| {
                CommandError::usage(format!(
                    "--junit: {} cannot be written: {error}",
                    self.path.display()
                ))
            })
    }

    fn document<W: io::Write>(&self, writer: &mut Writer<W>) -> io::Result<()> {
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let tests: usize = self.suites.iter().map(|suite| suite.cases.len()).sum();
        let failed: usize = self.suites.iter().map(Suite::failed).sum();
        let skipped: usize = self.suites.iter().map(Suite::skipped).sum();
        writer
            .create_element("testsuites")
            .with_attribute(("name", self.command))
            .with_attribute(("tests", tests.to_string().as_str()))
            .with_attribute(("failures", failed.to_string().as_str()))
            .with_attribute(("skipped", skipped.to_string().as_str()))
            .write_inner_content(|writer| {
                self.suites.iter().try_for_each(|suite| suite.write(writer))
            })?;
        Ok(())
    }
}

impl Suite {
    fn failed(&self) -> usize {
        let failed = self.cases.iter().filter(|case| !case.failures.is_empty());
        failed.count()
    }

    fn skipped(&self) -> usize {
        let skipped = self.cases.iter().filter(|case| case.skipped.is_some());
        skipped.count()
    }

    fn write<W: io::Write>(&self, writer: &mut Writer<W>) -> io::Result<()> {
        let wall: u64 = self.cases.iter().map(|case| case.wall_ms).sum();
        writer
            .create_element("testsuite")
            .with_attribute(("name", self.name.as_str()))
            .with_attribute(("tests", self.cases.len().to_string().as_str()))
            .with_attribute(("failures", self.failed().to_string().as_str()))
            .with_attribute(("skipped", self.skipped().to_string().as_str()))
            .with_attribute(("time", seconds(wall).as_str()))
            .write_inner_content(|writer| {
                self.cases
                    .iter()
                    .try_for_each(|case| case.write(&self.name, writer))
            })?;
        Ok(())
    }
}

impl Case {
    fn write<W: io::Write>(&self, suite: &str, writer: &mut Writer<W>) -> io::Result<()> {
        let time = seconds(self.wall_ms);
        let case = writer
            .create_element("testcase")
            .with_attribute(("classname", suite))
            .with_attribute(("name", self.name.as_str()))
            .with_attribute(("time", time.as_str()));
        if let Some(reason) = &self.skipped {
            case.write_inner_content(|writer| {
                let skipped = writer.create_element("skipped");
                let skipped = skipped.with_attribute(("message", reason.as_str()));
                skipped.write_empty()?;
                Ok(())
            })?;
            return Ok(());
        }
        if self.failures.is_empty() {
            case.write_empty()?;
            return Ok(());
        }
        case.write_inner_content(|writer| {
            for (message, text) in &self.failures {
                writer
                    .create_element("failure")
                    .with_attribute(("message", message.as_str()))
                    .write_text_content(BytesText::new(text))?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

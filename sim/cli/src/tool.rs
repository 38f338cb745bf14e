//! A tool: its systems and its engines.

use crate::arguments::Sim;
use crate::failure::{CommandError, Completion};
use crate::screen::{Screen, shown_lines};
use crate::{catalogue, diff, explain, programs, replay, search, shrink, sweep};
use clap::{FromArgMatches as _, Subcommand as _};
use phalanx_sim::scenario::{self, Engine, Scenario};
use phalanx_sim::world::Definition;
use phalanx_sim::{Model, Systems};
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// The systems and engines of a command-line tool.
#[derive(Clone, Copy, Debug)]
pub struct Tool<'a> {
    /// The systems that scenario files may name.
    pub systems: Systems<'a>,
    /// The engines in addition to the model.
    pub engines: &'a [ExternalEngine],
    /// The arguments of this executable that precede the commands of the simulator.
    pub subcommand: &'a [&'a str],
}

/// An engine that is a separate program.
#[derive(Clone, Copy, Debug)]
pub struct ExternalEngine {
    /// The engine.
    pub engine: Engine,
    /// The program's file name. It is beside this executable or on PATH.
    pub program: &'static str,
    /// The command that builds the program.
    pub built_by: &'static str,
}

const AFTER_HELP: &str = "\
Exit codes: 0 success; 1 negative result (an expectation failed);
2 wrong usage or a bad file; 3 the same seed gave two different runs;
4 a run to explain passes;
130 interrupted by a signal before any run failed.";

/// Runs the command line of a crate with its own systems, in the model engine.
#[must_use]
pub fn main(systems: &[&'static Definition]) -> ExitCode {
    let tool = Tool {
        systems: Systems(systems),
        engines: &[],
        subcommand: &[],
    };
    let name = programs::name();
    let command = Sim::augment_subcommands(clap::Command::new("simulator"))
        .bin_name(name.clone())
        .about("Run scenarios, search for failing seeds, and explain failures")
        .after_help(AFTER_HELP)
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true);
    let matches = tool.describe(command).get_matches();
    let done = Sim::from_arg_matches(&matches)
        .map_err(CommandError::usage)
        .and_then(|command| tool.run(command, &Screen::new()));
    exit(&name, done)
}

/// Ends the process with the result of a command.
pub(crate) fn leave(done: Result<Completion, CommandError>) -> ! {
    std::process::exit(code(&programs::name(), done).into())
}

/// Returns the exit code of a command; prints the message of a failure after the name of the program.
#[must_use]
pub fn exit(name: &str, done: Result<Completion, CommandError>) -> ExitCode {
    ExitCode::from(code(name, done))
}

fn code(name: &str, done: Result<Completion, CommandError>) -> u8 {
    match done {
        Ok(verdict) => verdict.code(),
        Err(failure) => {
            print_failure(name, &failure);
            failure.code()
        }
    }
}

/// Prints a message for a person on standard error, after the name of the program.
pub(crate) fn complain(message: impl fmt::Display) {
    print_failure(&programs::name(), message);
}

fn print_failure(name: &str, message: impl fmt::Display) {
    let message = message.to_string();
    if !message.is_empty() {
        let message = shown_lines(&message);
        // The error is dropped if standard error is closed too: no other output is left.
        drop(writeln!(std::io::stderr(), "{name}: {message}"));
    }
}

impl Tool<'_> {
    /// Adds the names of mechanisms and planted bugs to the help of a command line's simulator commands.
    #[must_use]
    pub fn describe(&self, command: clap::Command) -> clap::Command {
        let words = self.systems.vocabulary().programs.into_iter();
        let names: Vec<&str> = words.flat_map(|words| words.sabotage).collect();
        let about = match names.as_slice() {
            [] => "Switch a mechanism off, or plant a bug, in every node. These systems have none"
                .to_owned(),
            names => format!(
                "Switch a mechanism off, or plant a bug, in every node; repeat it for several. The names are: {}",
                names.join(", ")
            ),
        };
        ["run", "search", "shrink", "explain", "replay", "diff"]
            .into_iter()
            .fold(command, |command, name| {
                command.mut_subcommand(name, |it| {
                    it.mut_arg("sabotage", |flag| flag.long_help(about.clone()))
                })
            })
    }

    /// Runs one command.
    ///
    /// # Errors
    /// The reason why the command failed.
    pub fn run(&self, command: Sim, screen: &Screen) -> Result<Completion, CommandError> {
        match command {
            Sim::Run(arguments) => sweep::run(screen, self, &arguments),
            Sim::Replay(arguments) => replay::run(screen, self, &arguments),
            Sim::Diff(arguments) => diff::run(screen, self, &arguments),
            Sim::Search(arguments) => search::run(screen, self, &arguments),
            Sim::Shrink(arguments) => shrink::run(screen, self, &arguments),
            Sim::Explain(arguments) => explain::run(screen, self, &arguments),
            Sim::List { files, json } => catalogue::list(screen, self, &files, json),
            Sim::Schema => {
                let schema = scenario::schema(&self.systems.vocabulary());
                screen.line(format!("{schema:#}"))?;
                Ok(Completion::Yes)
            }
        }
    }

    /// Returns the beginning of the tool's own commands: `phalanx sim`.
    pub(crate) fn command(&self) -> &'static str {
        self.systems.0.first().map_or("", |system| system.command)
    }

    /// Returns the model engine for the system of a scenario.
    ///
    /// # Errors
    /// The tool does not know the system.
    pub(crate) fn runner(&self, scenario: &Scenario) -> Result<Model, CommandError> {
        let system = self.systems.named(&scenario.system);
        system.map(Model).map_err(CommandError::usage)
    }

    /// Checks that the tool offers an engine, and that its program is installed.
    ///
    /// # Errors
    /// The tool does not offer the engine, or its program is missing.
    pub(crate) fn check_program(&self, engine: Engine) -> Result<(), CommandError> {
        match engine {
            Engine::Model => Ok(()),
            Engine::Wire | Engine::Madsim => {
                let external = self.external(engine)?;
                programs::find(external.program, external.built_by).map(drop)
            }
        }
    }

    /// Returns the program of an engine.
    ///
    /// # Errors
    /// The tool does not offer the engine.
    pub(crate) fn external(&self, engine: Engine) -> Result<&ExternalEngine, CommandError> {
        let found = self.engines.iter().find(|it| it.engine == engine);
        found.ok_or_else(|| {
            let others = self.engines.iter().map(|it| it.engine.name());
            let names: Vec<&str> = [Engine::Model.name()].into_iter().chain(others).collect();
            CommandError::usage(format!(
                "--engine: this tool does not offer the engine {engine}; there is {}",
                names.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_sim::mesh::MESH;

    #[test]
    fn the_command_line_definition_is_valid() {
        Sim::augment_subcommands(clap::Command::new("simulator")).debug_assert();
    }

    #[test]
    fn an_engine_that_the_tool_does_not_offer_is_an_error_with_the_list() {
        let wire = ExternalEngine {
            engine: Engine::Wire,
            program: "phalanx-sim-wire",
            built_by: "make wire",
        };
        let tool = Tool {
            systems: Systems(&[&MESH]),
            engines: &[wire],
            subcommand: &["sim"],
        };
        assert_eq!(tool.command(), "phalanx sim");
        assert!(tool.external(Engine::Wire).is_ok());
        let why = tool.external(Engine::Madsim).unwrap_err().to_string();
        assert!(
            why.contains("does not offer the engine madsim; there is model, wire"),
            "{why}"
        );
    }
}

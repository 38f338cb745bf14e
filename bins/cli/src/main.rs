//! `phalanx`: the command-line tool.
//!
//! Parses the command line, runs one command and exits with a code: 0 for success, 1 for a negative result, 2 for wrong
//! usage or a bad file, 3 if one seed gave two different runs.
//!
//! - [`arguments`]: the command line itself; start there.
//! - [`authority`]: `ca`, certificates.
//! - [`channels`]: `publish`, `subscribe`, `send`, `kv`, `channels`, `routes`: application data.
//! - [`fleet`]: `dev` and the demo: real daemons on this machine.
//! - [`mesh`]: `status`, `peers`, `links`, `topology`, `services`, `watch`: queries to a live node.
//! - [`registry`]: `registry`, objects of a region.
//! - [`revocation`], for `revoke`.
//! - [`phalanx_sim_cli`]: `sim`: scenarios in the model engine in this process, in other engines as child
//!   processes; also output ([`screen`]), child programs ([`programs`]) and exit codes ([`failure`]).
//! - [`calendar`], for the time.

mod arguments;
mod authority;
mod calendar;
mod channels;
mod fleet;
mod mesh;
mod registry;
mod revocation;

use arguments::{CommandLine, ToolCommand};
use clap::{CommandFactory as _, FromArgMatches as _};
use failure::{CommandError, Completion};
use phalanx_sim::Systems;
use phalanx_sim::mesh::MESH;
use phalanx_sim::scenario::Engine;
use phalanx_sim_cli::{ExternalEngine, Tool, exit, failure, programs, screen};
use screen::Screen;
use std::process::ExitCode;

/// The subcommands of `phalanx sim`: the mesh in all engines.
const SIMULATOR: Tool<'_> = Tool {
    systems: Systems(&[&MESH]),
    engines: &[
        ExternalEngine {
            engine: Engine::Wire,
            program: "phalanx-sim-wire",
            built_by: "make wire",
        },
        ExternalEngine {
            engine: Engine::Madsim,
            program: "phalanx-sim-madsim",
            built_by: "make sim-madsim",
        },
    ],
    subcommand: &["sim"],
};

fn main() -> ExitCode {
    let command = CommandLine::command().mut_subcommand("sim", |sim| SIMULATOR.describe(sim));
    let arguments = CommandLine::from_arg_matches(&command.get_matches());
    let done = arguments
        .map_err(CommandError::usage)
        .and_then(|arguments| run(arguments.command, &Screen::new()));
    exit("phalanx", done)
}

fn run(command: ToolCommand, screen: &Screen) -> Result<Completion, CommandError> {
    match command {
        ToolCommand::Ca(command) => authority::run(command, screen),
        ToolCommand::Dev(arguments) => fleet::dev::run(screen, &arguments),
        ToolCommand::Demo(arguments) => fleet::demo::run(screen, &arguments),
        ToolCommand::Status(ask) => mesh::status(screen, &ask),
        ToolCommand::Ping(arguments) => mesh::ping(screen, &arguments),
        ToolCommand::Peers(arguments) => mesh::peers(screen, &arguments),
        ToolCommand::Links(ask) => mesh::links(screen, &ask),
        ToolCommand::Topology(ask) => mesh::topology(screen, &ask),
        ToolCommand::Services(arguments) => mesh::services(screen, &arguments),
        ToolCommand::Targets(arguments) => mesh::targets(screen, &arguments),
        ToolCommand::Revoke(arguments) => revocation::run(screen, &arguments),
        ToolCommand::Forget(arguments) => mesh::forget(screen, &arguments),
        ToolCommand::Watch(arguments) => mesh::watch(screen, &arguments),
        ToolCommand::Publish(arguments) => channels::publish(screen, &arguments),
        ToolCommand::Subscribe(arguments) => channels::subscribe(screen, &arguments),
        ToolCommand::Send(arguments) => channels::send(screen, &arguments),
        ToolCommand::Kv(arguments) => channels::kv(screen, &arguments),
        ToolCommand::Channels(ask) => channels::channels(screen, &ask),
        ToolCommand::Routes(arguments) => channels::routes(screen, &arguments),
        ToolCommand::Registry(command) => registry::run(screen, &command),
        ToolCommand::Sim(command) => SIMULATOR.run(command, screen),
    }
}

//! `phalanx`: the command-line tool.
//!
//! Parses the command line, runs one command and exits with a code: 0 success, 1 negative result, 2
//! wrong usage or a bad file, 3 the same seed gave two different runs.
//!
//! - [`arguments`]: the command line itself; start there.
//! - [`authority`]: `ca`, certificates.
//! - [`channels`]: `publish`, `subscribe`, `send`, `kv`, `channels`, `routes`: application data.
//! - [`fleet`]: `dev` and the demo: real daemons on this machine.
//! - [`mesh`]: `status`, `peers`, `links`, `topology`, `services`, `watch`: queries to a live node.
//! - [`simulate`]: `sim`: scenarios in the model engine in this process, in other engines as child
//!   processes.
//! - [`screen`], [`calendar`], [`scale`], [`programs`], [`failure`]: output, time, flag values,
//!   child programs, exit codes.

mod arguments;
mod authority;
mod calendar;
mod channels;
mod failure;
mod fleet;
mod mesh;
mod programs;
mod scale;
mod screen;
mod simulate;

use arguments::{Arguments, Command};
use clap::Parser as _;
use failure::{Failure, Verdict};
use screen::Screen;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command, &Screen::new()) {
        Ok(verdict) => ExitCode::from(verdict.code()),
        Err(failure) => {
            let message = failure.to_string();
            if !message.is_empty() {
                // The error is dropped if standard error is closed too: no other output is left.
                let message = screen::shown_lines(&message);
                drop(writeln!(std::io::stderr(), "phalanx: {message}"));
            }
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command, screen: &Screen) -> Result<Verdict, Failure> {
    match command {
        Command::Ca(command) => authority::run(command, screen),
        Command::Dev(arguments) => fleet::dev::run(screen, &arguments),
        Command::Demo(arguments) => fleet::demo::run(screen, &arguments),
        Command::Status(ask) => mesh::status(screen, &ask),
        Command::Peers(arguments) => mesh::peers(screen, &arguments),
        Command::Links(ask) => mesh::links(screen, &ask),
        Command::Topology(ask) => mesh::topology(screen, &ask),
        Command::Services(arguments) => mesh::services(screen, &arguments),
        Command::Targets(arguments) => mesh::targets(screen, &arguments),
        Command::Watch(arguments) => mesh::watch(screen, &arguments),
        Command::Publish(arguments) => channels::publish(screen, &arguments),
        Command::Subscribe(arguments) => channels::subscribe(screen, &arguments),
        Command::Send(arguments) => channels::send(screen, &arguments),
        Command::Kv(arguments) => channels::kv(screen, &arguments),
        Command::Channels(ask) => channels::channels(screen, &ask),
        Command::Routes(arguments) => channels::routes(screen, &arguments),
        Command::Sim(command) => simulate::run(command, screen),
    }
}

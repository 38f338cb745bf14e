//! `phalanx dev`: a local mesh for experiments, with a live table of its nodes.

use super::Fleet;
use crate::arguments::Dev;
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::{NodeClient, admin_of};
use crate::mesh::reply::StatusReply;
use crate::screen::{Paint, Screen, Table, TableCell, count, span};
use phalanx_net::identity::Identity;
use phalanx_sim_cli::interrupt::Interrupt;
use serde_json::json;
use std::collections::BTreeSet;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Interval between two polls of the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A node that does not answer within this time is shown as silent.
const ANSWER_WITHIN: Duration = Duration::from_millis(800);

/// The last known state of one daemon.
struct Seen {
    connection: Option<NodeClient>,
    status: Option<StatusReply>,
    /// Exit status of the process, if it ended.
    ended: Option<ExitStatus>,
}

/// Polls the daemons of a fleet.
struct Watcher {
    identity: Identity,
    seen: Vec<Seen>,
}

pub(crate) fn run(screen: &Screen, arguments: &Dev) -> Result<Completion, CommandError> {
    let mut interrupt = Interrupt::listen()?;
    let regions = &arguments.regions;
    let different: BTreeSet<_> = regions.iter().collect();
    if different.len() < regions.len() {
        return Err(CommandError::usage("--regions: a region is given twice"));
    }
    let nodes = usize::from(arguments.nodes).max(regions.len());
    let service = |_| vec!["dev/1".to_owned()];
    let mut fleet = Fleet::prepare("dev", nodes, service, regions)?;
    fleet.start_all()?;
    announce(screen, &fleet, arguments.json)?;
    let result = show(screen, &mut fleet, arguments, &mut interrupt);
    let ended = fleet.end();
    let formed = result?;
    ended?;
    if arguments.json {
        screen.json(&json!({ "event": "ended" }))?;
    } else {
        screen.line("All daemons ended; their files are removed.")?;
    }
    Ok(if formed {
        Completion::Yes
    } else {
        Completion::No
    })
}

fn announce(screen: &Screen, fleet: &Fleet, as_json: bool) -> Result<(), CommandError> {
    if as_json {
        let daemons = fleet.daemons().iter();
        let nodes: Vec<_> = daemons
            .map(|daemon| {
                json!({
                    "node": daemon.name(),
                    "address": daemon.address(),
                    "pid": daemon.pid(),
                    "region": daemon.region().map(ToString::to_string),
                })
            })
            .collect();
        let (folder, cert_dir) = (fleet.folder(), fleet.cert_dir());
        return screen.json(
            &json!({ "event": "started", "folder": folder, "cert_dir": cert_dir, "nodes": nodes }),
        );
    }
    screen.line(format!(
        "{} in {}",
        count(fleet.daemons().len(), "daemon"),
        fleet.folder().display()
    ))?;
    if let Some(first) = fleet.daemons().first() {
        let (address, cert_dir) = (first.address(), fleet.cert_dir().display());
        screen.line(format!(
            "Try: phalanx peers --node {address} --cert-dir {cert_dir}"
        ))?;
    }
    for daemon in fleet.daemons() {
        if let Some(region) = daemon.region() {
            let (address, cert_dir) = (daemon.address(), fleet.cert_dir().display());
            screen.line(format!(
                "The registry of {region}: phalanx registry status --node {address} --cert-dir {cert_dir}"
            ))?;
        }
    }
    screen.line("")
}

/// Shows the fleet until the time is up or the user ends it; returns whether the fleet formed one mesh.
fn show(
    screen: &Screen,
    fleet: &mut Fleet,
    arguments: &Dev,
    interrupt: &mut Interrupt,
) -> Result<bool, CommandError> {
    let mut watcher = Watcher::new(fleet)?;
    let (start, mut formed, mut drawn) = (Instant::now(), false, 0);
    let end = arguments.limit.end();
    loop {
        let due = end.is_some_and(|end| Instant::now() >= end);
        if due || interrupt.wait(LOOK_EVERY) {
            return Ok(formed);
        }
        if formed {
            // A daemon may end after the mesh has formed, because users kill nodes in experiments; the table then shows
            // the ended daemon.
            watcher.ended(fleet)?;
        } else {
            fleet.check_running()?;
        }
        watcher.look(fleet);
        let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        if screen.is_terminal() && !arguments.json {
            drawn = screen.redraw(&watcher.table(fleet), drawn)?;
        }
        if !formed && watcher.is_whole() {
            formed = true;
            if arguments.json {
                screen.json(
                    &json!({ "event": "formed", "after_ms": elapsed, "hash": watcher.hash() }),
                )?;
            } else if !screen.is_terminal() {
                screen.table(&watcher.table(fleet))?;
                screen.line(format!(
                    "The mesh formed in {}: each node sees all others alive.",
                    span(elapsed)
                ))?;
            }
        }
    }
}

impl Watcher {
    fn new(fleet: &Fleet) -> Result<Self, CommandError> {
        let seen = fleet.daemons().iter().map(|_| Seen {
            connection: None,
            status: None,
            ended: None,
        });
        Ok(Self {
            identity: admin_of(fleet.cert_dir())?,
            seen: seen.collect(),
        })
    }

    /// Records the daemons whose process has ended.
    fn ended(&mut self, fleet: &mut Fleet) -> Result<(), CommandError> {
        for (index, seen) in self.seen.iter_mut().enumerate() {
            if let Some(status) = fleet.daemon(index).ended()? {
                *seen = Seen {
                    connection: None,
                    status: None,
                    ended: Some(status),
                };
            }
        }
        Ok(())
    }

    /// Polls every running daemon.
    fn look(&mut self, fleet: &Fleet) {
        let running = self
            .seen
            .iter_mut()
            .zip(fleet.daemons())
            .filter(|(_, daemon)| daemon.pid().is_some());
        for (seen, daemon) in running {
            if seen.connection.is_none() {
                let address = daemon.address().to_string();
                seen.connection = NodeClient::connect(&address, &self.identity, ANSWER_WITHIN).ok();
            }
            seen.status = seen.connection.as_mut().and_then(|node| node.status().ok());
            if seen.status.is_none() {
                seen.connection = None;
            }
        }
    }

    /// Returns whether all nodes have equal views and see all members alive.
    fn is_whole(&self) -> bool {
        let nodes = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        self.seen.iter().all(|seen| {
            seen.status
                .as_ref()
                .is_some_and(|it| it.members.alive == nodes && Some(&it.hash) == self.hash())
        })
    }

    fn hash(&self) -> Option<&String> {
        self.seen
            .first()?
            .status
            .as_ref()
            .map(|status| &status.hash)
    }

    fn table(&self, fleet: &Fleet) -> Table {
        let mut table = Table::new(&[
            "node", "address", "phase", "alive", "suspect", "down", "links", "view",
        ])
        .optional(&["view", "address"]);
        for (seen, daemon) in self.seen.iter().zip(fleet.daemons()) {
            let mut row = vec![
                TableCell::new(daemon.name()).paint(Paint::Bold),
                TableCell::new(daemon.address().to_string()),
            ];
            match &seen.status {
                None => {
                    row.push(match seen.ended {
                        None => TableCell::new("silent").paint(Paint::Warn),
                        Some(status) => TableCell::new(status.to_string()).paint(Paint::Bad),
                    });
                    row.resize(8, TableCell::new(""));
                }
                Some(status) => {
                    let many = |number: u32, paint: Paint| {
                        TableCell::number(number).paint(if number == 0 {
                            Paint::Dim
                        } else {
                            paint
                        })
                    };
                    row.extend([
                        TableCell::new(&status.phase),
                        many(status.members.alive, Paint::Good),
                        many(status.members.suspect, Paint::Warn),
                        many(status.members.down, Paint::Bad),
                        TableCell::number(status.links.len()),
                        TableCell::new(&status.hash).paint(Paint::Dim),
                    ]);
                }
            }
            table.row(row);
        }
        table
    }
}

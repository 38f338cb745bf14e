//! A mesh of real daemons on this machine, in a temporary directory that is removed at the end.
//!
//! - [`daemon`]: one process.
//! - [`dev`]: `phalanx dev`.
//! - [`demo`]: `make demo`.

pub(crate) mod daemon;
pub(crate) mod demo;
pub(crate) mod dev;

use crate::failure::CommandError;
use crate::programs;
use daemon::{DaemonProcess, Launch};
use phalanx_core::identity::NodeId;
use phalanx_core::registry::name::RegionId;
use phalanx_net::entropy;
use phalanx_net::identity::{CA_DAYS, ExtraNames, NODE_DAYS, Subject, Validity, ca_init, ca_issue};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A fleet. Dropping a fleet ends its processes and removes its files.
pub(crate) struct Fleet {
    daemons: Vec<DaemonProcess>,
    cert_dir: PathBuf,
    // This field is declared last, so that the daemons end before their files are removed.
    folder: TempDir,
}

impl Fleet {
    /// Prepares `n1` to `n<nodes>` without starting them; the first two are the seed nodes of the
    /// others. The first nodes run the registries of the regions; the first region is the primary one.
    pub(crate) fn prepare(
        mesh: &str,
        nodes: usize,
        service: impl Fn(usize) -> Vec<String>,
        regions: &[RegionId],
    ) -> Result<Self, CommandError> {
        let program = programs::find("phalanxd", "make build")?;
        let failed = |error: std::io::Error| {
            CommandError::failed(format!("cannot create a directory for the fleet: {error}"))
        };
        let folder = tempfile::Builder::new()
            .prefix("phalanx-")
            .tempdir()
            .map_err(failed)?;
        let cert_dir = folder.path().join("certificates");
        ca_init(
            &cert_dir,
            mesh,
            Validity::days(crate::calendar::now(), CA_DAYS),
        )
        .map_err(CommandError::failed)?;
        for (index, region) in regions.iter().enumerate() {
            issue(&cert_dir, (mesh, &daemon_name(index)), region)?;
        }
        let addresses = free_addresses(nodes)?;
        let daemons = addresses.iter().enumerate().map(|(index, address)| {
            let name = daemon_name(index);
            let primary = regions.first().cloned();
            DaemonProcess::new(Launch {
                program: program.clone(),
                mesh: mesh.to_owned(),
                address: *address,
                targets: addresses
                    .iter()
                    .take(2)
                    .filter(|target| *target != address)
                    .copied()
                    .collect(),
                services: service(index),
                registry: regions.get(index).cloned().zip(primary),
                cert_dir: cert_dir.clone(),
                state_dir: folder.path().join(&name),
                log: folder.path().join(format!("{name}.log")),
                name,
            })
        });
        Ok(Self {
            daemons: daemons.collect(),
            cert_dir,
            folder,
        })
    }

    pub(crate) fn start_all(&mut self) -> Result<(), CommandError> {
        self.daemons.iter_mut().try_for_each(DaemonProcess::start)
    }

    pub(crate) fn daemons(&self) -> &[DaemonProcess] {
        &self.daemons
    }

    pub(crate) fn daemon(&mut self, index: usize) -> &mut DaemonProcess {
        &mut self.daemons[index]
    }

    pub(crate) fn cert_dir(&self) -> &Path {
        &self.cert_dir
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns an error if a daemon ended without being asked to.
    pub(crate) fn check_running(&mut self) -> Result<(), CommandError> {
        for daemon in &mut self.daemons {
            if let Some(status) = daemon.ended()? {
                let (name, words) = (daemon.name(), daemon.log_tail());
                return Err(CommandError::failed(format!(
                    "{name} ended unexpectedly with {status}; the end of its log:\n{words}"
                )));
            }
        }
        Ok(())
    }

    /// Ends all daemons in order, then removes the files.
    pub(crate) fn end(mut self) -> Result<(), CommandError> {
        self.daemons.iter().for_each(DaemonProcess::ask_to_end);
        let mut result = Ok(());
        for daemon in &mut self.daemons {
            result = result.and(daemon.wait_for_end());
        }
        let Self {
            daemons, folder, ..
        } = self;
        drop(daemons);
        let path = folder.path().display().to_string();
        folder
            .close()
            .map_err(|error| CommandError::failed(format!("{path} cannot be removed: {error}")))?;
        result
    }
}

fn daemon_name(index: usize) -> String {
    format!("n{}", index + 1)
}

/// Issues the certificate of a node that runs the registry of a region.
fn issue(
    cert_dir: &Path,
    (mesh, name): (&str, &str),
    region: &RegionId,
) -> Result<(), CommandError> {
    let id = NodeId::new(name).map_err(CommandError::failed)?;
    let subject = Subject::node(mesh, id).map_err(CommandError::failed)?;
    let names = ExtraNames {
        registry: Some(region.clone()),
        ..ExtraNames::default()
    };
    let validity = Validity::days(crate::calendar::now(), NODE_DAYS);
    let issued = ca_issue(cert_dir, &subject, cert_dir, validity, &names);
    issued.map(drop).map_err(CommandError::failed)
}

/// First port of the default range from which the system assigns ports to outgoing connections.
const EPHEMERAL: u16 = 32_768;
/// Number of ports below that range that are searched.
const PORTS: u16 = 16_384;

/// Returns loopback addresses with free ports. All ports stay bound until all have been found. None of the ports is in
/// the range that the system assigns to outgoing connections, so the port of a daemon is still free when the daemon
/// restarts.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, CommandError> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let end = range
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|first: &u16| *first > PORTS)
        .unwrap_or(EPHEMERAL);
    // Fleets that start at the same time begin their search at different ports.
    let offset = entropy::seed().map_err(CommandError::failed)? % u64::from(PORTS);
    let ports = (0..u64::from(PORTS)).map(|step| (offset + step) % u64::from(PORTS));
    let listeners: Vec<TcpListener> = ports
        .filter_map(|port| u16::try_from(port).ok())
        .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, end - PORTS + port)).ok())
        .take(count)
        .collect();
    if listeners.len() < count {
        let found = listeners.len();
        let first = end - PORTS;
        return Err(CommandError::failed(format!(
            "{count} free ports are needed, and only {found} from {first} to {} are free",
            end - 1
        )));
    }
    listeners
        .iter()
        .map(|listener| listener.local_addr().map_err(CommandError::failed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_are_free_different_and_outside_the_range_of_outgoing_connections() {
        let addresses = free_addresses(20).unwrap();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 20);
        let dialled_from = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.local_addr().unwrap().port()
        };
        assert!(
            addresses.iter().all(|it| it.port() < dialled_from),
            "{addresses:?} {dialled_from}"
        );
    }
}

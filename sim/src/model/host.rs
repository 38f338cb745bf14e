//! A simulated machine: its power, disk, certificate, traffic, and the slots of its processes.

use super::context::Context;
use crate::disk::{DiskChange, DiskError, DiskFault, Files, Left};
use crate::scenario::{CertificateChange, Scenario};
use crate::world::{HostTraffic, LocalHost, Process, ProcessStartError, Program, Start};
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use phalanx_core::random::Random;
use phalanx_core::time::Wall;

/// The values that a process starts with, except those of its host.
pub(super) struct StartFacts<'a> {
    pub scenario: &'a Scenario,
    pub host: usize,
    /// The index of the process on its host.
    pub place: usize,
    pub life: u32,
    pub wall: Wall,
    /// The address of the host since this start.
    pub address: SocketAddr,
    pub random: Random,
}

/// A host.
pub(super) struct SimulatedHost {
    powered: bool,
    disk: Files,
    /// The state of the host's certificate.
    certificate: CertificateChange,
    traffic: HostTraffic,
    /// The slots of the host's processes.
    processes: Range<usize>,
}

impl SimulatedHost {
    pub(super) fn new(processes: Range<usize>) -> Self {
        Self {
            powered: true,
            disk: Files::default(),
            certificate: CertificateChange::Rotated,
            traffic: HostTraffic::default(),
            processes,
        }
    }

    pub(super) const fn is_powered(&self) -> bool {
        self.powered
    }

    pub(super) const fn set_powered(&mut self, powered: bool) {
        self.powered = powered;
    }

    pub(super) const fn set_certificate(&mut self, certificate: CertificateChange) {
        self.certificate = certificate;
    }

    /// Returns the slots of the host's processes.
    pub(super) fn processes(&self) -> Range<usize> {
        self.processes.clone()
    }

    /// Returns whether the host runs one process at most.
    pub(super) fn runs_one(&self) -> bool {
        self.processes.len() == 1
    }

    /// Returns the index of a process on the host.
    pub(super) const fn place(&self, slot: usize) -> usize {
        slot - self.processes.start
    }

    pub(super) const fn traffic(&self) -> HostTraffic {
        self.traffic
    }

    /// Counts a message that the host sends to another.
    pub(super) const fn count_sent(&mut self, bytes: usize) {
        self.traffic.bytes += bytes as u64;
        self.traffic.messages += 1;
    }

    pub(super) const fn disk(&self) -> &Files {
        &self.disk
    }

    /// Starts a write; returns its number and the time at which it completes.
    pub(super) fn begin_write(
        &mut self,
        now: u64,
        slot: usize,
        write: DiskChange,
        synced: bool,
    ) -> (u64, u64) {
        self.disk.begin(now, slot, write, synced)
    }

    /// Completes a write. Returns `None` if a crash dropped the write.
    pub(super) fn end_write(
        &mut self,
        number: u64,
    ) -> Option<Result<(), (DiskError, DiskChange, bool)>> {
        self.disk.end(number)
    }

    /// Drops the writes in progress of a process.
    pub(super) fn forget_writes(&mut self, slot: usize) {
        self.disk.forget(slot);
    }

    pub(super) fn set_disk_fault(&mut self, fault: Option<DiskFault>, step: Option<usize>) {
        self.disk.set_fault(fault, step);
    }

    /// Makes each operation of the disk take longer.
    pub(super) const fn set_disk_delay(&mut self, delay: Duration, step: Option<usize>) {
        self.disk.set_delay(delay, step);
    }

    /// Crashes the disk; returns the number of writes that the crash affected.
    pub(super) fn crash(&mut self, context: &mut Context<'_, '_>, left: Left) -> u64 {
        context.crash(&mut self.disk, left)
    }

    /// Replaces the disk with a copy of another disk.
    pub(super) fn set_disk(&mut self, disk: Files) {
        self.disk = disk;
    }

    /// Prepares the start of a process on the host. A program cannot be loaded from a device that fails reads.
    pub(super) fn prepare(
        &mut self,
        program: &mut dyn Program,
        host: usize,
    ) -> Result<(), ProcessStartError> {
        if self.disk.fails_reads() {
            let (file, error) = (program.name().into(), DiskError::Io);
            return Err(ProcessStartError { file, error });
        }
        program.prepare(host, &mut self.disk)
    }

    /// Starts a process on the host.
    pub(super) fn start(
        &mut self,
        program: &mut dyn Program,
        birth: StartFacts<'_>,
    ) -> Box<dyn Process> {
        program.start(Start {
            scenario: birth.scenario,
            host: birth.host,
            program: birth.place,
            life: birth.life,
            wall: birth.wall,
            address: birth.address,
            certificate: self.certificate,
            random: birth.random,
            disk: &mut self.disk,
        })
    }

    /// Lets a process access the host directly within a step. `taken` holds the ports of other processes.
    pub(super) fn access(
        &mut self,
        taken: impl Iterator<Item = u16>,
        wall: Wall,
        step: impl FnOnce(LocalHost<'_>),
    ) {
        step(LocalHost {
            taken: taken.collect(),
            files: &mut self.disk,
            wall,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_counts_its_messages_and_numbers_its_processes() {
        let mut host = SimulatedHost::new(3..5);
        host.count_sent(10);
        host.count_sent(0);
        let HostTraffic { bytes, messages } = host.traffic();
        assert_eq!((bytes, messages), (10, 2));
        assert_eq!((host.place(4), host.runs_one()), (1, false));
    }

    #[test]
    fn the_copy_of_a_disk_is_independent() {
        let (mut one, mut other) = (SimulatedHost::new(0..1), SimulatedHost::new(1..2));
        let write = |bytes: &[u8]| DiskChange::Replace("a".into(), bytes.to_vec());
        let (number, done) = one.begin_write(0, 0, write(b"1"), true);
        assert!(done > 0 && one.end_write(number) == Some(Ok(())));
        other.set_disk(one.disk().clone());
        let (number, _) = other.begin_write(0, 1, write(b"2"), true);
        assert!(other.end_write(number).is_some());
        assert_eq!(one.disk().read("a"), Some(&b"1"[..]));
        assert_eq!(other.disk().read("a"), Some(&b"2"[..]));
    }
}

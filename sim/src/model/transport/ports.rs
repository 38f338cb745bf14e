//! The ports on which processes listen.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The ports of all hosts.
#[derive(Debug)]
pub(super) struct Ports {
    /// The listening process of each port, by host and port.
    listening: BTreeMap<(usize, u16), usize>,
    /// The ports of each process, in the order in which it opened them.
    by_process: Vec<Vec<u16>>,
}

impl Ports {
    pub(super) fn new(processes: usize) -> Self {
        Self {
            listening: BTreeMap::new(),
            by_process: vec![Vec::new(); processes],
        }
    }

    /// Listens on a port, unless another process of the host does; returns that process.
    pub(super) fn listen(&mut self, host: usize, port: u16, slot: usize) -> Result<(), usize> {
        match self.listening.entry((host, port)) {
            Entry::Vacant(free) => {
                free.insert(slot);
                self.by_process[slot].push(port);
            }
            Entry::Occupied(held) if *held.get() == slot => {}
            Entry::Occupied(held) => return Err(*held.get()),
        }
        Ok(())
    }

    /// Stops listening on a port.
    pub(super) fn unlisten(&mut self, host: usize, port: u16, slot: usize) {
        if self.listening.get(&(host, port)) == Some(&slot) {
            self.listening.remove(&(host, port));
            self.by_process[slot].retain(|own| *own != port);
        }
    }

    /// Stops listening on all ports of a process. Its datagrams in flight keep their source port.
    pub(super) fn close(&mut self, slot: usize) {
        self.listening.retain(|_, of| *of != slot);
    }

    /// Forgets the ports of a process that ended.
    pub(super) fn forget(&mut self, slot: usize) {
        self.by_process[slot].clear();
        self.close(slot);
    }

    /// Returns the process that listens on a port of a host.
    pub(super) fn holder(&self, host: usize, port: u16) -> Option<usize> {
        self.listening.get(&(host, port)).copied()
    }

    /// Returns the source port of a process's datagrams: its first port, or 0.
    pub(super) fn source(&self, slot: usize) -> u16 {
        self.by_process[slot].first().copied().unwrap_or(0)
    }

    /// Returns the ports of a host on which other processes listen.
    pub(super) fn taken(&self, host: usize, slot: usize) -> impl Iterator<Item = u16> {
        let ports = self.listening.range((host, 0)..=(host, u16::MAX));
        let taken = ports.filter(move |(_, of)| **of != slot);
        taken.map(|((_, port), _)| *port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_one_listener_at_a_time() {
        let mut ports = Ports::new(2);
        assert_eq!(ports.listen(0, 80, 0), Ok(()));
        assert_eq!(ports.listen(0, 80, 0), Ok(()), "it listens already");
        assert_eq!(ports.listen(0, 80, 1), Err(0));
        assert_eq!(ports.listen(1, 80, 1), Ok(()), "another host");
        assert_eq!(ports.taken(0, 1).collect::<Vec<_>>(), [80]);
        ports.unlisten(0, 80, 1);
        assert_eq!(ports.holder(0, 80), Some(0), "it is not the listener");
        ports.unlisten(0, 80, 0);
        assert_eq!((ports.holder(0, 80), ports.source(0)), (None, 0));
    }

    #[test]
    fn datagrams_in_flight_keep_their_source_port_until_the_process_is_gone() {
        let mut ports = Ports::new(1);
        assert_eq!(ports.listen(0, 80, 0), Ok(()));
        ports.close(0);
        assert_eq!((ports.holder(0, 80), ports.source(0)), (None, 80));
        ports.forget(0);
        assert_eq!(ports.source(0), 0);
    }
}

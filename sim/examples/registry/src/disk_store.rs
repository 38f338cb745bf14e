//! A store on the simulated disk: a log of records, each with a checksum, written and synced one after another.
//!
//! A record begins an epoch or commits a group. At a start, the records are read up to the first one that is damaged or
//! incomplete; the rest is cut off.

use crate::archive::SharedArchive;
use phalanx_core::random::hash_bytes;
use phalanx_core::registry::store::{CommitGroup, StoreFailure, StoreImage};
use phalanx_core::registry::volatile_store::VolatileStore;
use phalanx_sim::disk::{DiskChange, DiskError, Files};
use phalanx_sim::world::{Effects, Ticket};

/// The file of the log.
const FILE: &str = "registry.log";
/// The file of the backup.
const BACKUP: &str = "registry.backup";

/// A record that is being written.
#[derive(Clone, Debug, PartialEq)]
enum Record {
    Epoch { incarnation: u64 },
    Group { index: usize, order: Ticket },
}

impl Record {
    /// The record as a line.
    fn line(&self) -> String {
        let content = match self {
            Self::Epoch { incarnation } => format!("epoch {incarnation}"),
            Self::Group { index, .. } => format!("group {index}"),
        };
        format!("{:016x} {content}\n", hash_bytes(content.as_bytes()))
    }

    /// The record of a line without its end; none if the line is damaged.
    fn read(line: &str) -> Option<Self> {
        let (hash, content) = line.split_once(' ')?;
        if hash != format!("{:016x}", hash_bytes(content.as_bytes())) {
            return None;
        }
        let (kind, number) = content.split_once(' ')?;
        match kind {
            "epoch" => Some(Self::Epoch {
                incarnation: number.parse().ok()?,
            }),
            "group" => Some(Self::Group {
                index: number.parse().ok()?,
                order: Ticket(0),
            }),
            _ => None,
        }
    }
}

/// Reads the records up to the first one that is damaged. Returns their content and their text.
fn read(text: &str, archive: &SharedArchive) -> (VolatileStore, String) {
    let (mut content, mut records) = (VolatileStore::default(), String::new());
    for line in text.split_inclusive('\n') {
        let record = line.strip_suffix('\n').and_then(Record::read);
        let Some(record) = record else {
            break;
        };
        records += line;
        match record {
            Record::Epoch { incarnation } => drop(content.open(incarnation)),
            Record::Group { index, .. } => {
                let archive = archive.borrow();
                let group = archive.group(index).expect("a stored group is archived");
                content.commit(group).expect("the log is in order");
            }
        }
    }
    (content, records)
}

/// A completion for the sequencer.
#[derive(Debug)]
pub enum StoreEvent {
    /// The store is open.
    Opened(Box<StoreImage>),
    /// The store could not be opened.
    OpenFailed(StoreFailure),
    /// A group is durable.
    Committed(Ticket, CommitGroup),
    /// A group is durable, and the store reports a failure.
    Lost(Ticket, CommitGroup),
    /// A group was not stored.
    Failed(Ticket, StoreFailure),
}

/// The store of one process.
#[derive(Debug)]
pub struct DiskStore {
    archive: SharedArchive,
    /// The content of the durable records.
    content: VolatileStore,
    /// The durable records.
    records: String,
    /// The backup: its records, and the number of its batches.
    backup: Option<(String, u64)>,
    /// The record that is being written, and the ticket of the write.
    writing: Option<(Ticket, Record)>,
    written: u64,
    /// Whether writes are synced; unless a bug is planted, they are.
    is_synced: bool,
    /// Whether the completion of the next commit is reported as a failure.
    loses_next: bool,
}

impl DiskStore {
    /// Reads the records of the disk.
    #[must_use]
    pub fn start(disk: &mut Files, archive: SharedArchive, is_synced: bool) -> Self {
        let bytes = disk.read(FILE).unwrap_or_default().to_vec();
        let (content, records) = read(&String::from_utf8_lossy(&bytes), &archive);
        if records.len() < bytes.len() {
            disk.put(FILE, records.clone().into_bytes());
        }
        let backup = disk.read(BACKUP).map(|bytes| {
            let (content, records) = read(&String::from_utf8_lossy(bytes), &archive);
            (records, content.head())
        });
        Self {
            archive,
            content,
            records,
            backup,
            writing: None,
            written: 0,
            is_synced,
            loses_next: false,
        }
    }

    /// The content of the durable records.
    #[must_use]
    pub const fn content(&self) -> &VolatileStore {
        &self.content
    }

    /// Lets the next commit be stored and reported as failed.
    pub const fn lose_next(&mut self) {
        self.loses_next = true;
    }

    /// Copies the durable records into the backup.
    pub fn back_up(&mut self, out: &mut Effects) {
        let bytes = self.records.clone().into_bytes();
        self.change(DiskChange::Replace(BACKUP.into(), bytes), true, out);
        self.backup = Some((self.records.clone(), self.content.head()));
    }

    /// Puts the backup in the place of the records. Returns whether there is one.
    pub fn restore(&mut self, out: &mut Effects) -> bool {
        let Some((records, head)) = self.backup.clone() else {
            return false;
        };
        let change = DiskChange::Replace(FILE.into(), records.into_bytes());
        self.change(change, true, out);
        self.archive.borrow_mut().restore(head);
        true
    }

    fn change(&mut self, change: DiskChange, is_synced: bool, out: &mut Effects) -> Ticket {
        self.written += 1;
        let ticket = Ticket(self.written);
        out.write(ticket, change, is_synced);
        ticket
    }

    /// Begins an epoch.
    pub fn open(&mut self, incarnation: u64, out: &mut Effects) {
        self.write(Record::Epoch { incarnation }, out);
    }

    /// Commits a group.
    pub fn commit(&mut self, order: Ticket, group: CommitGroup, out: &mut Effects) {
        let index = self.archive.borrow_mut().keep(group);
        self.write(Record::Group { index, order }, out);
    }

    fn write(&mut self, record: Record, out: &mut Effects) {
        debug_assert!(self.writing.is_none(), "the sequencer orders one at a time");
        let change = DiskChange::Append(FILE.into(), record.line().into_bytes());
        let ticket = self.change(change, self.is_synced, out);
        self.writing = Some((ticket, record));
    }

    /// A write has ended.
    pub fn on_written(
        &mut self,
        ticket: Ticket,
        result: Result<(), DiskError>,
    ) -> Option<StoreEvent> {
        let (_, record) = self.writing.take_if(|(writing, _)| *writing == ticket)?;
        if result.is_ok() {
            self.records += &record.line();
        }
        let failure = match result {
            Ok(()) => None,
            Err(DiskError::Full) => Some(StoreFailure::Full),
            Err(DiskError::Io | DiskError::Path(_)) => Some(StoreFailure::Failed),
        };
        Some(match (record, failure) {
            (Record::Epoch { incarnation }, None) => {
                StoreEvent::Opened(Box::new(self.content.open(incarnation)))
            }
            (Record::Epoch { .. }, Some(failure)) => StoreEvent::OpenFailed(failure),
            (Record::Group { order, .. }, Some(failure)) => StoreEvent::Failed(order, failure),
            (Record::Group { index, order }, None) => {
                let archive = self.archive.borrow();
                let group = archive.group(index).expect("the group is archived").clone();
                match self.content.commit(&group) {
                    Ok(()) if std::mem::take(&mut self.loses_next) => {
                        StoreEvent::Lost(order, group)
                    }
                    Ok(()) => StoreEvent::Committed(order, group),
                    Err(failure) => StoreEvent::Failed(order, failure),
                }
            }
        })
    }
}

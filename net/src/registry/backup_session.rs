//! A backup of the store on its way to a caller.

use super::message::status::refused;
use super::proto::{self, BackUpRegistryReply, back_up_registry_reply::Part};
use super::store::{BackupError, BackupTurn, StoreContent};
use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::{Code, Status};

/// Size of a piece, in bytes.
const PIECE: usize = 256 * 1024;
/// Longest time for which a caller takes no piece.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A part of a backup, or the end of the stream.
pub(super) type BackupReply = Result<BackUpRegistryReply, Status>;

fn content(content: &StoreContent) -> Part {
    let position = content.position;
    Part::Content(proto::BackupContent {
        region: content.region.to_string(),
        revision: Some(proto::Revision {
            epoch: position.epoch.number,
            sequence: position.sequence,
        }),
        objects: content.objects,
        bytes: content.bytes,
    })
}

fn unread(error: &io::Error) -> Status {
    Status::internal(format!("the backup cannot be read: {error}"))
}

fn unsaved(error: &BackupError) -> Status {
    refused(Code::Unavailable, "BACKUP_FAILED", error.to_string())
}

fn ended<T>(_: T) -> Status {
    Status::unavailable("the registry has stopped")
}

/// The next piece; empty at the end.
fn read(mut file: File) -> io::Result<(Vec<u8>, File)> {
    let mut piece = Vec::new();
    (&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
    Ok((piece, file))
}

/// Saves the store, and sends the backup. Returns nothing if the caller is gone, or takes nothing any more.
async fn send(
    turn: BackupTurn,
    out: &mpsc::Sender<BackupReply>,
) -> Result<Option<BackupTurn>, Status> {
    let saving = spawn_blocking(move || (turn.save(), turn)).await;
    let (saved, turn) = saving.map_err(ended)?;
    let (facts, mut file) = saved.map_err(|error| unsaved(&error))?;
    let mut part = content(&facts);
    loop {
        let reply = BackUpRegistryReply { part: Some(part) };
        if !matches!(timeout(IDLE_MAX, out.send(Ok(reply))).await, Ok(Ok(()))) {
            return Ok(None);
        }
        let read = spawn_blocking(move || read(file)).await;
        let (piece, rest) = read.map_err(ended)?.map_err(|error| unread(&error))?;
        if piece.is_empty() {
            return Ok(Some(turn));
        }
        (part, file) = (Part::Piece(piece), rest);
    }
}

/// Sends a backup on a stream.
pub(super) async fn serve(turn: BackupTurn, out: mpsc::Sender<BackupReply>) {
    match send(turn, &out).await {
        Ok(Some(turn)) => {
            // An error means that the runtime ends.
            let _ended = spawn_blocking(move || turn.complete()).await.is_err();
        }
        Ok(None) => {}
        Err(status) => {
            // The caller may be gone.
            let _gone = out.send(Err(status)).await.is_err();
        }
    }
}

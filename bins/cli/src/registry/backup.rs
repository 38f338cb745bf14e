//! Saving and restoring a whole registry.

use super::{call, declined, show};
use crate::arguments::registry::{ObjectFormat, RegistryAsk, RegistryRestore};
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::NodeClient;
use crate::screen::{Screen, TableCell, size};
use phalanx_net::registry::proto::{self, back_up_registry_reply::Part};
use phalanx_net::registry::store::{self, StoreContent};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;
use tonic::Streaming;

/// Longest time for which a registry may send nothing while it saves its store.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// The directory of the registry in the state directory of a daemon.
const REGISTRY: &str = "registry";

fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    let text = format!("{}: cannot be {doing}", path.display());
    move |error| CommandError::failed(format!("{text}: {error}"))
}

/// Creates a file that only this user can read.
fn create(path: &Path) -> Result<File, CommandError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return failed("created", path)(error);
        }
        CommandError::usage(format!(
            "{}: exists; a backup overwrites nothing, so give another name",
            path.display()
        ))
    })
}

/// Receives the backup into a file.
fn receive(
    node: &mut NodeClient,
    mut parts: Streaming<proto::BackUpRegistryReply>,
    mut file: File,
    path: &Path,
) -> Result<(), CommandError> {
    let (mut expected, mut received) = (None, 0);
    let late = || {
        let seconds = SILENCE_MAX.as_secs();
        CommandError::failed(format!("the registry has sent nothing for {seconds} s"))
    };
    loop {
        let next = node.block_on(async { timeout(SILENCE_MAX, parts.message()).await });
        let next = next.map_err(|_| late())?;
        let Some(reply) = next.map_err(|status| declined(node, &status))? else {
            break;
        };
        match reply.part {
            Some(Part::Content(content)) => expected = Some(content.bytes),
            Some(Part::Piece(piece)) => {
                file.write_all(&piece).map_err(failed("written", path))?;
                received += piece.len() as u64;
            }
            None => {}
        }
    }
    if expected != Some(received) {
        return Err(CommandError::failed(format!(
            "the backup ended after {received} bytes; try again"
        )));
    }
    file.sync_all().map_err(failed("flushed", path))
}

pub(super) fn backup(
    screen: &Screen,
    path: &Path,
    ask: &RegistryAsk,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let parts = call(&mut node, async |client| {
        let request = proto::BackUpRegistryRequest {};
        client.objects().back_up_registry(request).await
    })?;
    let file = create(path)?;
    let saved = receive(&mut node, parts, file, path)
        .and_then(|()| store::read_content(path).map_err(CommandError::failed));
    let content = saved.inspect_err(|_| {
        // Half a backup is worse than none, and the first error is the one to report.
        drop(fs::remove_file(path));
    })?;
    show_content(screen, ask.format(), "saved", path, &content)?;
    Ok(Completion::Yes)
}

pub(super) fn restore(
    screen: &Screen,
    arguments: &RegistryRestore,
) -> Result<Completion, CommandError> {
    let format = arguments.output.format();
    let Some(state_dir) = &arguments.state_dir else {
        let content = store::read_content(&arguments.file).map_err(CommandError::failed)?;
        show_content(screen, format, "whole", &arguments.file, &content)?;
        return Ok(Completion::Yes);
    };
    let (content, file) = restored(&arguments.file, state_dir)?;
    show_content(screen, format, "restored", &file, &content)?;
    if format == ObjectFormat::Table {
        let region = &content.region;
        screen.note(format!(
            "start the daemon with registry.region = \"{region}\"; watchers get a snapshot"
        ));
    }
    Ok(Completion::Yes)
}

fn restored(file: &Path, state_dir: &Path) -> Result<(StoreContent, PathBuf), CommandError> {
    if !state_dir.is_dir() {
        return Err(CommandError::usage(format!(
            "--state-dir: {} is not a directory; give `state_dir` of the daemon",
            state_dir.display()
        )));
    }
    store::restore(file, &state_dir.join(REGISTRY)).map_err(CommandError::failed)
}

fn show_content(
    screen: &Screen,
    format: ObjectFormat,
    result: &str,
    path: &Path,
    content: &StoreContent,
) -> Result<(), CommandError> {
    let position = content.position;
    let revision = format!("{}.{}", position.epoch.number, position.sequence);
    let value = json!({
        "result": result,
        "file": path.display().to_string(),
        "region": content.region.as_str(),
        "revision": revision,
        "objects": content.objects,
        "bytes": content.bytes,
    });
    match format {
        ObjectFormat::Json => screen.json(&value),
        ObjectFormat::Yaml => show::yaml(screen, &value),
        ObjectFormat::Table => screen.facts(&[
            (result, TableCell::new(path.display().to_string())),
            ("region", TableCell::new(content.region.as_str())),
            ("revision", TableCell::new(revision)),
            ("objects", TableCell::number(content.objects)),
            ("size", TableCell::new(size(content.bytes))),
        ]),
    }
}

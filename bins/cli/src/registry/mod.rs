//! `phalanx registry`: objects of the registry that a node runs.
//!
//! - [`backup`]: saving and restoring a whole registry.
//! - [`difference`]: what `apply` would change.
//! - [`document`]: files of objects.
//! - [`show`]: objects as people and programs read them.
//! - [`status`](mod@status): the state of a registry.
//! - [`mod@watch`]: the watch.
//!
//! Each write carries a condition: an object that changed since the tool read it is not overwritten.

mod backup;
mod difference;
mod document;
mod show;
mod status;
mod watch;

use crate::arguments::registry::{ObjectFormat, RegistryAsk, RegistryCommand, RegistryList};
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::{NodeClient, refused};
use crate::screen::{Screen, TableCell};
use document::Document;
use phalanx_core::registry::kind::BuiltInKind;
use phalanx_core::registry::name::ObjectName;
use phalanx_core::registry::query::PAGE_SIZE_MAX;
use phalanx_net::registry::proto::{self, write_operation::Operation};
use prost_types::value::Kind;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use tonic::{Code, Response, Status};

/// Maximum number of objects of one call.
const NAMES: usize = PAGE_SIZE_MAX;
/// Time for which a registry waits for copies before it answers.
const COPIES_TIME: Duration = Duration::from_secs(5);

pub(crate) fn run(screen: &Screen, command: &RegistryCommand) -> Result<Completion, CommandError> {
    match command {
        RegistryCommand::Get { name, ask } => get(screen, name, ask),
        RegistryCommand::List(arguments) => list(screen, arguments),
        RegistryCommand::Apply { files, copies, ask } => apply(screen, files, *copies, ask),
        RegistryCommand::Diff { files, ask } => diff(screen, files, ask),
        RegistryCommand::Delete { name, ask } => delete(screen, name, ask),
        RegistryCommand::Explain { name, ask } => explain(screen, name, ask),
        RegistryCommand::Disable { name, ask } => set_disabled(screen, name, true, ask),
        RegistryCommand::Enable { name, ask } => set_disabled(screen, name, false, ask),
        RegistryCommand::Backup { file, ask } => backup::backup(screen, file, ask),
        RegistryCommand::Restore(arguments) => backup::restore(screen, arguments),
        RegistryCommand::Watch(arguments) => watch::watch(screen, arguments),
        RegistryCommand::Status { ask } => status::status(screen, ask),
    }
}

/// Converts the status of a refused call into a failure.
fn declined(node: &NodeClient, status: &Status) -> CommandError {
    let code = status.code();
    if code == Code::Unimplemented {
        return CommandError::failed(format!(
            "{}: this node runs no registry; ask one that does (phalanx services phalanx.registry)",
            node.address()
        ));
    }
    let own_words = [
        Code::InvalidArgument,
        Code::AlreadyExists,
        Code::Aborted,
        Code::NotFound,
        Code::FailedPrecondition,
        Code::ResourceExhausted,
    ];
    // The registry gives the reason: it is not the connection that failed.
    let is_reasoned = code == Code::Unavailable && !status.details().is_empty();
    if is_reasoned || own_words.contains(&code) {
        let message = status.message().to_owned();
        return if code == Code::InvalidArgument {
            CommandError::Usage(message)
        } else {
            CommandError::Failed(message)
        };
    }
    refused(node.address(), status)
}

fn call<T>(
    node: &mut NodeClient,
    ask: impl AsyncFnOnce(&mut phalanx_net::service::Client) -> Result<Response<T>, Status>,
) -> Result<T, CommandError> {
    let answer = node.ask(Duration::ZERO, ask)?;
    answer.map_err(|status| declined(node, &status))
}

/// The objects of these names that exist.
fn found(node: &mut NodeClient, names: &[String]) -> Result<Vec<proto::Object>, CommandError> {
    let mut objects = Vec::new();
    for names in names.chunks(NAMES) {
        let request = proto::BatchGetObjectsRequest {
            names: names.to_vec(),
            ..proto::BatchGetObjectsRequest::default()
        };
        let reply = call(node, async |client| {
            client.objects().batch_get_objects(request).await
        })?;
        objects.extend(reply.objects);
    }
    Ok(objects)
}

/// The object of this name. Tells the user if it does not exist.
fn one(
    screen: &Screen,
    node: &mut NodeClient,
    name: &ObjectName,
) -> Result<Option<proto::Object>, CommandError> {
    let object = found(node, &[name.to_string()])?.pop();
    if object.is_none() {
        screen.note(format!("{name}: does not exist"));
    }
    Ok(object)
}

fn get(screen: &Screen, name: &ObjectName, ask: &RegistryAsk) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let Some(object) = one(screen, &mut node, name)? else {
        return Ok(Completion::No);
    };
    show::objects(screen, ask.format(), &[object])?;
    Ok(Completion::Yes)
}

fn list(screen: &Screen, arguments: &RegistryList) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open_registry(screen, &arguments.ask.access)?;
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let (mut objects, mut token) = (Vec::new(), String::new());
    while objects.len() < limit {
        let page = (limit - objects.len()).min(NAMES);
        let request = proto::ListObjectsRequest {
            selector: arguments.wanted.selector.to_string(),
            filter: arguments.wanted.filter.to_string(),
            order_by: arguments.order_by.clone(),
            page_size: u32::try_from(page).unwrap_or(u32::MAX),
            page_token: token,
            ..proto::ListObjectsRequest::default()
        };
        let reply = call(&mut node, async |client| {
            client.objects().list_objects(request).await
        })?;
        objects.extend(reply.objects);
        token = reply.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    if objects.is_empty() && arguments.ask.format() == ObjectFormat::Table {
        screen.note("no objects");
    }
    show::objects(screen, arguments.ask.format(), &objects)?;
    Ok(Completion::Yes)
}

/// The condition that an object has not changed.
fn unchanged(object: &proto::Object) -> Option<proto::Precondition> {
    let etag = object.metadata.as_ref()?.etag.clone();
    Some(proto::Precondition {
        etag,
        ..proto::Precondition::default()
    })
}

/// The operation that makes an object what its document says.
fn operation(document: Document, existing: Option<&proto::Object>) -> proto::WriteOperation {
    let condition = document.condition.or_else(|| existing.and_then(unchanged));
    let object = document.object;
    let operation = match condition {
        Some(condition) => Operation::Update(proto::UpdateOperation {
            object: Some(object),
            condition: Some(condition),
            ..proto::UpdateOperation::default()
        }),
        None => Operation::Create(object),
    };
    proto::WriteOperation {
        operation: Some(operation),
    }
}

fn apply(
    screen: &Screen,
    files: &[PathBuf],
    copies: u32,
    ask: &RegistryAsk,
) -> Result<Completion, CommandError> {
    let documents = document::read_all(files)?;
    let names: Vec<String> = documents.iter().map(|it| it.object.name.clone()).collect();
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let existing = found(&mut node, &names)?;
    let existing: BTreeMap<_, _> = existing
        .iter()
        .map(|object| (object.name.as_str(), object))
        .collect();
    let operations = documents.into_iter().map(|document| {
        let existing = existing.get(document.object.name.as_str()).copied();
        operation(document, existing)
    });
    let request = proto::ApplyBatchRequest {
        operations: operations.collect(),
        copies,
        ..proto::ApplyBatchRequest::default()
    };
    let answer = node.ask(COPIES_TIME, async |client| {
        client.objects().apply_batch(request).await
    })?;
    let reply = answer.map_err(|status| declined(&node, &status))?;
    let revision = show::revision(reply.revision);
    let changed: BTreeSet<_> = reply.objects.iter().map(|it| it.name.as_str()).collect();
    for name in &names {
        let result = match (
            changed.contains(name.as_str()),
            existing.contains_key(name.as_str()),
        ) {
            (true, true) => "updated",
            (true, false) => "created",
            (false, _) => "unchanged",
        };
        show::result(screen, ask.format(), name, result, &revision)?;
    }
    let confirmed = reply.copies_confirmed;
    if confirmed < copies {
        screen.note(format!(
            "the write stands in region {}, and {confirmed} of {copies} copies have confirmed it in time; see phalanx \
             registry status",
            reply.region
        ));
        return Ok(Completion::No);
    }
    Ok(Completion::Yes)
}

fn diff(screen: &Screen, files: &[PathBuf], ask: &RegistryAsk) -> Result<Completion, CommandError> {
    let documents = document::read_all(files)?;
    let names: Vec<String> = documents.iter().map(|it| it.object.name.clone()).collect();
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let existing = found(&mut node, &names)?;
    let existing: BTreeMap<_, _> = existing.iter().map(|it| (it.name.as_str(), it)).collect();
    let mut result = Completion::Yes;
    for document in documents {
        let before = existing.get(document.object.name.as_str()).copied();
        let difference = difference::ObjectDifference::between(before, document);
        if difference.is_some() {
            result = Completion::No;
        }
        difference.show(screen, ask.format())?;
    }
    Ok(result)
}

/// The field of a deployment that is out of service.
const IS_DISABLED: &str = "is_disabled";

fn set_disabled(
    screen: &Screen,
    name: &ObjectName,
    is_disabled: bool,
    ask: &RegistryAsk,
) -> Result<Completion, CommandError> {
    if BuiltInKind::of(name) != Some(BuiltInKind::Deployment) {
        return Err(CommandError::usage(format!(
            "{name}: is not the name of a deployment, such as services/shop/deployments/eu"
        )));
    }
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let Some(object) = one(screen, &mut node, name)? else {
        return Ok(Completion::No);
    };
    let value = prost_types::Value {
        kind: Some(Kind::BoolValue(is_disabled)),
    };
    let body = prost_types::Struct {
        fields: [(IS_DISABLED.to_owned(), value)].into(),
    };
    let request = proto::UpdateObjectRequest {
        object: Some(proto::Object {
            name: name.to_string(),
            metadata: None,
            body: Some(body),
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![IS_DISABLED.to_owned()],
        }),
        condition: unchanged(&object),
        ..proto::UpdateObjectRequest::default()
    };
    call(&mut node, async |client| {
        client.objects().update_object(request).await
    })?;
    let result = if is_disabled { "disabled" } else { "enabled" };
    show::result(screen, ask.format(), name.as_str(), result, "")?;
    Ok(Completion::Yes)
}

fn delete(
    screen: &Screen,
    name: &ObjectName,
    ask: &RegistryAsk,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let Some(object) = one(screen, &mut node, name)? else {
        return Ok(Completion::No);
    };
    let request = proto::DeleteObjectRequest {
        name: name.to_string(),
        condition: unchanged(&object),
        ..proto::DeleteObjectRequest::default()
    };
    let reply = call(&mut node, async |client| {
        client.objects().delete_object(request).await
    })?;
    let result = match reply.object {
        Some(_) => "is being deleted; it remains until its finalizers are removed",
        None => "deleted",
    };
    show::result(screen, ask.format(), name.as_str(), result, "")?;
    Ok(Completion::Yes)
}

fn explain(
    screen: &Screen,
    name: &ObjectName,
    ask: &RegistryAsk,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let found = call(&mut node, async |client| {
        let name = name.to_string();
        let request = proto::ExplainObjectRequest { name };
        client.objects().explain_object(request).await
    })?;
    let metadata = found.metadata.unwrap_or_default();
    let exists = metadata.generation > 0;
    let readers = metadata.services.unwrap_or_default().allowed_services;
    let revision = show::revision(metadata.revision);
    let value = json!({
        "name": found.name,
        "form": found.form,
        "region": found.region,
        "owner": found.owner,
        "reason": found.reason,
        "policy": found.policy,
        "service": found.service,
        "exists": exists,
        "generation": metadata.generation,
        "revision": revision,
        "readers": readers,
    });
    match ask.format() {
        ObjectFormat::Json => screen.json(&value)?,
        ObjectFormat::Yaml => show::yaml(screen, &value)?,
        ObjectFormat::Table => {
            let owner = if found.owner == found.region {
                format!("{} (the region of this registry)", found.owner)
            } else {
                format!(
                    "{} (this registry has region {})",
                    found.owner, found.region
                )
            };
            let state = if exists {
                format!("generation {}, revision {revision}", metadata.generation)
            } else {
                "does not exist here".to_owned()
            };
            let (writers, readers) = match found.service.as_str() {
                "" => ("administrators".to_owned(), "all callers".to_owned()),
                service => (
                    format!("administrators, service {service}"),
                    if exists {
                        readers.join(", ")
                    } else {
                        format!("service {service}")
                    },
                ),
            };
            screen.facts(&[
                ("name", TableCell::new(&found.name)),
                ("form", TableCell::new(&found.form)),
                ("owner", TableCell::new(owner)),
                ("because", TableCell::new(&found.reason)),
                ("object", TableCell::new(state)),
                ("written by", TableCell::new(writers)),
                ("read by", TableCell::new(readers)),
            ])?;
        }
    }
    Ok(Completion::Yes)
}

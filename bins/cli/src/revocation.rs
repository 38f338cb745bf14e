//! `phalanx revoke`: revokes certificates in the whole mesh, and lists revocations.
//!
//! The revocation is signed here: by the CA, if its key is in the certificate directory, otherwise by the
//! administrator's certificate that the tool connects with.

use crate::arguments::{NodeAccess, Revoke};
use crate::calendar::now;
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::{NodeClient, identity};
use crate::screen::Screen;
use phalanx_core::revocation::{Revocation, RevocationContent, RevocationTarget};
use phalanx_core::subject::CertificateRole;
use phalanx_core::time::Wall;
use phalanx_net::identity::{
    CertificateFacts, Identity, IdentityError, NODE_DAYS, ca_open, ca_show, iso_8601,
};
use phalanx_net::wire::{proto, revocation};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn run(screen: &Screen, arguments: &Revoke) -> Result<Completion, CommandError> {
    let access = &arguments.ask.access;
    let identity = identity(access)?;
    if arguments.list {
        let mut node = NodeClient::connect(&access.node, &identity, access.timeout.0)?;
        return list(screen, &mut node, arguments.ask.json);
    }
    let content = content(arguments, &identity)?;
    let revocation = sign(access, &identity, content)?;
    let mut node = NodeClient::connect(&access.node, &identity, access.timeout.0)?;
    let request = proto::RevokeRequest {
        revocation: Some((&revocation).into()),
    };
    let reply = node.call(async |client| client.calls().revoke(request).await)?;
    note_unknown(screen, &mut node, &revocation.content);
    if arguments.ask.json {
        let mut shown = shown(&revocation.content);
        shown["held"] = reply.held.into();
        screen.json(&shown)?;
        return Ok(Completion::Yes);
    }
    screen.line(format!(
        "Revoked: {}. The node has stored this; it spreads to all members, which end its links and calls.",
        described(&revocation.content)
    ))?;
    if let RevocationTarget::Holder(role, id) = &revocation.content.target {
        let holder = match role {
            CertificateRole::Node => id.to_string(),
            CertificateRole::Admin => format!("{id} --admin"),
            CertificateRole::Service => format!("--service {id}"),
        };
        screen.line(format!(
            "A replacement needs a new certificate: phalanx ca issue {holder} --starts-now --cert-dir DIR"
        ))?;
    }
    Ok(Completion::Yes)
}

/// A revocation of a node that is not a member may be a typing error, or concern a machine that was forgotten.
fn note_unknown(screen: &Screen, node: &mut NodeClient, content: &RevocationContent) {
    let RevocationTarget::Holder(CertificateRole::Node, id) = &content.target else {
        return;
    };
    // The revocation is stored, so a failed query does not fail the command.
    let Ok(topology) = node.topology() else {
        return;
    };
    if !topology.members.iter().any(|it| it.peer.id == id.as_str()) {
        screen.note(format!(
            "note: {} knows no member {id}; check the id (phalanx peers)",
            node.address()
        ));
    }
}

/// The content of the revocation that the command line asks for.
fn content(arguments: &Revoke, identity: &Identity) -> Result<RevocationContent, CommandError> {
    let signed = now();
    // The certificates of a mesh's CA end with the CA.
    let latest = Wall(signed.0 + NODE_DAYS * 86_400);
    let ends = identity.authorities_end().unwrap_or(latest).max(latest);
    let of_one = |target, ends| RevocationContent {
        target,
        begun_before: Wall(0),
        ends,
        signed,
    };
    if let Some(id) = &arguments.id {
        let role = match (arguments.admin, arguments.service) {
            (true, _) => CertificateRole::Admin,
            (false, true) => CertificateRole::Service,
            (false, false) => CertificateRole::Node,
        };
        return Ok(RevocationContent {
            target: RevocationTarget::Holder(role, id.clone()),
            // Certificates that were issued in this second are revoked too.
            begun_before: Wall(signed.0 + 1),
            ends,
            signed,
        });
    }
    if let Some(fingerprint) = arguments.fingerprint {
        if identity.trusts(fingerprint) {
            return Err(of_ca("--fingerprint"));
        }
        return Ok(of_one(RevocationTarget::Certificate(fingerprint), ends));
    }
    let file = arguments.certificate.as_deref().unwrap_or(Path::new(""));
    let facts = first(file)?;
    let fingerprint = facts.fingerprint.parse().map_err(CommandError::usage)?;
    let target = RevocationTarget::Certificate(fingerprint);
    if facts.ca {
        return Err(of_ca(&file.display().to_string()));
    }
    Ok(of_one(target, facts.validity.not_after))
}

fn of_ca(place: &str) -> CommandError {
    CommandError::usage(format!(
        "{place}: is the certificate of a CA, which cannot be revoked; replace the CA on all nodes"
    ))
}

fn first(file: &Path) -> Result<CertificateFacts, CommandError> {
    let all = ca_show(file).map_err(CommandError::usage)?;
    let none = || CommandError::usage(format!("{}: holds no certificate", file.display()));
    all.into_iter().next().ok_or_else(none)
}

fn sign(
    access: &NodeAccess,
    identity: &Identity,
    content: RevocationContent,
) -> Result<Revocation, CommandError> {
    let authority = match &access.cert_dir {
        Some(directory) => match ca_open(directory, identity.subject()) {
            Err(IdentityError::NoCaKey { .. }) => None,
            opened => Some(opened.map_err(CommandError::usage)?),
        },
        None => None,
    };
    let signed = match authority {
        Some(authority) => authority.revoke(content),
        None => identity.revoke(content),
    };
    signed.map_err(CommandError::usage)
}

fn list(screen: &Screen, node: &mut NodeClient, json: bool) -> Result<Completion, CommandError> {
    let request = proto::ListRevocationsRequest {};
    let reply = node.call(async |client| client.calls().list_revocations(request).await)?;
    let invalid = |error| CommandError::failed(format!("the node's reply: {error}"));
    let mut all = Vec::new();
    for wire in reply.revocations {
        all.push(revocation(wire).map_err(invalid)?.content);
    }
    if json {
        let revocations: Vec<Value> = all.iter().map(shown).collect();
        let (hash, durable) = (format!("{:016x}", reply.hash), reply.durable);
        screen.json(&json!({ "revocations": revocations, "hash": hash, "durable": durable }))?;
    } else if all.is_empty() {
        screen.line("No certificate is revoked.")?;
    } else {
        for content in &all {
            screen.line(format!(
                "{}, kept until {}",
                described(content),
                iso_8601(content.kept_until())
            ))?;
        }
    }
    Ok(Completion::Yes)
}

fn described(content: &RevocationContent) -> String {
    match &content.target {
        RevocationTarget::Certificate(_) => content.target.to_string(),
        RevocationTarget::Holder(..) => format!(
            "{} that begin before {}",
            content.target,
            iso_8601(content.begun_before)
        ),
    }
}

fn shown(content: &RevocationContent) -> Value {
    match &content.target {
        RevocationTarget::Certificate(fingerprint) => json!({
            "fingerprint": fingerprint.to_string(),
            "signed": content.signed.0,
            "ends": content.ends.0,
        }),
        RevocationTarget::Holder(role, id) => json!({
            "id": id.as_str(),
            "role": role.to_string(),
            "begun_before": content.begun_before.0,
            "signed": content.signed.0,
            "ends": content.ends.0,
        }),
    }
}

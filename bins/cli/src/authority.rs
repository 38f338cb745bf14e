//! `phalanx ca …`: creates and inspects certificates.

use crate::arguments::Ca;
use crate::calendar::{next_second, now};
use crate::failure::{CommandError, Completion};
use crate::screen::{Paint, Screen, TableCell, span};
use phalanx_core::identity::NodeId;
use phalanx_core::registry::name::ObjectName;
use phalanx_core::subject::CertificateRole;
use phalanx_core::time::Wall;
use phalanx_net::identity::{
    CA_DAYS, CertificateFacts, ExtraNames, NODE_DAYS, Secret, Subject, Validity, ca_init, ca_issue,
    ca_show, check_clock, iso_8601, secret_fingerprints, write_secret,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// File name of the authority's certificate in a certificate directory.
pub(crate) const CA_CERTIFICATE: &str = "ca-cert.pem";

pub(crate) fn run(command: Ca, screen: &Screen) -> Result<Completion, CommandError> {
    match command {
        Ca::Init {
            cert_dir,
            mesh,
            json,
        } => init(screen, &cert_dir, &mesh, json),
        Ca::Issue {
            id,
            service,
            registry,
            cert_dir,
            admin,
            names,
            addresses,
            starts_now,
            json,
        } => {
            let extra = ExtraNames {
                names,
                addresses,
                registry,
            };
            let holder = match (id, service) {
                (_, Some(service)) => (CertificateRole::Service, service),
                (id, None) if admin => (CertificateRole::Admin, id.unwrap_or_default()),
                (id, None) => (CertificateRole::Node, id.unwrap_or_default()),
            };
            let mut validity = Validity::days(now(), NODE_DAYS);
            if starts_now {
                validity.not_before = next_second();
            }
            issue(screen, holder, &cert_dir, (validity, &extra), json)
        }
        Ca::Secret { out, json } => secret(screen, out.as_deref(), json),
        Ca::Fingerprint { file, mesh, json } => fingerprint(screen, &file, &mesh, json),
        Ca::Show {
            files,
            cert_dir,
            json,
        } => show(screen, files, cert_dir, json),
    }
}

fn init(
    screen: &Screen,
    cert_dir: &Path,
    mesh: &str,
    json: bool,
) -> Result<Completion, CommandError> {
    check_clock(now()).map_err(CommandError::usage)?;
    let path =
        ca_init(cert_dir, mesh, Validity::days(now(), CA_DAYS)).map_err(CommandError::usage)?;
    let facts = only(&path)?;
    if json {
        screen.json(
            &json!({ "mesh": mesh, "certificate": path, "not_after": facts.validity.not_after.0 }),
        )?;
    } else {
        screen.line(format!(
            "The authority of mesh {mesh} is in {}, valid until {}.",
            path.display(),
            until(&facts)
        ))?;
        screen.line(format!(
            "Next: phalanx ca issue NODE --cert-dir {}",
            cert_dir.display()
        ))?;
    }
    Ok(Completion::Yes)
}

fn issue(
    screen: &Screen,
    (role, id): (CertificateRole, String),
    cert_dir: &Path,
    (validity, extra): (Validity, &ExtraNames),
    json: bool,
) -> Result<Completion, CommandError> {
    check_clock(now()).map_err(CommandError::usage)?;
    let mesh = mesh_of(cert_dir)?;
    if role == CertificateRole::Service
        && let Err(error) = ObjectName::service(&id)
    {
        let problem = error.problem;
        return Err(CommandError::usage(format!("--service: `{id}`: {problem}")));
    }
    let name =
        NodeId::new(&id).map_err(|error| CommandError::usage(format!("the id `{id}` {error}")))?;
    let subject = Subject::new(&mesh, role, name).map_err(CommandError::usage)?;
    let files =
        ca_issue(cert_dir, &subject, cert_dir, validity, extra).map_err(CommandError::usage)?;
    let facts = only(&files.certificate)?;
    if json {
        screen.json(&json!({
            "subject": subject.to_string(),
            "certificate": files.certificate,
            "key": files.key,
            "ca": files.ca,
            "not_after": facts.validity.not_after.0,
        }))?;
    } else {
        screen.line(format!("{subject}, valid until {}:", until(&facts)))?;
        let path = |path: &Path| TableCell::new(path.display().to_string());
        screen.facts(&[
            ("  certificate", path(&files.certificate)),
            ("  key", path(&files.key)),
            ("  authority", path(&files.ca)),
        ])?;
    }
    Ok(Completion::Yes)
}

fn secret(screen: &Screen, out: Option<&Path>, json: bool) -> Result<Completion, CommandError> {
    let secret = Secret::make().map_err(CommandError::failed)?;
    match out {
        None if json => screen.json(&json!({ "secret": *secret.text() }))?,
        None => screen.line(secret.text().as_str())?,
        Some(path) => {
            write_secret(path, &secret).map_err(CommandError::usage)?;
            if json {
                screen.json(&json!({ "file": path }))?;
            } else {
                screen.line(format!(
                    "The secret is in {}. Each machine that has it is a member of the mesh.",
                    path.display()
                ))?;
                screen.line(format!(
                    "Next: copy it to each machine, and start phalanxd --secret-file {}",
                    path.display()
                ))?;
            }
        }
    }
    Ok(Completion::Yes)
}

fn fingerprint(
    screen: &Screen,
    file: &Path,
    mesh: &str,
    json: bool,
) -> Result<Completion, CommandError> {
    let (fingerprints, warnings) = secret_fingerprints(file, mesh).map_err(CommandError::usage)?;
    for (number, fingerprint) in fingerprints.iter().enumerate() {
        let minted = number == 0;
        if json {
            screen.json(&json!({ "fingerprint": fingerprint, "minted_from": minted }))?;
        } else {
            let role = if minted { "minted from" } else { "accepted" };
            screen.line(format!("{fingerprint}  {role}"))?;
        }
    }
    for warning in warnings.iter().filter(|_| !json) {
        screen.line(screen.painted(&warning.to_string(), Paint::Warn))?;
    }
    Ok(Completion::Yes)
}

fn show(
    screen: &Screen,
    files: Vec<PathBuf>,
    cert_dir: Option<PathBuf>,
    json: bool,
) -> Result<Completion, CommandError> {
    let files = match cert_dir {
        None => files,
        Some(folder) => certificates_in(&folder)?,
    };
    let mut all_valid = true;
    for (number, path) in files.iter().enumerate() {
        for facts in ca_show(path).map_err(CommandError::usage)? {
            let valid = certificate_status(&facts, now()) == CertificateStatus::Valid;
            all_valid &= valid;
            if json {
                screen.json(&as_json(path, &facts))?;
            } else {
                if number > 0 {
                    screen.line("")?;
                }
                describe(screen, path, &facts)?;
            }
        }
    }
    Ok(if all_valid {
        Completion::Yes
    } else {
        Completion::No
    })
}

/// Returns the mesh whose authority is in a directory.
pub(crate) fn mesh_of(cert_dir: &Path) -> Result<String, CommandError> {
    let path = cert_dir.join(CA_CERTIFICATE);
    if !path.exists() {
        return Err(CommandError::usage(format!(
            "{} does not contain an authority ({CA_CERTIFICATE}); create one with `phalanx ca init --cert-dir {}`",
            cert_dir.display(),
            cert_dir.display()
        )));
    }
    let facts = only(&path)?;
    let mesh = facts
        .uris
        .iter()
        .find_map(|uri| uri.strip_prefix("spiffe://"));
    mesh.map(str::to_owned).ok_or_else(|| {
        CommandError::usage(format!(
            "{} does not name a mesh; it is not an authority created by phalanx",
            path.display()
        ))
    })
}

fn only(path: &Path) -> Result<CertificateFacts, CommandError> {
    let facts = ca_show(path).map_err(CommandError::usage)?;
    facts.into_iter().next().ok_or_else(|| {
        CommandError::usage(format!("{} does not contain a certificate", path.display()))
    })
}

fn certificates_in(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let unreadable = |error: std::io::Error| {
        CommandError::usage(format!("{} cannot be read: {error}", folder.display()))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().ends_with("-cert.pem"))
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(CommandError::usage(format!(
            "{} does not contain a certificate (*-cert.pem)",
            folder.display()
        )));
    }
    Ok(files)
}

/// Validity of a certificate at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateStatus {
    Early,
    Valid,
    Expired,
}

fn certificate_status(facts: &CertificateFacts, now: Wall) -> CertificateStatus {
    if now < facts.validity.not_before {
        CertificateStatus::Early
    } else if now > facts.validity.not_after {
        CertificateStatus::Expired
    } else {
        CertificateStatus::Valid
    }
}

fn until(facts: &CertificateFacts) -> String {
    iso_8601(facts.validity.not_after)
}

fn holder(facts: &CertificateFacts) -> String {
    facts
        .subject
        .as_ref()
        .map_or_else(|| facts.uris.join(", "), ToString::to_string)
}

/// The part of a table that says which registry the holder may run.
fn registry(facts: &CertificateFacts) -> String {
    facts.registry.as_ref().map_or_else(
        || "no registry".to_owned(),
        |region| format!("the registry of region {region}"),
    )
}

fn as_json(path: &Path, facts: &CertificateFacts) -> serde_json::Value {
    json!({
        "file": path,
        "subject": holder(facts),
        "registry": facts.registry.as_ref().map(ToString::to_string),
        "name": facts.name,
        "issuer": facts.issuer,
        "ca": facts.ca,
        "not_before": facts.validity.not_before.0,
        "not_after": facts.validity.not_after.0,
        "valid": certificate_status(facts, now()) == CertificateStatus::Valid,
        "algorithm": facts.algorithm,
        "serial": facts.serial,
        "fingerprint": facts.fingerprint,
    })
}

fn describe(screen: &Screen, path: &Path, facts: &CertificateFacts) -> Result<(), CommandError> {
    let (from, until) = (iso_8601(facts.validity.not_before), until(facts));
    let left = facts.validity.not_after.0.saturating_sub(now().0);
    let (validity, paint) = match certificate_status(facts, now()) {
        CertificateStatus::Early => (format!("not before {from}"), Paint::Bad),
        CertificateStatus::Valid => (
            format!("until {until} ({} left)", span(left.saturating_mul(1_000))),
            Paint::Good,
        ),
        CertificateStatus::Expired => (format!("expired at {until}"), Paint::Bad),
    };
    screen.line(screen.painted(&path.display().to_string(), Paint::Bold))?;
    screen.facts(&[
        ("  holder", TableCell::new(holder(facts))),
        (
            "  may sign",
            TableCell::new(if facts.ca { "certificates" } else { "nothing" }),
        ),
        ("  may run", TableCell::new(registry(facts))),
        ("  signed by", TableCell::new(&facts.issuer)),
        ("  valid", TableCell::new(validity).paint(paint)),
        ("  key", TableCell::new(&facts.algorithm)),
        ("  serial", TableCell::new(&facts.serial)),
        ("  sha-256", TableCell::new(&facts.fingerprint)),
    ])
}

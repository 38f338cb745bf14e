//! The choice of the source of certificates.

use super::key::DaemonKey;
use phalanx_net::configuration::{Layers, SettingKey as _, SettingSource as Layer};
use phalanx_net::identity::{CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE, Source};
use std::path::PathBuf;

/// The variables that hold PEM texts: the certificate, its key and the CA.
const PEM_VARIABLES: [&str; 3] = [CERT_VARIABLE, KEY_VARIABLE, CA_VARIABLE];

/// The source of certificates in the highest layer that names one.
pub(super) fn read(layers: &mut Layers<DaemonKey>) -> Option<Source> {
    let files = [
        DaemonKey::CertificateFile,
        DaemonKey::PrivateKeyFile,
        DaemonKey::CaFile,
    ];
    let pem = PEM_VARIABLES.map(|variable| layers.document(variable));
    let secret = layers.document(SECRET_VARIABLE);
    let place = |keys: &[DaemonKey]| {
        let given = keys
            .iter()
            .filter_map(|key| Some((&layers.given(*key)?.origin, key)));
        let (origin, key) = given.max_by_key(|(origin, _)| origin.source())?;
        Some((origin.source(), format!("{origin}: {}", key.name())))
    };
    let variable = |given: bool, name: &str| {
        given.then(|| (Layer::Environment, format!("environment variable {name}")))
    };
    let named = [
        place(&[DaemonKey::CertDir]),
        place(&files),
        variable(pem.iter().any(Option::is_some), CERT_VARIABLE),
        place(&[DaemonKey::SecretFile]),
        variable(secret.is_some(), SECRET_VARIABLE),
    ];
    let highest = named.iter().flatten().map(|(rank, _)| *rank).max();
    let Some(highest) = highest else {
        layers.problem(format!(
            "tls: nothing proves who this node is; give {}, or {}, {} and {}, or the PEM texts as {CERT_VARIABLE}, \
             {KEY_VARIABLE} and {CA_VARIABLE}, or the mesh's secret by {} or as {SECRET_VARIABLE}",
            DaemonKey::CertDir.name(), files[0].name(), files[1].name(), files[2].name(), DaemonKey::SecretFile.name()
        ));
        return None;
    };
    let at_highest = named.into_iter().enumerate().filter_map(|(at, named)| {
        let (_, place) = named.filter(|(rank, _)| *rank == highest)?;
        Some((at, place))
    });
    let (at, places): (Vec<usize>, Vec<String>) = at_highest.unzip();
    if at.len() > 1 {
        let why = "a node has either certificates or the mesh's secret; give one source";
        let places = places.join(" and ");
        layers.problem(format!("{places} stand beside each other: {why}"));
        return None;
    }
    let path = |key: DaemonKey| layers.text(key).map(|(_, text)| PathBuf::from(text));
    match at[0] {
        0 => path(DaemonKey::CertDir).map(Source::Directory),
        1 => from_files(layers, files),
        2 => from_variables(layers, pem),
        3 => path(DaemonKey::SecretFile).map(Source::SecretFile),
        _ => secret.map(|secret| Source::SecretVariable(secret.into())),
    }
}

fn from_files(layers: &mut Layers<DaemonKey>, files: [DaemonKey; 3]) -> Option<Source> {
    let [certificate, key, ca] = files.map(|key| layers.required_text(key).map(PathBuf::from));
    Some(Source::Files {
        certificate: certificate?,
        key: key?,
        ca: ca?,
    })
}

fn from_variables(layers: &mut Layers<DaemonKey>, pem: [Option<String>; 3]) -> Option<Source> {
    for (name, value) in PEM_VARIABLES.iter().zip(&pem) {
        if value.is_none() {
            layers.problem(format!(
                "environment variable {name}: is missing; the certificate, its key and the CA go together"
            ));
        }
    }
    let [certificate, key, ca] = pem;
    Some(Source::Variables {
        certificate: certificate?,
        key: key?,
        ca: ca?,
    })
}

//! The environment.

use super::key::{Key, Shape, nearest};
use super::layer::{Given, Layer, Origin, Value};
use phalanx_net::identity::{CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE};
use std::ffi::OsString;

/// The configuration file, read by the command line's parser.
const CONFIG_VARIABLE: &str = "PHALANX_CONFIG";

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// Settings.
    pub(super) layer: Layer,
    /// What proves who the node is.
    pub(super) proof: Proof,
    /// Variables that look like ours and mean nothing. Only a warning: other programs set some too.
    pub(super) unknown: Vec<String>,
}

/// The variables that hold themselves what files hold otherwise.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Certificate, key and CA, as PEM.
    pub(super) pem: [Option<String>; 3],
    /// The mesh's secrets.
    pub(super) secret: Option<String>,
}

/// Reads the variables whose names begin with `PHALANX_`.
pub(super) fn read(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Environment, Vec<String>> {
    let mut environment = Environment::default();
    let mut problems = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("PHALANX_")) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => environment.take(name, value),
            Err(_) => problems.push(format!("environment variable {name}: is no text (UTF-8)")),
        }
    }
    if problems.is_empty() {
        Ok(environment)
    } else {
        Err(problems)
    }
}

impl Environment {
    fn take(&mut self, name: &str, value: String) {
        let pem = [CERT_VARIABLE, KEY_VARIABLE, CA_VARIABLE];
        if let Some(at) = pem.iter().position(|known| *known == name) {
            self.proof.pem[at] = Some(value);
        } else if name == SECRET_VARIABLE {
            self.proof.secret = Some(value);
        } else if let Some(key) = Key::ALL.iter().copied().find(|key| key.variable() == name) {
            let origin = Origin::Variable(name.to_owned());
            let value = match key.shape() {
                Shape::Text | Shape::Number => Value::Text(value),
                Shape::List | Shape::Table => Value::List(items(&origin, &value)),
            };
            self.layer.insert(key, Given { origin, value });
        } else if name != CONFIG_VARIABLE {
            let known = Key::ALL
                .iter()
                .map(|key| key.variable())
                .chain(pem)
                .chain([SECRET_VARIABLE]);
            let meant = nearest(name, known)
                .map(|meant| format!("; did you mean {meant}?"))
                .unwrap_or_default();
            self.unknown.push(format!(
                "environment variable {name}: means nothing to phalanxd{meant}"
            ));
        }
    }
}

fn items(origin: &Origin, value: &str) -> Vec<(Origin, String)> {
    let items = value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| (origin.clone(), item.to_owned()))
        .collect()
}

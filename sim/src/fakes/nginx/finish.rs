//! The checks that nginx makes at the end of the `http` block, in its order: upstreams, certificates, caches,
//! locations, TLS listeners, variables, server names.

use super::configuration::{
    InheritedSettings, Location, Matching, Server, UpstreamServer, ZoneKind,
};
use super::load::ConfigurationLoader;
use super::log::{Level, Note};
use super::tls;
use core::time::Duration;
use std::collections::BTreeSet;

/// The variables that a text may name.
pub(super) const VARIABLES: &[&str] = &[
    "args",
    "binary_remote_addr",
    "host",
    "http_host",
    "is_args",
    "pid",
    "query_string",
    "remote_addr",
    "request_method",
    "request_uri",
    "scheme",
    "server_name",
    "server_port",
    "uri",
];

impl ConfigurationLoader<'_> {
    pub(super) fn finish(&mut self, http: &InheritedSettings) -> Result<(), Note> {
        self.finish_upstreams()?;
        for server in &mut self.configuration.servers {
            server.settings.over(http);
            for location in &mut server.locations {
                inherit(location, &server.settings);
            }
        }
        for server in &self.configuration.servers {
            if let Some(certificate) = &server.settings.certificate {
                let Some(key) = &server.settings.key else {
                    let text = format!(
                        "no \"ssl_certificate_key\" is defined for certificate \"{certificate}\""
                    );
                    return Err(Note::emergency(text));
                };
                let (certificate, key) = (self.beside(certificate), self.beside(key));
                tls::check_pair(&self.host.tree, &certificate, &key).map_err(Note::emergency)?;
            }
        }
        for name in &self.caches_used {
            let zone = self.configuration.zones.get(name);
            if !zone.is_some_and(|zone| matches!(zone.kind, ZoneKind::Cache { .. })) {
                return Err(self.fault(format!("\"proxy_cache\" zone \"{name}\" is unknown")));
            }
        }
        for server in &self.configuration.servers {
            distinct(&server.locations)?;
        }
        self.finish_listeners()?;
        if let Some(name) = self
            .variables
            .iter()
            .find(|name| !VARIABLES.contains(&name.as_str()))
        {
            return Err(Note::emergency(format!("unknown \"{name}\" variable")));
        }
        self.finish_names()
    }

    fn finish_upstreams(&mut self) -> Result<(), Note> {
        for number in 0..self.configuration.upstreams.len() {
            let upstream = &self.configuration.upstreams[number];
            let (file, line) = upstream.place.clone();
            let fault = |text| Note::at(Level::Emergency, text, &file, line);
            if upstream.written {
                if upstream.members.iter().all(|member| member.backup) {
                    return Err(fault(format!(
                        "no servers in upstream \"{}\"",
                        upstream.name
                    )));
                }
                continue;
            }
            let targets = self.targets(&upstream.name).map_err(fault)?;
            let implied = targets.into_iter().map(|target| UpstreamServer {
                target,
                weight: 1,
                max_fails: 1,
                fail_timeout: Duration::from_secs(10),
                down: false,
                backup: false,
            });
            self.configuration.upstreams[number].members = implied.collect();
        }
        Ok(())
    }

    fn finish_listeners(&self) -> Result<(), Note> {
        for (target, servers) in &self.configuration.listeners {
            let by_number = |number: &usize| &self.configuration.servers[*number];
            let tls = servers
                .iter()
                .map(by_number)
                .any(|server| server.tls.contains(target));
            let Some(default) = servers.first().map(by_number) else {
                continue;
            };
            if tls && default.settings.certificate.is_none() {
                let text = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive";
                let (file, line) = &default.place;
                return Err(Note::at(Level::Emergency, text.to_owned(), file, *line));
            }
        }
        Ok(())
    }

    /// Warns of names that two servers of one address share; nginx ignores the second use of a name.
    fn finish_names(&mut self) -> Result<(), Note> {
        for (target, servers) in &self.configuration.listeners {
            if servers.len() < 2 {
                continue;
            }
            let mut known = BTreeSet::new();
            let mut in_order = servers.clone();
            in_order.sort_unstable();
            for name in in_order
                .iter()
                .flat_map(|&at| names(&self.configuration.servers[at]))
            {
                if !is_valid(name) {
                    let text = format!("invalid server name or wildcard \"{name}\" on {target}");
                    return Err(Note::emergency(text));
                }
                if !known.insert(name) {
                    let text = format!("conflicting server name \"{name}\" on {target}, ignored");
                    self.notes.push(Note::new(Level::Warning, text));
                }
            }
        }
        Ok(())
    }
}

/// A server's names; the empty name if the server has no other.
fn names(server: &Server) -> Vec<&str> {
    if server.names.is_empty() {
        vec![""]
    } else {
        server.names.iter().map(String::as_str).collect()
    }
}

/// Whether every star is in a place where nginx allows a wildcard: as the first or the last label.
fn is_valid(name: &str) -> bool {
    let inner = name.strip_prefix("*.").unwrap_or(name);
    let inner = inner.strip_suffix(".*").unwrap_or(inner);
    !inner.contains('*')
}

fn inherit(location: &mut Location, outer: &InheritedSettings) {
    location.settings.over(outer);
    for inner in &mut location.inner {
        inherit(inner, &location.settings);
    }
}

/// Checks that no two locations of one block have the same path and matching; the error names the later location.
fn distinct(locations: &[Location]) -> Result<(), Note> {
    let mut known: BTreeSet<(bool, &str)> = BTreeSet::new();
    for location in locations {
        if !known.insert((location.matching == Matching::Exact, &location.path)) {
            let text = format!("duplicate location \"{}\"", location.path);
            let (file, line) = &location.place;
            return Err(Note::at(Level::Emergency, text, file, *line));
        }
    }
    locations
        .iter()
        .try_for_each(|location| distinct(&location.inner))
}

//! Handles the directives of servers, locations and upstreams, each with nginx's own checks and messages.

use super::configuration::{
    Handler, InheritedSettings, ListenAddress, Location, Matching, Proxy, Return, Server,
    SharedZone, Upstream, UpstreamServer, ZoneKind,
};
use super::directive::{Contexts, LOCATION, UPSTREAM};
use super::load::{ConfigurationLoader, OpenBlock};
use super::log::Note;
use super::value::{self, Part, interpolated};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

/// The maximum length of the path of a Unix socket in Linux, in bytes.
const SOCKET_PATH_MAX: usize = 107;
/// The minimum size of a zone of shared memory, in bytes: eight pages.
const ZONE_MIN: u64 = 8 * 4_096;

impl ConfigurationLoader<'_> {
    pub(super) fn begin_server(&mut self) {
        self.configuration.servers.push(Server {
            place: self.place.clone(),
            ..Server::default()
        });
    }

    pub(super) fn end_server(&mut self, settings: InheritedSettings) -> Result<(), Note> {
        let number = self.configuration.servers.len() - 1;
        let server = &mut self.configuration.servers[number];
        server.settings = settings;
        if server.listens.is_empty() {
            let port = if self.host.privileged { 80 } else { 8_000 };
            let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            return self.listen_on(ListenAddress::Tcp(any), false, false);
        }
        Ok(())
    }

    /// Handles a directive in `http` or in a block below it that does not open a block itself.
    pub(super) fn site(
        &mut self,
        frame: &mut OpenBlock,
        name: &str,
        words: &[String],
    ) -> Result<(), Note> {
        let given = words.get(1).map_or("", String::as_str);
        let settings = &mut frame.settings;
        match name {
            "root" => settings.root = Some(self.absolute(given.trim_end_matches('/'))),
            "index" => settings.index = Some(words[1..].to_vec()),
            "default_type" => settings.default_type = Some(given.to_owned()),
            "client_header_timeout" => settings.header_timeout = value::time(given),
            "proxy_read_timeout" => settings.read_timeout = value::time(given),
            "ssl_certificate" => settings.certificate = Some(given.to_owned()),
            "ssl_certificate_key" => settings.key = Some(given.to_owned()),
            "proxy_cache" => {
                settings.cache = Some(given.to_owned());
                if given != "off" {
                    self.caches_used.push(given.to_owned());
                }
            }
            "access_log" if given != "off" => {
                let path = self.absolute(given);
                self.configuration.access_logs.push(path);
            }
            "client_body_temp_path"
            | "proxy_temp_path"
            | "fastcgi_temp_path"
            | "uwsgi_temp_path"
            | "scgi_temp_path" => {
                let path = self.absolute(given);
                self.configuration.temporary.push(path);
            }
            "server" if frame.context == UPSTREAM => return self.member(words),
            "listen" => return self.listen(words),
            "server_name" => return self.server_name(&words[1..]),
            "limit_req_zone" => return self.limit_zone(&words[1..]),
            "limit_req" => return self.limit(&words[1..]),
            "proxy_cache_path" => return self.cache_path(&words[1..]),
            "return" => return self.answer(frame.context, &words[1..]),
            "proxy_pass" => return self.proxy_pass(given),
            "stub_status" => self.handle(Handler::Status),
            "alias" => self.open_location(|location, path| location.alias = Some(path), given),
            "internal" => self.open_location(|location, _| location.internal = true, given),
            _ => {}
        }
        Ok(())
    }

    fn open_location(&mut self, set: fn(&mut Location, String), given: &str) {
        let path = self.absolute(given);
        if let Some(location) = self.open.last_mut() {
            set(location, path);
        }
    }

    /// A handler at the server level answers no request, because nginx gives each request a location.
    fn handle(&mut self, handler: Handler) {
        if let Some(location) = self.open.last_mut() {
            location.handler = Some(handler);
        }
    }

    fn server(&mut self) -> &mut Server {
        let last = self.configuration.servers.len() - 1;
        &mut self.configuration.servers[last]
    }

    fn listen(&mut self, words: &[String]) -> Result<(), Note> {
        let given = &words[1];
        let wrong = |why: &str| format!("{why} in \"{given}\" of the \"listen\" directive");
        let target = self
            .target(given, 80)
            .map_err(|why| self.fault(wrong(why)))?;
        let (mut default, mut tls) = (false, false);
        for parameter in &words[2..] {
            match parameter.as_str() {
                "default_server" | "default" => default = true,
                "ssl" => tls = true,
                "http2" | "reuseport" | "deferred" | "bind" | "proxy_protocol" | "ipv6only=on"
                | "ipv6only=off" => {}
                other => {
                    let backlog = other.strip_prefix("backlog=");
                    if backlog.and_then(value::number).is_none() {
                        return Err(self.fault(format!("invalid parameter \"{other}\"")));
                    }
                }
            }
        }
        self.listen_on(target, default, tls)
    }

    fn listen_on(&mut self, target: ListenAddress, default: bool, tls: bool) -> Result<(), Note> {
        let number = self.configuration.servers.len() - 1;
        if self.server().listens.contains(&target) {
            return Err(self.fault(format!("a duplicate listen {target}")));
        }
        if default && !self.defaults.insert(target.clone()) {
            return Err(self.fault(format!("a duplicate default server for {target}")));
        }
        self.server().listens.push(target.clone());
        if tls {
            self.server().tls.push(target.clone());
        }
        let servers = self.configuration.listeners.entry(target).or_default();
        servers.insert(if default { 0 } else { servers.len() }, number);
        Ok(())
    }

    /// Parses the address that a text names.
    fn target(&self, text: &str, default_port: u16) -> Result<ListenAddress, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err("no path in the unix domain socket"),
                1..=SOCKET_PATH_MAX => Ok(ListenAddress::Unix(path.to_owned())),
                _ => Err("too long path in the unix domain socket"),
            };
        }
        let any = || SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), default_port);
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mut address = any();
            address.set_port(port(text)?);
            return Ok(ListenAddress::Tcp(address));
        }
        let (host, port) = split_port(text, default_port)?;
        let ip = match host {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "" => return Err("no host"),
            host => *self
                .host
                .resolve(host)
                .as_ref()
                .and_then(|all| all.first())
                .ok_or("host not found")?,
        };
        Ok(ListenAddress::Tcp(SocketAddr::new(ip, port)))
    }

    fn server_name(&mut self, names: &[String]) -> Result<(), Note> {
        for name in names {
            if name.starts_with('~') {
                return Err(self.unmodelled("regular expressions"));
            }
            self.server().names.push(name.to_ascii_lowercase());
        }
        Ok(())
    }

    /// The error for a part of nginx that the fake does not model.
    pub(super) fn unmodelled(&self, part: &str) -> Note {
        self.fault(format!("the simulated nginx does not model {part}"))
    }

    pub(super) fn begin_location(
        &mut self,
        context: Contexts,
        words: &[String],
    ) -> Result<(), Note> {
        let (modifier, path) = match words {
            [path] => {
                let modifiers = ["=", "^~", "~*", "~"];
                let glued = modifiers.iter().find(|word| path.starts_with(**word));
                let length = glued.map_or(0, |word| word.len());
                path.split_at(length)
            }
            _ => (words[0].as_str(), words[1].as_str()),
        };
        let matching = match modifier {
            "=" => Matching::Exact,
            "" | "^~" => Matching::Prefix,
            "~" | "~*" => return Err(self.unmodelled("regular expressions")),
            other => return Err(self.fault(format!("invalid location modifier \"{other}\""))),
        };
        if path.starts_with('@') {
            return Err(self.unmodelled("named locations"));
        }
        if context == LOCATION
            && let Some(outer) = self.open.last()
        {
            let outside = !path.starts_with(&outer.path);
            let outer_path = &outer.path;
            if outer.matching == Matching::Exact {
                let text = format!(
                    "location \"{path}\" cannot be inside the exact location \"{outer_path}\""
                );
                return Err(self.fault(text));
            }
            if outside {
                let text = format!("location \"{path}\" is outside location \"{outer_path}\"");
                return Err(self.fault(text));
            }
        }
        self.open.push(Location {
            matching,
            path: path.to_owned(),
            handler: None,
            answer: None,
            alias: None,
            internal: false,
            settings: InheritedSettings::default(),
            inner: Vec::new(),
            place: self.place.clone(),
        });
        Ok(())
    }

    pub(super) fn end_location(&mut self, settings: InheritedSettings) {
        let Some(mut location) = self.open.pop() else {
            return;
        };
        location.settings = settings;
        match self.open.last_mut() {
            Some(outer) => outer.inner.push(location),
            None => self.server().locations.push(location),
        }
    }

    fn answer(&mut self, context: Contexts, words: &[String]) -> Result<(), Note> {
        let url = |text: &str| {
            ["http://", "https://", "$scheme"]
                .iter()
                .any(|start| text.starts_with(start))
        };
        let (status, text) = match words {
            [text] if url(text) => (302, text.as_str()),
            [status, rest @ ..] => {
                let code = value::number(status).filter(|code| *code <= 999);
                let code = code.and_then(|code| u16::try_from(code).ok());
                let code =
                    code.ok_or_else(|| self.fault(format!("invalid return code \"{status}\"")))?;
                (code, rest.first().map_or("", String::as_str))
            }
            [] => return Ok(()),
        };
        let text = interpolated(text).map_err(|why| self.fault(why))?;
        for part in &text {
            if let Part::Variable(name) = part {
                self.variables.push(name.clone());
            }
        }
        let answer = Some(Return { status, text });
        // Only the first `return` of a block has an effect.
        let slot = match (context, self.open.last_mut()) {
            (LOCATION, Some(location)) => &mut location.answer,
            _ => &mut self.server().answer,
        };
        if slot.is_none() {
            *slot = answer;
        }
        Ok(())
    }

    fn proxy_pass(&mut self, given: &str) -> Result<(), Note> {
        if given.contains('$') {
            return Err(self.unmodelled("variables in proxy_pass"));
        }
        let scheme = ["http://", "https://"]
            .iter()
            .find(|scheme| given.starts_with(**scheme));
        let Some(scheme) = scheme else {
            return Err(self.fault("invalid URL prefix"));
        };
        let rest = &given[scheme.len()..];
        // The path of a Unix socket ends at a colon, not at the first slash.
        let (name, uri) = match rest.strip_prefix("unix:") {
            Some(path) => {
                let end = path.find(':').map_or(rest.len(), |at| at + "unix:".len());
                (&rest[..end], rest[end..].strip_prefix(':'))
            }
            None => match rest.find('/') {
                Some(at) => (&rest[..at], Some(&rest[at..])),
                None => (rest, None),
            },
        };
        let upstream = self.upstream(name);
        let uri = uri.filter(|uri| !uri.is_empty()).map(str::to_owned);
        self.handle(Handler::Proxy(Proxy { upstream, uri }));
        Ok(())
    }

    /// The index of the upstream with this name; a missing upstream is created implicitly.
    fn upstream(&mut self, name: &str) -> usize {
        let upstreams = &mut self.configuration.upstreams;
        if let Some(at) = upstreams.iter().position(|known| known.name == name) {
            return at;
        }
        upstreams.push(Upstream {
            name: name.to_owned(),
            members: Vec::new(),
            written: false,
            place: self.place.clone(),
        });
        upstreams.len() - 1
    }

    pub(super) fn begin_upstream(&mut self, name: &str) -> Result<(), Note> {
        let number = self.upstream(name);
        let place = self.place.clone();
        let upstream = &mut self.configuration.upstreams[number];
        if core::mem::replace(&mut upstream.written, true) {
            return Err(self.fault(format!("duplicate upstream \"{name}\"")));
        }
        upstream.place = place;
        self.filling = number;
        Ok(())
    }

    pub(super) fn end_upstream(&mut self) -> Result<(), Note> {
        if self.configuration.upstreams[self.filling]
            .members
            .is_empty()
        {
            return Err(self.fault("no servers are inside upstream"));
        }
        Ok(())
    }

    fn member(&mut self, words: &[String]) -> Result<(), Note> {
        let mut member = UpstreamServer {
            target: ListenAddress::Unix(String::new()),
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            down: false,
            backup: false,
        };
        for parameter in &words[2..] {
            let (key, text) = parameter.split_once('=').unwrap_or((parameter, ""));
            let number = value::number(text);
            match (key, number) {
                ("down", _) => member.down = true,
                ("backup", _) => member.backup = true,
                ("weight", Some(weight @ 1..)) => {
                    member.weight = i64::try_from(weight).unwrap_or(i64::MAX);
                }
                ("max_fails", Some(fails)) => member.max_fails = fails,
                ("max_conns", Some(_)) => {}
                ("fail_timeout", _) if value::time(text).is_some() => {
                    member.fail_timeout = value::time(text).unwrap_or_default();
                }
                _ => return Err(self.fault(format!("invalid parameter \"{parameter}\""))),
            }
        }
        let targets = self.targets(&words[1]).map_err(|why| self.fault(why))?;
        let upstream = &mut self.configuration.upstreams[self.filling];
        upstream
            .members
            .extend(targets.into_iter().map(|target| UpstreamServer {
                target,
                ..member.clone()
            }));
        Ok(())
    }

    /// All addresses of an upstream's server.
    pub(super) fn targets(&self, text: &str) -> Result<Vec<ListenAddress>, String> {
        let wrong = |why: &str| format!("{why} in upstream \"{text}\"");
        if text.starts_with("unix:") {
            return Ok(vec![self.target(text, 80).map_err(wrong)?]);
        }
        let (host, port) = split_port(text, 80).map_err(wrong)?;
        let found = self
            .host
            .resolve(host)
            .ok_or_else(|| wrong("host not found"))?;
        let at_port = |ip| ListenAddress::Tcp(SocketAddr::new(ip, port));
        Ok(found.into_iter().map(at_port).collect())
    }

    fn limit_zone(&mut self, words: &[String]) -> Result<(), Note> {
        let (key, mut zone) = (words[0].clone(), None);
        for part in interpolated(&key).map_err(|why| self.fault(why))? {
            if let Part::Variable(name) = part {
                self.variables.push(name);
            }
        }
        for word in &words[1..] {
            if let Some(text) = word.strip_prefix("zone=") {
                let size = text.split_once(':').and_then(|(_, size)| value::size(size));
                let size =
                    size.ok_or_else(|| self.fault(format!("invalid zone size \"{word}\"")))?;
                if size < ZONE_MIN {
                    return Err(self.fault(format!("zone \"{word}\" is too small")));
                }
                zone = text
                    .split_once(':')
                    .map(|(name, _)| (name.to_owned(), size));
            } else if let Some(rate) = word.strip_prefix("rate=") {
                let unit = ["r/s", "r/m"]
                    .iter()
                    .find_map(|unit| rate.strip_suffix(unit));
                if value::number(unit.unwrap_or(rate)).is_none_or(|rate| rate == 0) {
                    return Err(self.fault(format!("invalid rate \"{word}\"")));
                }
            } else {
                return Err(self.fault(format!("invalid parameter \"{word}\"")));
            }
        }
        let Some((name, size)) = zone else {
            return Err(self.fault("\"limit_req_zone\" must have \"zone\" parameter"));
        };
        if let Some(known) = self.configuration.zones.get(&name) {
            self.zone_fits(
                &name,
                size,
                known,
                matches!(known.kind, ZoneKind::Limit { .. }),
            )?;
            if let ZoneKind::Limit { key } = &known.kind
                && known.size != 0
            {
                let text = format!("limit_req_zone \"{name}\" is already bound to key \"{key}\"");
                return Err(self.fault(text));
            }
        }
        let kind = ZoneKind::Limit { key };
        self.zone(&name, SharedZone { size, kind });
        Ok(())
    }

    /// Whether a zone may be declared again with this size, for the same or another use.
    fn zone_fits(&self, name: &str, size: u64, known: &SharedZone, same: bool) -> Result<(), Note> {
        if !same {
            return Err(self.fault(format!(
                "the shared memory zone \"{name}\" is already declared for a different use"
            )));
        }
        if known.size != 0 && known.size != size {
            return Err(self.fault(format!(
                "the size {size} of shared memory zone \"{name}\" conflicts with already declared size {}",
                known.size
            )));
        }
        Ok(())
    }

    fn limit(&mut self, words: &[String]) -> Result<(), Note> {
        let mut zone = None;
        for word in words {
            match word.split_once('=') {
                Some(("zone", name)) => zone = Some(name),
                Some(("burst" | "delay", text)) if value::number(text).is_some() => {}
                None if word == "nodelay" => {}
                _ => return Err(self.fault(format!("invalid parameter \"{word}\""))),
            }
        }
        let Some(name) = zone else {
            return Err(self.fault("\"limit_req\" must have \"zone\" parameter"));
        };
        let kind = ZoneKind::Limit { key: String::new() };
        self.zone(name, SharedZone { size: 0, kind });
        Ok(())
    }

    fn cache_path(&mut self, words: &[String]) -> Result<(), Note> {
        const OTHERS: [&str; 7] = [
            "use_temp_path=",
            "inactive=",
            "max_size=",
            "min_free=",
            "loader_files=",
            "manager_files=",
            "loader_threshold=",
        ];
        let (path, mut levels, mut zone) = (self.absolute(&words[0]), String::new(), None);
        for word in &words[1..] {
            if let Some(text) = word.strip_prefix("levels=") {
                let digits = text.split(':');
                if text.is_empty() || !digits.clone().all(|digit| ["1", "2"].contains(&digit)) {
                    return Err(self.fault(format!("invalid \"levels\" \"{word}\"")));
                }
                text.clone_into(&mut levels);
            } else if let Some(text) = word.strip_prefix("keys_zone=") {
                let size = text.split_once(':').and_then(|(_, size)| value::size(size));
                let Some(size) = size.filter(|size| *size >= 2 * 4_096) else {
                    return Err(self.fault(format!("invalid keys zone size \"{word}\"")));
                };
                zone = text
                    .split_once(':')
                    .map(|(name, _)| (name.to_owned(), size));
            } else if !OTHERS.iter().any(|start| word.starts_with(start)) {
                return Err(self.fault(format!("invalid parameter \"{word}\"")));
            }
        }
        let Some((name, size)) = zone else {
            return Err(self.fault("\"proxy_cache_path\" must have \"keys_zone\" parameter"));
        };
        if let Some(known) = self.configuration.zones.get(&name) {
            self.zone_fits(
                &name,
                size,
                known,
                matches!(known.kind, ZoneKind::Cache { .. }),
            )?;
            return Err(self.fault(format!("duplicate zone \"{name}\"")));
        }
        self.configuration.temporary.push(path.clone());
        let kind = ZoneKind::Cache { path, levels };
        self.zone(&name, SharedZone { size, kind });
        Ok(())
    }
}

fn port(text: &str) -> Result<u16, &'static str> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or("invalid port")
}

/// Splits `host:port`; an IPv6 address is enclosed in brackets.
fn split_port(text: &str, default_port: u16) -> Result<(&str, u16), &'static str> {
    let bracket = text.rfind(']').unwrap_or(0);
    match text[bracket..].find(':') {
        Some(at) => Ok((&text[..bracket + at], port(&text[bracket + at + 1..])?)),
        None => Ok((text, default_port)),
    }
}

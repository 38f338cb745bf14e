//! Routing of requests: the server by address and name, the location by path, and the answer of the location.

use super::configuration::{
    Configuration, Handler, InheritedSettings, ListenAddress, Location, Matching, Proxy, Return,
    Server,
};
use super::value::Part;
use crate::disk::tree::{FileTree, TreeEntry};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NginxRequest {
    /// The method.
    pub method: String,
    /// The path, with the query.
    pub path: String,
    /// The `Host` header.
    pub host: String,
    /// Whether the client requests that the connection be closed after the answer.
    pub close: bool,
}

impl NginxRequest {
    /// A GET request for a path and a host; the connection is closed after the answer.
    #[must_use]
    pub fn get(host: &str, path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: host.to_owned(),
            close: true,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The `Content-Type` header; empty if there is none.
    pub content_type: String,
    /// The `Location` header; empty if there is none.
    pub location: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer with a body of plain text.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain".to_owned(),
            location: String::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// nginx's own page for a status.
    pub(super) fn page(status: u16) -> Self {
        let title = format!("{status} {}", phrase(status));
        let body = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
             <center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n\
             </body>\r\n</html>\r\n"
        );
        Self {
            status,
            content_type: "text/html".to_owned(),
            location: String::new(),
            body: body.into_bytes(),
        }
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => "",
    }
}

/// The handler of a request.
#[derive(Debug)]
pub(super) enum Routed<'a> {
    /// nginx answers with this response.
    Answer(Response),
    /// nginx closes the connection (status 444).
    Drop,
    /// nginx answers with its counters (`stub_status`).
    Status,
    /// A member of an upstream answers, for this path.
    Proxy(&'a Proxy, &'a InheritedSettings, String),
}

/// A request while it is being routed.
struct RoutedRequest<'a> {
    server: &'a Server,
    target: &'a ListenAddress,
    request: &'a NginxRequest,
    host: &'a str,
    uri: &'a str,
    pid: u32,
}

/// Routes a request that arrived at an address.
pub(super) fn route<'a>(
    configuration: &'a Configuration,
    prefix: &str,
    target: &ListenAddress,
    request: &NginxRequest,
    pid: u32,
    tree: &FileTree,
) -> Routed<'a> {
    let host = host_name(&request.host);
    let path = request.path.split(['?', '#']).next().unwrap_or("");
    let (Some(uri), false) = (normalized(path), host.is_empty()) else {
        return Routed::Answer(Response::page(400));
    };
    let Some(server) = choose(configuration, target, &host) else {
        return Routed::Drop;
    };
    let way = RoutedRequest {
        server,
        target,
        request,
        host: &host,
        uri: &uri,
        pid,
    };
    if let Some(answer) = &server.answer {
        return way.say(answer, &server.settings);
    }
    let Some(location) = find(&server.locations, &uri) else {
        return way.file(&server.settings, None, prefix, tree);
    };
    if location.internal {
        return Routed::Answer(Response::page(404));
    }
    if let Some(answer) = &location.answer {
        return way.say(answer, &location.settings);
    }
    match &location.handler {
        Some(Handler::Status) => Routed::Status,
        Some(Handler::Proxy(proxy)) => {
            let passed = match &proxy.uri {
                Some(start) => {
                    let query = request.path.find('?').map_or("", |at| &request.path[at..]);
                    let rest = uri.get(location.path.len()..).unwrap_or("");
                    format!("{start}{rest}{query}")
                }
                None => request.path.clone(),
            };
            Routed::Proxy(proxy, &location.settings, passed)
        }
        None => way.file(&location.settings, Some(location), prefix, tree),
    }
}

/// The host's name in lower case, without the port and the trailing dot.
fn host_name(header: &str) -> String {
    let bracket = header.rfind(']').unwrap_or(0);
    let end = header[bracket..]
        .find(':')
        .map_or(header.len(), |at| bracket + at);
    header[..end].trim_end_matches('.').to_ascii_lowercase()
}

/// A path without dot segments, repeated slashes and percent encoding; none if the path leaves the root or is
/// malformed.
fn normalized(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = (rest.next()? as char).to_digit(16)?;
            let low = (rest.next()? as char).to_digit(16)?;
            bytes.push((high << 4 | low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = text.strip_prefix('/')?;
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let folder = text.is_empty() || ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let mut uri = format!("/{}", parts.join("/"));
    if folder && uri != "/" {
        uri.push('/');
    }
    Some(uri)
}

/// The server for a name at an address, in order of preference: an exact name, the longest wildcard at the start of a
/// name, the longest wildcard at the end, the default server.
fn choose<'a>(
    configuration: &'a Configuration,
    target: &ListenAddress,
    host: &str,
) -> Option<&'a Server> {
    let servers = configuration.servers_at(target)?;
    let mut in_order = servers.to_vec();
    in_order.sort_unstable();
    let mut best: Option<((u8, usize), usize)> = None;
    for &number in &in_order {
        for name in &configuration.servers[number].names {
            if let Some(rank) = fits(name, host)
                && best.is_none_or(|(known, _)| rank > known)
            {
                best = Some((rank, number));
            }
        }
    }
    let number = best.map_or(*servers.first()?, |(_, number)| number);
    configuration.servers.get(number)
}

/// How well a server name matches a host, if it matches; a greater value is a better match.
fn fits(name: &str, host: &str) -> Option<(u8, usize)> {
    if name == host {
        return Some((3, 0));
    }
    if let Some(dotted) = name.strip_prefix('.') {
        if dotted == host {
            return Some((3, 0));
        }
        return host.ends_with(name).then_some((2, name.len()));
    }
    if let Some(end) = name.strip_prefix('*') {
        return host.ends_with(end).then_some((2, end.len()));
    }
    let start = name.strip_suffix('*')?;
    host.starts_with(start).then_some((1, start.len()))
}

/// The location for a path: an exact match, or else the longest prefix, including those in nested blocks.
fn find<'a>(locations: &'a [Location], uri: &str) -> Option<&'a Location> {
    let exact = |location: &&Location| location.matching == Matching::Exact && location.path == uri;
    if let Some(location) = locations.iter().find(exact) {
        return Some(location);
    }
    let prefix = |location: &&Location| {
        location.matching == Matching::Prefix && uri.starts_with(&location.path)
    };
    let longest = locations
        .iter()
        .filter(prefix)
        .max_by_key(|location| location.path.len())?;
    find(&longest.inner, uri).or(Some(longest))
}

impl<'a> RoutedRequest<'_> {
    fn say(&self, answer: &Return, settings: &InheritedSettings) -> Routed<'a> {
        let text: String = answer.text.iter().map(|part| self.value(part)).collect();
        let status = answer.status;
        Routed::Answer(match status {
            444 => return Routed::Drop,
            301 | 302 | 303 | 307 | 308 if !text.is_empty() => Response {
                location: text,
                ..Response::page(status)
            },
            204 => Response::text(204, ""),
            _ if text.is_empty() && status >= 300 => Response::page(status),
            _ => {
                let kind = settings.default_type.as_deref();
                Response {
                    content_type: kind.unwrap_or("text/plain").to_owned(),
                    ..Response::text(status, &text)
                }
            }
        })
    }

    fn value(&self, part: &Part) -> String {
        let name = match part {
            Part::Text(text) => return text.clone(),
            Part::Variable(name) => name.as_str(),
        };
        let query = self
            .request
            .path
            .split_once('?')
            .map_or("", |(_, query)| query);
        match name {
            "args" | "query_string" => query.to_owned(),
            "host" => self.host.to_owned(),
            "http_host" => self.request.host.clone(),
            "is_args" => if query.is_empty() { "" } else { "?" }.to_owned(),
            "pid" => self.pid.to_string(),
            "request_method" => self.request.method.clone(),
            "request_uri" => self.request.path.clone(),
            "scheme" => self.scheme().to_owned(),
            "server_name" => self.server.names.first().cloned().unwrap_or_default(),
            "server_port" => match self.target {
                ListenAddress::Tcp(address) => address.port().to_string(),
                ListenAddress::Unix(_) => String::new(),
            },
            "remote_addr" => match self.target {
                ListenAddress::Tcp(_) => "127.0.0.1".to_owned(),
                ListenAddress::Unix(_) => "unix:".to_owned(),
            },
            "uri" => self.uri.to_owned(),
            _ => String::new(),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.server.tls.contains(self.target) {
            "https"
        } else {
            "http"
        }
    }

    /// Answers with a file below the root.
    fn file(
        &self,
        settings: &InheritedSettings,
        location: Option<&Location>,
        prefix: &str,
        tree: &FileTree,
    ) -> Routed<'a> {
        if !["GET", "HEAD"].contains(&self.request.method.as_str()) {
            return Routed::Answer(Response::page(405));
        }
        let alias = location.and_then(|location| Some((location, location.alias.as_deref()?)));
        let path = match alias {
            Some((location, alias)) => format!("{alias}{}", &self.uri[location.path.len()..]),
            None => {
                let html = format!("{prefix}html");
                format!("{}{}", settings.root.as_deref().unwrap_or(&html), self.uri)
            }
        };
        let page = |status| Routed::Answer(Response::page(status));
        match tree.entry(&path, true) {
            Ok(TreeEntry::File(bytes)) if !path.ends_with('/') => {
                Routed::Answer(found(settings, &path, bytes))
            }
            Ok(TreeEntry::Folder) if !self.uri.ends_with('/') => {
                let port = match self.target {
                    ListenAddress::Tcp(address) => format!(":{}", address.port()),
                    ListenAddress::Unix(_) => String::new(),
                };
                let (scheme, host, uri) = (self.scheme(), self.host, self.uri);
                Routed::Answer(Response {
                    location: format!("{scheme}://{host}{port}{uri}/"),
                    ..Response::page(301)
                })
            }
            Ok(TreeEntry::Folder) => {
                let names = settings.index.clone();
                let names = names.unwrap_or_else(|| vec!["index.html".to_owned()]);
                let index = names.iter().find_map(|name| {
                    let path = format!("{path}{name}");
                    let bytes = tree.read(&path).ok()?;
                    Some(found(settings, &path, bytes))
                });
                index.map_or_else(|| page(403), Routed::Answer)
            }
            Ok(TreeEntry::File(_) | TreeEntry::Link(_) | TreeEntry::Socket) | Err(_) => page(404),
        }
    }
}

fn found(settings: &InheritedSettings, path: &str, bytes: &[u8]) -> Response {
    let name = path.rsplit('/').next().unwrap_or("");
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = match (&settings.types, extension) {
        (Some(types), _) => types.get(&extension.to_ascii_lowercase()).cloned(),
        (None, "html") => Some("text/html".to_owned()),
        (None, "gif") => Some("image/gif".to_owned()),
        (None, "jpg") => Some("image/jpeg".to_owned()),
        (None, _) => None,
    };
    let default = || settings.default_type.clone();
    Response {
        status: 200,
        content_type: known
            .or_else(default)
            .unwrap_or_else(|| "text/plain".to_owned()),
        location: String::new(),
        body: bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_dot_segments_and_percent_signs() {
        for (path, uri) in [
            ("/a/../b", Some("/b")),
            ("//a///b/", Some("/a/b/")),
            ("/a/.", Some("/a/")),
            ("/%61%2fb", Some("/a/b")),
            ("/..", None),
            ("/%zz", None),
            ("a", None),
        ] {
            assert_eq!(normalized(path).as_deref(), uri, "{path}");
        }
    }

    #[test]
    fn exact_names_outrank_wildcards_and_longer_wildcards_shorter_ones() {
        let rank = |name| fits(name, "x.b.test");
        assert!(rank("x.b.test") > rank("*.b.test"));
        assert!(rank("*.b.test") > rank("*.test"));
        assert!(rank("*.test") > rank("x.b.*"));
        assert_eq!(rank("b.test"), None);
        assert_eq!(fits(".b.test", "b.test"), Some((3, 0)));
    }
}

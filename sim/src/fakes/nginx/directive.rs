//! The directives that the fake knows: the blocks in which each may stand, the number of its arguments, and how these
//! are checked.
//!
//! For a directive that is not in the table, the fake gives nginx's error for an unknown directive.

/// The blocks in which a directive may stand, as a set of bits.
pub(super) type Contexts = u8;

/// Outside of every block.
pub(super) const MAIN: Contexts = 1;
/// In `events`.
pub(super) const EVENTS: Contexts = 2;
/// In `http`.
pub(super) const HTTP: Contexts = 4;
/// In `server`.
pub(super) const SERVER: Contexts = 8;
/// In `location`.
pub(super) const LOCATION: Contexts = 16;
/// In `upstream`.
pub(super) const UPSTREAM: Contexts = 32;

const SITES: Contexts = HTTP | SERVER | LOCATION;
const SERVERS: Contexts = HTTP | SERVER;
const ANYWHERE: Contexts = MAIN | EVENTS | HTTP | SERVER | LOCATION | UPSTREAM;

/// How a directive's arguments are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArgumentCheck {
    /// A block; at most one in its context.
    SingleBlock,
    /// A block.
    Block,
    /// `on` or `off`; at most one in its block.
    Flag,
    /// A number; at most one in its block.
    Number,
    /// A size such as `16k`; at most one in its block.
    Size,
    /// A time such as `10s`; at most one in its block.
    Time,
    /// Arbitrary words; at most one in its block.
    Once,
    /// Arbitrary words, any number of times.
    Any,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: &'static str,
    pub(super) contexts: Contexts,
    /// The minimum and maximum number of arguments.
    pub(super) arguments: (usize, usize),
    pub(super) kind: ArgumentCheck,
}

impl Directive {
    pub(super) const fn is_block(&self) -> bool {
        matches!(self.kind, ArgumentCheck::SingleBlock | ArgumentCheck::Block)
    }
}

const MANY: usize = usize::MAX;

const fn row(
    name: &'static str,
    contexts: Contexts,
    arguments: (usize, usize),
    kind: ArgumentCheck,
) -> Directive {
    Directive {
        name,
        contexts,
        arguments,
        kind,
    }
}

/// The table. [`super`] lists the directives that have an effect; the others are only checked.
pub(super) const DIRECTIVES: &[Directive] = &[
    row("include", ANYWHERE, (1, 1), ArgumentCheck::Any),
    row("daemon", MAIN, (1, 1), ArgumentCheck::Flag),
    row("error_log", MAIN, (1, 2), ArgumentCheck::Once),
    row("events", MAIN, (0, 0), ArgumentCheck::SingleBlock),
    row("http", MAIN, (0, 0), ArgumentCheck::SingleBlock),
    row("pid", MAIN, (1, 1), ArgumentCheck::Once),
    row("user", MAIN, (1, 2), ArgumentCheck::Any),
    row("worker_processes", MAIN, (1, 1), ArgumentCheck::Once),
    row("worker_rlimit_nofile", MAIN, (1, 1), ArgumentCheck::Number),
    row("worker_shutdown_timeout", MAIN, (1, 1), ArgumentCheck::Time),
    row("multi_accept", EVENTS, (1, 1), ArgumentCheck::Flag),
    row("worker_connections", EVENTS, (1, 1), ArgumentCheck::Number),
    row("server", HTTP, (0, 0), ArgumentCheck::Block),
    row("server", UPSTREAM, (1, MANY), ArgumentCheck::Any),
    row("upstream", HTTP, (1, 1), ArgumentCheck::Block),
    row("location", SERVER | LOCATION, (1, 2), ArgumentCheck::Block),
    row("types", SITES, (0, 0), ArgumentCheck::Block),
    row("limit_req_zone", HTTP, (3, 3), ArgumentCheck::Any),
    row("proxy_cache_path", HTTP, (2, MANY), ArgumentCheck::Any),
    row("log_format", HTTP, (2, MANY), ArgumentCheck::Any),
    row(
        "server_names_hash_bucket_size",
        HTTP,
        (1, 1),
        ArgumentCheck::Number,
    ),
    row(
        "server_names_hash_max_size",
        HTTP,
        (1, 1),
        ArgumentCheck::Number,
    ),
    row("types_hash_max_size", SITES, (1, 1), ArgumentCheck::Number),
    row("listen", SERVER, (1, MANY), ArgumentCheck::Any),
    row("server_name", SERVER, (1, MANY), ArgumentCheck::Any),
    row(
        "client_header_timeout",
        SERVERS,
        (1, 1),
        ArgumentCheck::Time,
    ),
    row("ssl_certificate", SERVERS, (1, 1), ArgumentCheck::Any),
    row("ssl_certificate_key", SERVERS, (1, 1), ArgumentCheck::Any),
    row("ssl_protocols", SERVERS, (1, MANY), ArgumentCheck::Any),
    row("ssl_ciphers", SERVERS, (1, 1), ArgumentCheck::Once),
    row("ssl_session_cache", SERVERS, (1, 2), ArgumentCheck::Any),
    row("ssl_session_timeout", SERVERS, (1, 1), ArgumentCheck::Time),
    row("ssl_session_tickets", SERVERS, (1, 1), ArgumentCheck::Flag),
    row(
        "ssl_prefer_server_ciphers",
        SERVERS,
        (1, 1),
        ArgumentCheck::Flag,
    ),
    row("access_log", SITES, (1, MANY), ArgumentCheck::Any),
    row("add_header", SITES, (2, 3), ArgumentCheck::Any),
    row("alias", LOCATION, (1, 1), ArgumentCheck::Once),
    row(
        "chunked_transfer_encoding",
        SITES,
        (1, 1),
        ArgumentCheck::Flag,
    ),
    row("client_body_temp_path", SITES, (1, 4), ArgumentCheck::Once),
    row("client_body_timeout", SITES, (1, 1), ArgumentCheck::Time),
    row("client_max_body_size", SITES, (1, 1), ArgumentCheck::Size),
    row("default_type", SITES, (1, 1), ArgumentCheck::Once),
    row("fastcgi_temp_path", SITES, (1, 4), ArgumentCheck::Once),
    row("gzip", SITES, (1, 1), ArgumentCheck::Flag),
    row("gzip_types", SITES, (1, MANY), ArgumentCheck::Any),
    row("index", SITES, (1, MANY), ArgumentCheck::Any),
    row("internal", LOCATION, (0, 0), ArgumentCheck::Any),
    row("keepalive", UPSTREAM, (1, 1), ArgumentCheck::Once),
    row(
        "keepalive_timeout",
        SITES | UPSTREAM,
        (1, 2),
        ArgumentCheck::Once,
    ),
    row("limit_req", SITES, (1, 3), ArgumentCheck::Any),
    row("proxy_buffering", SITES, (1, 1), ArgumentCheck::Flag),
    row("proxy_buffers", SITES, (2, 2), ArgumentCheck::Once),
    row("proxy_cache", SITES, (1, 1), ArgumentCheck::Once),
    row("proxy_cache_valid", SITES, (1, MANY), ArgumentCheck::Any),
    row("proxy_connect_timeout", SITES, (1, 1), ArgumentCheck::Time),
    row("proxy_http_version", SITES, (1, 1), ArgumentCheck::Once),
    row("proxy_next_upstream", SITES, (1, MANY), ArgumentCheck::Any),
    row(
        "proxy_next_upstream_tries",
        SITES,
        (1, 1),
        ArgumentCheck::Number,
    ),
    row("proxy_pass", LOCATION, (1, 1), ArgumentCheck::Once),
    row("proxy_read_timeout", SITES, (1, 1), ArgumentCheck::Time),
    row("proxy_send_timeout", SITES, (1, 1), ArgumentCheck::Time),
    row("proxy_set_header", SITES, (2, 2), ArgumentCheck::Any),
    row("proxy_temp_path", SITES, (1, 4), ArgumentCheck::Once),
    row("return", SERVER | LOCATION, (1, 2), ArgumentCheck::Any),
    row("root", SITES, (1, 1), ArgumentCheck::Once),
    row("scgi_temp_path", SITES, (1, 4), ArgumentCheck::Once),
    row("send_timeout", SITES, (1, 1), ArgumentCheck::Time),
    row("sendfile", SITES, (1, 1), ArgumentCheck::Flag),
    row("server_tokens", SITES, (1, 1), ArgumentCheck::Once),
    row("stub_status", SERVER | LOCATION, (0, 1), ArgumentCheck::Any),
    row("tcp_nodelay", SITES, (1, 1), ArgumentCheck::Flag),
    row("tcp_nopush", SITES, (1, 1), ArgumentCheck::Flag),
    row("uwsgi_temp_path", SITES, (1, 4), ArgumentCheck::Once),
];

/// The row of a directive's name in a context.
///
/// # Errors
/// The error is the text of nginx's message.
pub(super) fn find(name: &str, context: Contexts) -> Result<&'static Directive, String> {
    let mut known = false;
    for directive in DIRECTIVES.iter().filter(|row| row.name == name) {
        if directive.contexts & context != 0 {
            return Ok(directive);
        }
        known = true;
    }
    Err(if known {
        format!("\"{name}\" directive is not allowed here")
    } else {
        format!("unknown directive \"{name}\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_for_its_context() {
        assert!(find("server", HTTP).is_ok_and(Directive::is_block));
        assert!(find("server", UPSTREAM).is_ok_and(|row| !row.is_block()));
        let elsewhere = "\"server\" directive is not allowed here";
        assert_eq!(find("server", MAIN).err().as_deref(), Some(elsewhere));
        let unknown = "unknown directive \"retrun\"";
        assert_eq!(find("retrun", SERVER).err().as_deref(), Some(unknown));
    }

    #[test]
    fn no_two_rows_share_a_name_and_a_context() {
        for (at, row) in DIRECTIVES.iter().enumerate() {
            for other in &DIRECTIVES[at + 1..] {
                let clash = row.name == other.name && row.contexts & other.contexts != 0;
                assert!(!clash, "{} stands twice in the table", row.name);
            }
        }
    }
}

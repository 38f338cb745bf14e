//! A fake nginx: all nginx processes of one simulated host as one state machine without input or output.
//!
//! The inputs of [`Nginx`] are commands, signals, connections and requests, together with a [`NginxHost`] that holds
//! the files. Its outputs are exit codes, lines on standard error and in the error log, and answers; the fake decides
//! the worker that answers, the worker's configuration, and the time. The fake follows nginx 1.22.1 of Debian 12; the
//! conformance suite (tests/conformance) runs on both.
//!
//! [`NginxProgram`] makes a program of the fake.
//!
//! **Commands.** A start (also with `daemon off`), `-t`, `-q`, `-v`, `-s stop|quit|reload`, with `-p`, `-c` and `-e`. The
//! virtual costs are those of [`Blocks`].
//!
//! **Signals.** HUP, QUIT, TERM and KILL, to masters and workers. USR1, USR2 and WINCH are not modelled, so logs are
//! not reopened and the binary is not replaced.
//!
//! **Directives with an effect.** `include` (with globs), `daemon`, `error_log` (path, level), `events`, `http`, `pid`,
//! `user` (the warning), `worker_processes`, `worker_shutdown_timeout`, `server`, `upstream` (`weight`, `max_fails`,
//! `fail_timeout`, `down`, `backup`), `location` (exact and prefix, nested), `types`, `limit_req_zone`, `limit_req`,
//! `proxy_cache_path`, `proxy_cache`, `listen` (addresses, ports, `unix:`, `default_server`, `ssl`), `server_name` (exact
//! and wildcard), `client_header_timeout`, `ssl_certificate`, `ssl_certificate_key`, `access_log` (that the file can be
//! opened), `alias`, `root`, `index`, `default_type`, `internal`, `return`, `proxy_pass`, `proxy_read_timeout`,
//! `stub_status`, the five `*_temp_path`.
//!
//! **Directives that are checked but have no effect.** The rest of the table in `directive.rs`. For a directive outside
//! of the table, the fake gives nginx's error for an unknown directive.
//!
//! **Not modelled.** Regular expressions, named locations and variables in `proxy_pass` are rejected with an `[emerg]`
//! message that names the missing part. `limit_req` does not limit requests and a cache does not store responses: their
//! zones matter only for the checks of a reload. TLS is checked only as far as the files of a certificate allow;
//! requests to a TLS listener are answered without TLS. After a log file is renamed, messages are still written under
//! its old name. Idle connections are kept until one side closes them.

mod balance;
mod command;
mod configuration;
mod cost;
mod directive;
mod finish;
mod host;
mod load;
mod log;
mod machine;
mod master;
mod program;
mod route;
mod site;
mod timing;
mod tls;
mod token;
mod value;
mod worker;

pub use configuration::ListenAddress;
pub use cost::Blocks;
pub use host::NginxHost;
pub use log::Level;
pub use machine::{Child, ConnectRefusal, Input, Nginx, Output, UpstreamOutcome};
pub use program::{HttpRequest, HttpResponse, Installed, NAMES, NGINX, NginxProgram, SOCKETS};
pub use route::{NginxRequest, Response};
pub use timing::{BIND_PAUSE, BIND_TRIES, MIXED_WINDOW};

//! `nginx -t`: exit codes and standard error.

use super::{NginxUnderTest, Part, configuration, generation, plain_all, run, start, test};

const OK: &str = "nginx: the configuration file P/gen/v1/nginx.conf syntax is ok";
const PASSED: &str = "nginx: configuration file P/gen/v1/nginx.conf test is successful";
const FAILED: &str = "nginx: configuration file P/gen/v1/nginx.conf test failed";

/// Tests a configuration; returns the exit code and the lines on standard error.
fn said(part: Part<'_>, main: &str, http: &str) -> (i32, Vec<String>) {
    generation(part, "v1", main, http);
    let ran = test(part, "v1");
    (ran.code, plain_all(part, &ran.stderr))
}

/// Asserts that a configuration passes with these lines before the verdict.
fn passes(part: Part<'_>, main: &str, http: &str, warnings: &[&str]) {
    let mut expected: Vec<&str> = warnings.to_vec();
    expected.extend([OK, PASSED]);
    assert_eq!(
        said(part, main, http),
        (0, owned(&expected)),
        "{main}{http}"
    );
}

/// Asserts that reading fails at a line of the generation's file; lines from 16 on are those of `http`.
fn fails(part: Part<'_>, main: &str, http: &str, message: &str, line: u32) {
    let fault = format!("TIME [emerg] PID: {message} in P/gen/v1/nginx.conf:{line}");
    let expected = (1, owned(&[&fault, FAILED]));
    assert_eq!(said(part, main, http), expected, "{main}{http}");
}

/// Asserts that a check fails; `lines` come before the verdict.
fn rejects(part: Part<'_>, http: &str, lines: &[&str]) {
    let mut expected: Vec<&str> = lines.to_vec();
    expected.push(FAILED);
    assert_eq!(said(part, "", http), (1, owned(&expected)), "{http}");
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn site(rest: &str) -> String {
    format!("server {{ listen 127.0.0.1:18080; {rest} }}")
}

pub(super) fn author_faults_name_file_and_line(part: &mut dyn NginxUnderTest) {
    for (http, message, line) in [
        ("server { retrun 200; }", "unknown directive \"retrun\"", 16),
        ("\nserver {\nbogus on; }", "unknown directive \"bogus\"", 18),
        ("listen 80;", "\"listen\" directive is not allowed here", 16),
        (
            "location / { }",
            "\"location\" directive is not allowed here",
            16,
        ),
        (
            "server_tokens { }",
            "directive \"server_tokens\" is not terminated by \";\"",
            16,
        ),
        ("server;", "directive \"server\" has no opening \"{\"", 16),
        (
            "server { listen; }",
            "invalid number of arguments in \"listen\" directive",
            16,
        ),
        (
            "sendfile on\ntcp_nopush on;",
            "invalid number of arguments in \"sendfile\" directive",
            17,
        ),
        (
            "server { root /a; root /b; }",
            "\"root\" directive is duplicate",
            16,
        ),
        (
            "server { listen 127.0.0.1:18080\nserver_name a; }",
            "invalid parameter \"server_name\"",
            17,
        ),
    ] {
        fails(part, "", http, message, line);
    }
    fails(
        part,
        "events {}",
        "",
        "\"events\" directive is duplicate",
        6,
    );
    let once = "\"worker_processes\" directive is duplicate";
    fails(part, "worker_processes 2;", "", once, 3);
}

pub(super) fn words_and_blocks_are_read_alike(part: &mut dyn NginxUnderTest) {
    let end = "unexpected end of file, expecting \";\" or \"}\"";
    for (http, message, line) in [
        (";", "unexpected \";\"", 16),
        ("{ }", "unexpected \"{\"", 16),
        ("root a }", "unexpected \"}\"", 16),
        ("} }", "unexpected \"}\"", 16),
        (&site("return 200 \"a\"b;"), "unexpected \"b\"", 16),
        (&site("return 200 \"a;"), end, 18),
        ("server {", "unexpected end of file, expecting \"}\"", 18),
        ("# comment }\r\nbogus;", "unknown directive \"bogus\"", 17),
        ("\u{feff}root /a;", "unknown directive \"\u{feff}root\"", 16),
    ] {
        fails(part, "", http, message, line);
    }
    let words =
        "return 200 'a;{' ; # }\n location /${b { } location \"/c d\" { } location /e\\;f { }";
    passes(part, "", &site(&words.replace("${b", "b#")), &[]);
    for (text, message, line) in [("x", end, 18), ("include", end, 18)] {
        let whole = configuration(part, "v1", "", "") + text;
        part.write("gen/v1/nginx.conf", &whole);
        let ran = test(part, "v1");
        let fault = format!("TIME [emerg] PID: {message} in P/gen/v1/nginx.conf:{line}");
        assert_eq!(plain_all(part, &ran.stderr), [&fault, FAILED], "{text}");
    }
}

pub(super) fn values_are_checked_alike(part: &mut dyn NginxUnderTest) {
    for (http, message) in [
        (
            site("chunked_transfer_encoding maybe;").as_str(),
            "invalid value \"maybe\" in \"chunked_transfer_encoding\" directive, it must be \"on\" or \"off\"",
        ),
        (
            "client_max_body_size 1x;",
            "\"client_max_body_size\" directive invalid value",
        ),
        (
            "client_body_timeout 1x;",
            "\"client_body_timeout\" directive invalid value",
        ),
        ("server_names_hash_max_size x;", "invalid number"),
        (&site("return abc;"), "invalid return code \"abc\""),
        (
            "server { listen 127.0.0.1:99999; }",
            "invalid port in \"127.0.0.1:99999\" of the \"listen\" directive",
        ),
        (
            "server { listen 127.0.0.1:18080 foo; }",
            "invalid parameter \"foo\"",
        ),
        (
            "server { listen unix:; }",
            "no path in the unix domain socket in \"unix:\" of the \"listen\" directive",
        ),
        (
            "server { listen 127.0.0.1:18080; listen 127.0.0.1:18080; }",
            "a duplicate listen 127.0.0.1:18080",
        ),
        (
            "server { listen 127.0.0.1:18080 default_server; } server { listen 127.0.0.1:18080 default_server; }",
            "a duplicate default server for 127.0.0.1:18080",
        ),
        (
            &site("location / { proxy_pass 127.0.0.1:1; }"),
            "invalid URL prefix",
        ),
    ] {
        let message = if message == "invalid number" {
            "\"server_names_hash_max_size\" directive invalid number"
        } else {
            message
        };
        fails(part, "", http, message, 16);
    }
    let level = "invalid log level \"loud\"";
    fails(
        part,
        "worker_rlimit_nofile x;",
        "",
        "\"worker_rlimit_nofile\" directive invalid number",
        3,
    );
    generation(part, "v1", "", "");
    let text = configuration(part, "v1", "", "").replace("error.log notice", "error.log loud");
    part.write("gen/v1/nginx.conf", &text);
    let ran = test(part, "v1");
    let fault = format!("TIME [emerg] PID: {level} in P/gen/v1/nginx.conf:4");
    assert_eq!(plain_all(part, &ran.stderr), [&fault, FAILED]);
}

pub(super) fn names_that_do_not_resolve_are_faults(part: &mut dyn NginxUnderTest) {
    for (http, message) in [
        (
            "server { listen nosuch.invalid:18080; }",
            "host not found in \"nosuch.invalid:18080\" of the \"listen\" directive",
        ),
        (
            "upstream u { server nosuch.invalid:81; }",
            "host not found in upstream \"nosuch.invalid:81\"",
        ),
        (
            &site("location / { proxy_pass http://nosuch.invalid/x; }"),
            "host not found in upstream \"nosuch.invalid\"",
        ),
    ] {
        fails(part, "", http, message, 16);
    }
    // The name in `proxy_pass` is resolved after the rest of the configuration is read.
    let both = site("location / { proxy_pass http://nosuch.invalid; }") + "\nbogus;";
    fails(part, "", &both, "unknown directive \"bogus\"", 17);
}

pub(super) fn addresses_that_cannot_be_bound_fail_after_the_syntax(part: &mut dyn NginxUnderTest) {
    let foreign =
        "nginx: [emerg] bind() to 192.0.2.7:18080 failed (99: Cannot assign requested address)";
    rejects(part, "server { listen 192.0.2.7:18080; }", &[OK, foreign]);
    let logged = part.read("logs/error.log").unwrap_or_default();
    assert!(
        logged.contains("[emerg]") && logged.contains("bind() to 192.0.2.7:18080"),
        "{logged}"
    );
    let privileged = "server { listen 127.0.0.1:79; }";
    if part.first_unprivileged_port() > 79 {
        let denied = "nginx: [emerg] bind() to 127.0.0.1:79 failed (13: Permission denied)";
        rejects(part, privileged, &[OK, denied]);
    } else {
        passes(part, "", privileged, &[]);
    }
}

pub(super) fn warnings_pass(part: &mut dyn NginxUnderTest) {
    let twice = site("server_name a;") + &site("server_name a b;");
    let conflict = "TIME [warn] PID: conflicting server name \"a\" on 127.0.0.1:18080, ignored";
    passes(part, "", &twice, &[conflict]);
    let user = "TIME [warn] PID: the \"user\" directive makes sense only if the master process runs with \
                super-user privileges, ignored in P/gen/v1/nginx.conf:3";
    passes(part, "user www-data;", "", &[user]);
}

pub(super) fn zones_are_checked_alike(part: &mut dyn NginxUnderTest) {
    let zone = "limit_req_zone $binary_remote_addr zone=z:64k rate=1r/s;";
    passes(
        part,
        "",
        &format!(
            "{zone} {}",
            site("location / { limit_req zone=z burst=5 nodelay; }")
        ),
        &[],
    );
    // A zone may be used before it is defined.
    passes(part, "", &format!("limit_req zone=z; {zone}"), &[]);
    for (http, message) in [
        (
            "limit_req_zone $host zone=z:1k rate=1r/s;".to_owned(),
            "zone \"zone=z:1k\" is too small",
        ),
        (
            "limit_req_zone $host zone=z:64k rate=0r/s;".to_owned(),
            "invalid rate \"rate=0r/s\"",
        ),
        (
            "limit_req_zone $host rate=1r/s rate=1r/s;".to_owned(),
            "\"limit_req_zone\" must have \"zone\" parameter",
        ),
        (
            "limit_req burst=1;".to_owned(),
            "\"limit_req\" must have \"zone\" parameter",
        ),
        (
            format!("{zone} limit_req_zone $server_name zone=z:64k rate=1r/s;"),
            "limit_req_zone \"z\" is already bound to key \"$binary_remote_addr\"",
        ),
        (
            format!("{zone} limit_req_zone $server_name zone=z:128k rate=1r/s;"),
            "the size 131072 of shared memory zone \"z\" conflicts with already declared size 65536",
        ),
        (
            "proxy_cache_path cache levels=1:2;".to_owned(),
            "\"proxy_cache_path\" must have \"keys_zone\" parameter",
        ),
        (
            "proxy_cache_path a keys_zone=c:64k; proxy_cache_path b keys_zone=c:64k;".to_owned(),
            "duplicate zone \"c\"",
        ),
        (
            format!("{zone} proxy_cache_path a keys_zone=z:64k;"),
            "the shared memory zone \"z\" is already declared for a different use",
        ),
    ] {
        fails(part, "", &http, message, 16);
    }
    let cache = site("location / { proxy_cache c; proxy_pass http://127.0.0.1:1; }");
    fails(
        part,
        "",
        &cache,
        "\"proxy_cache\" zone \"c\" is unknown",
        17,
    );
    passes(
        part,
        "",
        &format!("{cache} proxy_cache_path cache levels=1:2 keys_zone=c:64k;"),
        &[],
    );
}

pub(super) fn faults_without_a_place(part: &mut dyn NginxUnderTest) {
    let variable = "TIME [emerg] PID: unknown \"nosuch\" variable";
    rejects(part, &site("return 200 $nosuch;"), &[variable]);
    let zone = "TIME [emerg] PID: zero size shared memory zone \"z\"";
    rejects(part, &site("limit_req zone=z;"), &[OK, zone]);
    part.write("gen/v1/nginx.conf", "http { }");
    let ran = test(part, "v1");
    let events = "TIME [emerg] PID: no \"events\" section in configuration";
    assert_eq!(
        (ran.code, plain_all(part, &ran.stderr)),
        (1, owned(&[OK, events, FAILED]))
    );
    part.remove("gen/v1/nginx.conf");
    let ran = test(part, "v1");
    let open =
        "TIME [emerg] PID: open() \"P/gen/v1/nginx.conf\" failed (2: No such file or directory)";
    assert_eq!(
        (ran.code, plain_all(part, &ran.stderr)),
        (1, owned(&[open, FAILED]))
    );
}

pub(super) fn upstreams_are_checked_alike(part: &mut dyn NginxUnderTest) {
    for (http, message) in [
        ("upstream u { }", "no servers are inside upstream"),
        (
            "upstream u { server 127.0.0.1:1; } upstream u { server 127.0.0.1:1; }",
            "duplicate upstream \"u\"",
        ),
        (
            "upstream u { server 127.0.0.1:1 wieght=2; }",
            "invalid parameter \"wieght=2\"",
        ),
        (
            "upstream u { server 127.0.0.1:1 weight=0; }",
            "invalid parameter \"weight=0\"",
        ),
        (
            "upstream u { server 127.0.0.1:0; }",
            "invalid port in upstream \"127.0.0.1:0\"",
        ),
        (
            "upstream u { server 127.0.0.1:1 backup; }",
            "no servers in upstream \"u\"",
        ),
    ] {
        fails(part, "", http, message, 16);
    }
    passes(
        part,
        "",
        "upstream u { server 127.0.0.1:1 down; server localhost:2 max_fails=3 fail_timeout=5s; }",
        &[],
    );
}

pub(super) fn locations_are_checked_alike(part: &mut dyn NginxUnderTest) {
    for (rest, message) in [
        ("location / { } location / { }", "duplicate location \"/\""),
        ("location !! / { }", "invalid location modifier \"!!\""),
        (
            "location /a { location /b { } }",
            "location \"/b\" is outside location \"/a\"",
        ),
        (
            "location = /a { location /a { } }",
            "location \"/a\" cannot be inside the exact location \"/a\"",
        ),
    ] {
        fails(part, "", &site(rest), message, 16);
    }
    // Locations are compared after the rest of the configuration is read.
    let both = site("location / { } location / { }") + "\nbogus;";
    fails(part, "", &both, "unknown directive \"bogus\"", 17);
    passes(
        part,
        "",
        &site("location / { } location = / { } location /a { location /a/b { } }"),
        &[],
    );
}

pub(super) fn files_that_cannot_be_read_or_made(part: &mut dyn NginxUnderTest) {
    fails(
        part,
        "",
        "include nosuch.conf;",
        "open() \"P/gen/v1/nosuch.conf\" failed (2: No such file or directory)",
        16,
    );
    generation(part, "v1", "", "");
    for (old, new, message) in [
        (
            "/logs/",
            "/nologs/",
            "open() \"P/nologs/error.log\" failed (2: No such file or directory)",
        ),
        (
            "tmp/body",
            "none/body",
            "mkdir() \"P/none/body\" failed (2: No such file or directory)",
        ),
        (
            "/run/nginx.pid",
            "/norun/nginx.pid",
            "open() \"P/norun/nginx.pid\" failed (2: No such file or directory)",
        ),
    ] {
        let text = configuration(part, "v1", "", "").replace(old, new);
        part.write("gen/v1/nginx.conf", &text);
        let ran = test(part, "v1");
        let fault = format!("TIME [emerg] PID: {message}");
        let said = plain_all(part, &ran.stderr);
        assert_eq!((ran.code, said), (1, owned(&[OK, &fault, FAILED])), "{new}");
    }
}

pub(super) fn includes_follow_globs(part: &mut dyn NginxUnderTest) {
    passes(part, "", "include none/*.conf;", &[]);
    generation(part, "v1", "", "");
    // Files are read in the order of their names; a hidden file is not read.
    part.write("gen/v1/conf.d/b.conf", "bogus_b;");
    part.write("gen/v1/conf.d/a.conf", "sendfile on;\nbogus_a;");
    part.write("gen/v1/conf.d/.h.conf", "bogus_h;");
    let ran = test(part, "v1");
    let fault = "TIME [emerg] PID: unknown directive \"bogus_a\" in P/gen/v1/conf.d/a.conf:2";
    assert_eq!(plain_all(part, &ran.stderr), [fault, FAILED]);
    // A brace cannot be closed in another file.
    part.write("gen/v1/conf.d/a.conf", "server {");
    let ran = test(part, "v1");
    let fault =
        "TIME [emerg] PID: unexpected end of file, expecting \"}\" in P/gen/v1/conf.d/a.conf:1";
    assert_eq!(plain_all(part, &ran.stderr), [fault, FAILED]);
    part.write("gen/v1/conf.d/a.conf", "}");
    let ran = test(part, "v1");
    let fault = "TIME [emerg] PID: unexpected \"}\" in P/gen/v1/conf.d/a.conf:1";
    assert_eq!(plain_all(part, &ran.stderr), [fault, FAILED]);
}

pub(super) fn a_port_that_another_process_has_passes(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    part.occupy(port);
    passes(
        part,
        "",
        &format!("server {{ listen 127.0.0.1:{port}; }}"),
        &[],
    );
}

pub(super) fn a_test_makes_folders_and_an_empty_pid_file(part: &mut dyn NginxUnderTest) {
    passes(part, "", &site(""), &[]);
    assert_eq!(part.list("run"), ["nginx.pid"]);
    assert_eq!(part.read("run/nginx.pid").as_deref(), Some(""));
    assert_eq!(
        part.list("tmp"),
        ["body", "fastcgi", "proxy", "scgi", "uwsgi"]
    );
    assert_eq!(part.read("logs/error.log").as_deref(), Some(""));
    let ran = run(
        part,
        &[
            "-c",
            "gen/v1/nginx.conf",
            "-e",
            "logs/error.log",
            "-s",
            "reload",
        ],
    );
    let fault = "nginx: [error] invalid PID number \"\" in \"P/run/nginx.pid\"";
    assert_eq!(
        (ran.code, plain_all(part, &ran.stderr)),
        (1, owned(&[fault]))
    );
}

pub(super) fn a_test_beside_a_running_nginx_changes_nothing(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let http = format!("server {{ listen 127.0.0.1:{port}; }}");
    generation(part, "v1", "", &http);
    let master = start(part);
    passes(part, "", &http, &[]);
    let pid = part.read("run/nginx.pid").unwrap_or_default();
    assert_eq!(pid.trim(), master.to_string());
    assert_eq!(part.list("run"), ["nginx.pid", "p.sock"]);
}

pub(super) fn options_are_checked_alike(part: &mut dyn NginxUnderTest) {
    generation(part, "v1", "", "");
    let quiet = run(
        part,
        &["-c", "gen/v1/nginx.conf", "-e", "stderr", "-t", "-q"],
    );
    assert_eq!((quiet.code, quiet.stderr), (0, Vec::new()));
    let version = run(part, &["-v"]);
    assert_eq!(version.code, 0);
    assert!(
        version.stderr[0].starts_with("nginx version: nginx/1."),
        "{version:?}"
    );
    let wrong = run(part, &["-s", "foo"]);
    assert_eq!(
        (wrong.code, wrong.stderr),
        (1, owned(&["nginx: invalid option: \"-s foo\""]))
    );
    let wrong = run(part, &["-z"]);
    assert_eq!(
        (wrong.code, wrong.stderr),
        (1, owned(&["nginx: invalid option: \"z\""]))
    );
    // If the log is a file, messages on standard error have no timestamp.
    part.write("gen/v1/nginx.conf", "bogus;");
    let ran = run(
        part,
        &["-c", "gen/v1/nginx.conf", "-e", "logs/error.log", "-t"],
    );
    let fault = "nginx: [emerg] unknown directive \"bogus\" in P/gen/v1/nginx.conf:1";
    assert_eq!(
        (ran.code, plain_all(part, &ran.stderr)),
        (1, owned(&[fault, FAILED]))
    );
}

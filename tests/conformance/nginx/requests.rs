//! How requests are routed and answered: by server, by location, by file.

use super::{Address, Answer, NginxUnderTest, Part, generation, get, start};

fn serve(part: Part<'_>, http: &str) {
    generation(part, "v1", "", http);
    start(part);
}

fn asked(part: Part<'_>, port: u16, host: &str, path: &str) -> (u16, String) {
    get(part, &Address::Port(port), host, path)
        .map_or((0, String::new()), |it| (it.status, it.body))
}

pub(super) fn servers_are_chosen_by_name(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let servers = [
        ("a.test", "A"),
        ("b.test *.b.test", "B"),
        ("www.*", "W"),
        (".dot.test", "D"),
        ("x.b.test", "X"),
        ("*.long.b.test", "L"),
    ];
    let server = |(name, text): &(&str, &str)| {
        format!("server {{ listen 127.0.0.1:{port}; server_name {name}; return 200 {text}; }}\n")
    };
    let last = format!("server {{ listen 127.0.0.1:{port}; server_name closed; return 444; }}");
    serve(
        part,
        &(servers.iter().map(server).collect::<String>() + &last),
    );
    for (host, text) in [
        ("a.test", "A"),
        ("A.TEST:80", "A"),
        ("b.test", "B"),
        ("q.b.test", "B"),
        ("x.b.test", "X"),
        ("y.long.b.test", "L"),
        ("www.z", "W"),
        ("dot.test", "D"),
        ("q.dot.test", "D"),
        ("other", "A"),
    ] {
        assert_eq!(
            asked(part, port, host, "/"),
            (200, text.to_owned()),
            "{host}"
        );
    }
    assert_eq!(asked(part, port, "closed", "/").0, 0);
    assert_eq!(asked(part, port, "", "/").0, 400);
}

pub(super) fn locations_are_chosen_by_path(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let http = format!(
        "server {{ listen 127.0.0.1:{port};
           location / {{ return 200 root; }}
           location = /e {{ return 200 exact; }}
           location /p {{ return 200 p; location /p/in {{ return 200 inner; }} }}
           location ^~ /p/q {{ return 200 q; }}
           location /hidden {{ internal; }} }}"
    );
    serve(part, &http);
    for (path, text) in [
        ("/", "root"),
        ("/e", "exact"),
        ("/e2", "root"),
        ("/p", "p"),
        ("/pp", "p"),
        ("/p/in/x", "inner"),
        ("/p/q/r", "q"),
        ("/p/../e", "exact"),
        ("//e?x=1", "exact"),
        ("/%65", "exact"),
    ] {
        assert_eq!(
            asked(part, port, "a", path),
            (200, text.to_owned()),
            "{path}"
        );
    }
    assert_eq!(asked(part, port, "a", "/hidden").0, 404);
    assert_eq!(asked(part, port, "a", "/..").0, 400);
}

pub(super) fn answers_are_returned(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let http = format!(
        "server {{ listen 127.0.0.1:{port}; server_name one two; default_type text/x-test;
           location /moved {{ return 301 http://else.test$request_uri; }}
           location /see {{ return http://else.test/; }}
           location /vars {{ return 200 \"$host $server_name $uri $args $server_port $request_method $scheme\"; }}
           location /empty {{ return 204; }}
           location /gone {{ return 410 gone; }}
           location /page {{ return 404; }}
           location /first {{ return 200 first; return 200 second; }} }}"
    );
    serve(part, &http);
    let address = Address::Port(port);
    let mut ask = |path: &str| get(part, &address, "two:1", path).expect("an answer");
    let moved = ask("/moved/x?y=1");
    assert_eq!(
        (moved.status, moved.location.as_str()),
        (301, "http://else.test/moved/x?y=1")
    );
    let see = ask("/see");
    assert_eq!(
        (see.status, see.location.as_str()),
        (302, "http://else.test/")
    );
    let text = |status, body: String| Answer {
        status,
        content_type: "text/x-test".to_owned(),
        location: String::new(),
        body,
    };
    assert_eq!(
        ask("/vars?q"),
        text(200, format!("two one /vars q {port} GET http"))
    );
    assert_eq!(ask("/gone"), text(410, "gone".to_owned()));
    assert_eq!(ask("/first"), text(200, "first".to_owned()));
    let empty = ask("/empty");
    assert_eq!((empty.status, empty.body.as_str()), (204, ""));
    let page = ask("/page");
    assert_eq!(
        (page.status, page.content_type.as_str()),
        (404, "text/html")
    );
    assert!(
        page.body
            .contains("<center><h1>404 Not Found</h1></center>"),
        "{}",
        page.body
    );
}

pub(super) fn files_are_served(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let p = part.prefix();
    let http = format!(
        "server {{ listen 127.0.0.1:{port}; root {p}/www; default_type text/x-other;
           types {{ text/html html htm; text/x-token token; }}
           location /alias/ {{ alias {p}/other/; }} }}"
    );
    part.write("www/index.html", "index");
    part.write("www/d/f.token", "token");
    part.write("www/d/plain", "plain");
    part.write("other/g.htm", "g");
    part.link("d", "www/l");
    serve(part, &http);
    let address = Address::Port(port);
    let mut ask = |path: &str| {
        let answer = get(part, &address, "a", path).expect("an answer");
        (answer.status, answer.content_type, answer.body)
    };
    let file = |kind: &str, body: &str| (200, kind.to_owned(), body.to_owned());
    assert_eq!(ask("/"), file("text/html", "index"));
    assert_eq!(ask("/d/f.token"), file("text/x-token", "token"));
    assert_eq!(ask("/l/plain"), file("text/x-other", "plain"));
    assert_eq!(ask("/alias/g.htm"), file("text/html", "g"));
    assert_eq!(ask("/none").0, 404);
    assert_eq!(ask("/d/").0, 403);
    let folder = get(part, &address, "a", "/d").expect("an answer");
    assert_eq!(
        (folder.status, folder.location),
        (301, format!("http://a:{port}/d/"))
    );
}

pub(super) fn a_wildcard_address_serves_for_others(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let other = part.free_port();
    let http = format!(
        "server {{ listen {port}; return 200 any; }}
         server {{ listen 127.0.0.1:{port}; return 200 exact; }}
         server {{ listen *:{other}; return 200 star; }}
         server {{ listen *:{other} default_server; return 200 default; }}"
    );
    serve(part, &http);
    assert_eq!(asked(part, port, "a", "/").1, "exact");
    assert_eq!(asked(part, other, "a", "/").1, "default");
}

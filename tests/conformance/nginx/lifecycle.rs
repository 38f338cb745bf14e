//! Starts, ends and crashes.

use super::{
    Address, NginxUnderTest, PROBE, START, Signal, configuration, generation, get, log_length,
    logged, master, of, plain_all, run, start, two_workers, until, version, workers,
};
use core::time::Duration;

fn site(port: u16) -> String {
    format!("server {{ listen 127.0.0.1:{port}; return 200 site; }}")
}

pub(super) fn a_start_serves_and_logs(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    generation(part, "v1", "", &site(port));
    let master = start(part);
    let children = two_workers(part, master);
    assert_eq!(version(part), "v1");
    let answer = get(part, &Address::Port(port), "a", "/x").expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "site"));
    let lines = logged(part, 0);
    let expected = [
        "[notice] start worker processes".to_owned(),
        format!("[notice] start worker process {}", children[0]),
        format!("[notice] start worker process {}", children[1]),
    ];
    assert_eq!(of(&lines, master), expected);
    assert_eq!(part.list("run"), ["nginx.pid", "p.sock"]);
}

pub(super) fn a_bad_configuration_does_not_start(part: &mut dyn NginxUnderTest) {
    generation(part, "v1", "", "bogus;");
    let ran = run(part, &START);
    let fault = "nginx: [emerg] unknown directive \"bogus\" in P/current/nginx.conf:16";
    assert_eq!(
        (ran.code, plain_all(part, &ran.stderr)),
        (1, vec![fault.to_owned()])
    );
    assert!(part.connect(&PROBE).is_err());
    assert!(part.list("run").is_empty());
}

pub(super) fn a_taken_port_fails_the_start_after_five_tries(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    part.occupy(port);
    generation(part, "v1", "", &site(port));
    let began = part.elapsed();
    let ran = run(part, &START);
    let took = part.elapsed() - began;
    let bind =
        format!("nginx: [emerg] bind() to 127.0.0.1:{port} failed (98: Address already in use)");
    let mut expected = vec![bind; 5];
    expected.push("nginx: [emerg] still could not bind()".to_owned());
    assert_eq!((ran.code, ran.stderr), (1, expected));
    assert!(
        took >= Duration::from_millis(2_500) && took < Duration::from_secs(10),
        "{took:?}"
    );
    let lines = logged(part, 0);
    let pauses = lines
        .iter()
        .filter(|line| line.text == "try again to bind() after 500ms");
    assert_eq!(pauses.count(), 5);
    // The bound socket leaves its file behind, which blocks the next start.
    assert_eq!(part.list("run"), ["p.sock"]);
    assert_eq!(part.connect(&PROBE), Err("connection refused".to_owned()));
}

pub(super) fn a_second_start_harms_nothing(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    generation(part, "v1", "", &site(port));
    let first = start(part);
    let ran = run(part, &START);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr.len(), 11, "{:?}", ran.stderr);
    assert_eq!(ran.stderr[10], "nginx: [emerg] still could not bind()");
    assert_eq!(master(part), first);
    assert!(part.runs(first));
    assert_eq!(version(part), "v1");
}

pub(super) fn quit_and_terminate_clean_up(part: &mut dyn NginxUnderTest) {
    for (signal, name, does) in [
        (Signal::Quit, "3 (SIGQUIT)", "shutting down"),
        (Signal::Terminate, "15 (SIGTERM)", "exiting"),
    ] {
        generation(part, "v1", "", "");
        let master = start(part);
        let children = two_workers(part, master);
        assert_eq!(version(part), "v1");
        let skip = log_length(part);
        part.signal(master, signal);
        until(part, "the end of the master", |part| {
            (!part.runs(master)).then_some(())
        });
        assert!(part.list("run").is_empty());
        assert_eq!(part.connect(&PROBE), Err("entity not found".to_owned()));
        let lines = logged(part, skip);
        let mut of_master = of(&lines, master);
        let first = of_master.remove(0);
        assert!(
            first.starts_with(&format!("[notice] signal {name} received from ")),
            "{first}"
        );
        assert!(first.ends_with(does), "{first}");
        assert_eq!(of_master.pop().as_deref(), Some("[notice] exit"));
        of_master.sort();
        let exited = |pid| format!("[notice] worker process {pid} exited with code 0");
        assert_eq!(of_master, [exited(children[0]), exited(children[1])]);
        let mut expected = vec![
            "[notice] gracefully shutting down",
            "[notice] exiting",
            "[notice] exit",
        ];
        if matches!(signal, Signal::Terminate) {
            expected.remove(0);
        }
        for child in children {
            assert_eq!(of(&lines, child), expected);
        }
    }
}

pub(super) fn a_killed_worker_is_replaced(part: &mut dyn NginxUnderTest) {
    generation(part, "v1", "", "");
    let master = start(part);
    assert_eq!(version(part), "v1");
    let old = two_workers(part, master);
    let skip = log_length(part);
    part.signal(old[0], Signal::Kill);
    let new = until(part, "another worker", |part| {
        let now = workers(part, master);
        (now.len() == 2 && !now.contains(&old[0])).then_some(now)
    });
    assert!(new.contains(&old[1]));
    let started = if new[0] == old[1] { new[1] } else { new[0] };
    let expected = [
        format!("[alert] worker process {} exited on signal 9", old[0]),
        format!("[notice] start worker process {started}"),
    ];
    assert_eq!(of(&logged(part, skip), master), expected);
    assert_eq!(version(part), "v1");
}

pub(super) fn a_worker_that_quits_is_replaced(part: &mut dyn NginxUnderTest) {
    generation(part, "v1", "", "");
    let master = start(part);
    assert_eq!(version(part), "v1");
    for (signal, name, does) in [
        (Signal::Terminate, "15 (SIGTERM)", "exiting"),
        (Signal::Quit, "3 (SIGQUIT)", "shutting down"),
    ] {
        let old = two_workers(part, master);
        let skip = log_length(part);
        part.signal(old[0], signal);
        until(part, "another worker", |part| {
            let now = workers(part, master);
            (now.len() == 2 && !now.contains(&old[0])).then_some(())
        });
        let lines = logged(part, skip);
        let first = &of(&lines, old[0])[0];
        assert!(
            first.starts_with(&format!("[notice] signal {name} received from ")),
            "{first}"
        );
        assert!(first.ends_with(does), "{first}");
        let exited = format!("[notice] worker process {} exited with code 0", old[0]);
        assert_eq!(of(&lines, master)[0], exited);
    }
    assert_eq!(version(part), "v1");
}

pub(super) fn a_killed_master_leaves_orphans_and_its_socket(part: &mut dyn NginxUnderTest) {
    generation(part, "v1", "", "");
    let old = start(part);
    let orphans = two_workers(part, old);
    part.signal(old, Signal::Kill);
    until(part, "the end of the master", |part| {
        (!part.runs(old)).then_some(())
    });
    // The orphans continue to serve and hold the socket.
    assert_eq!(version(part), "v1");
    assert_eq!(
        part.read("run/nginx.pid").unwrap_or_default().trim(),
        old.to_string()
    );
    let ran = run(part, &START);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr.len(), 6, "{:?}", ran.stderr);
    assert_eq!(version(part), "v1");
    let ran = run(part, &[&START[..], &["-s", "reload"]].concat());
    let gone = format!("nginx: [alert] kill({old}, 1) failed (3: No such process)");
    assert_eq!((ran.code, ran.stderr), (1, vec![gone]));
    let skip = log_length(part);
    for &orphan in &orphans {
        part.signal(orphan, Signal::Quit);
        until(part, "the end of an orphan", |part| {
            (!part.runs(orphan)).then_some(())
        });
        let lines = of(&logged(part, skip), orphan);
        assert!(lines[0].ends_with(", shutting down"), "{lines:?}");
        assert_eq!(
            lines[1..],
            [
                "[notice] gracefully shutting down",
                "[notice] exiting",
                "[notice] exit"
            ]
        );
    }
    // The file of the socket stays, and blocks the next start although no process listens.
    assert_eq!(part.connect(&PROBE), Err("connection refused".to_owned()));
    assert_eq!(run(part, &START).code, 1);
    part.remove("run/p.sock");
    let new = until(part, "a start", |part| {
        (run(part, &START).code == 0).then_some(())?;
        until(part, "another number", |part| {
            Some(master(part)).filter(|pid| *pid != old)
        })
        .into()
    });
    assert!(part.runs(new));
    assert_eq!(version(part), "v1");
}

pub(super) fn in_the_foreground_the_master_is_the_command(part: &mut dyn NginxUnderTest) {
    generation(part, "v1", "daemon off;", "");
    let mut arguments = vec!["-p".to_owned(), part.prefix() + "/"];
    arguments.extend(START.map(str::to_owned));
    let command = part.spawn(&arguments);
    let master = master(part);
    assert_eq!(version(part), "v1");
    assert!(part.ended(command).is_none());
    part.signal(master, Signal::Quit);
    let ran = until(part, "the end of the command", |part| part.ended(command));
    assert_eq!((ran.code, ran.stderr), (0, Vec::new()));
}

pub(super) fn signals_by_command_need_a_pid_file(part: &mut dyn NginxUnderTest) {
    generation(part, "v1", "", "");
    let quit = [&START[..], &["-s", "quit"]].concat();
    let ran = run(part, &quit);
    let fault = "nginx: [error] open() \"P/run/nginx.pid\" failed (2: No such file or directory)";
    assert_eq!(
        (ran.code, plain_all(part, &ran.stderr)),
        (1, vec![fault.to_owned()])
    );
    let master = start(part);
    assert_eq!(version(part), "v1");
    // With an unreadable configuration, not even `nginx -s quit` succeeds.
    let text = configuration(part, "v1", "", "bogus;");
    part.write("gen/v1/nginx.conf", &text);
    assert_eq!(run(part, &quit).code, 1);
    assert!(part.runs(master));
    let text = configuration(part, "v1", "", "");
    part.write("gen/v1/nginx.conf", &text);
    let ran = run(part, &quit);
    assert_eq!((ran.code, ran.stderr), (0, Vec::new()));
    until(part, "the end of the master", |part| {
        (!part.runs(master)).then_some(())
    });
}

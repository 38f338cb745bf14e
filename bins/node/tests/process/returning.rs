//! Daemons that stand still for longer than they are remembered, and addresses of dead daemons that others take.

use crate::daemon::RunningDaemon;
use crate::mesh::{all_alive, sees};
use crate::place::Place;
use phalanx_net::wire::proto::{Member, MemberStatus};
use rustix::process::Signal;
use std::time::Duration;

fn status(view: &[Member], id: &str) -> Option<MemberStatus> {
    let of = |member: &&Member| member.record.as_ref().is_some_and(|record| record.id == id);
    view.iter().find(of).map(Member::status)
}

#[tokio::test]
async fn a_daemon_that_was_suspended_for_longer_than_it_is_remembered_is_a_member_again() {
    let place = Place::new();
    let start = |id: &str, others: &[&RunningDaemon]| {
        let mut command = place.command(id);
        command.env("PHALANX_TUNING_FORGET_AFTER_MS", "1000");
        for other in others {
            command.args(["--target", &other.address.to_string()]);
        }
        RunningDaemon::start(command)
    };
    let a = start("a", &[]);
    let b = start("b", &[&a]);
    let c = start("c", &[&a]);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
    c.signal(Signal::STOP);
    for daemon in [&a, &b] {
        sees(&place, daemon, |view| status(view, "c").is_none()).await;
    }
    c.signal(Signal::CONT);
    for daemon in [&a, &b, &c] {
        sees(&place, daemon, |view| all_alive(view, 3)).await;
    }
}

#[tokio::test]
async fn an_address_of_a_dead_daemon_that_another_takes_is_reported_once() {
    let place = Place::new();
    let a = place.start("a", &[]);
    let b = place.start("b", &[&a]);
    sees(&place, &a, |view| all_alive(view, 2)).await;
    let address = b.address.to_string();
    drop(b);
    let mut command = place.command_at(&address, "c");
    command.args(["--target", &a.address.to_string()]);
    let c = RunningDaemon::start(command);
    for daemon in [&a, &c] {
        sees(&place, daemon, |view| {
            let of_b = status(view, "b");
            status(view, "c") == Some(MemberStatus::Alive)
                && of_b.is_none_or(|status| status == MemberStatus::Down)
        })
        .await;
    }
    // Without pauses, the address would be dialled more than once a second.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let lines = a.said();
    let reports = lines.iter().filter(|line| line["event"] == "wrong-peer");
    assert_eq!(reports.count(), 1, "{lines:#?}");
}

//! Tests of the data-path machine: two machines wired back to back, one machine with several links to a peer, and one
//! with a byzantine peer.

use super::*;
use crate::machine::Wake;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

const LINK: LinkId = LinkId(1);

fn offer(name: &str) -> Offer {
    Offer::new(name).unwrap()
}

fn peer() -> NodeId {
    NodeId::new("peer").unwrap()
}

fn message(kind: u8) -> Control {
    let payload = [].into();
    Control { kind, payload }
}

fn control(kind: u8) -> Signal {
    Signal::Control(message(kind))
}

fn step(machine: &mut DataPaths, input: Input) -> Vec<Output> {
    let mut out = Outbox::new();
    machine.step(Instant::ZERO, input, &mut out);
    out.drain().collect()
}

fn receive(link: LinkId, signal: Signal) -> Input {
    Input::Receive { link, signal }
}

fn fail(link: LinkId, reason: &str) -> Input {
    let reason = reason.to_owned();
    Input::Fail {
        link,
        reason,
        with_link: false,
    }
}

/// A machine with links that opened, and whose peer offered the same overlay on each.
fn opened(links: &[LinkId]) -> DataPaths {
    let mut machine = DataPaths::new(offer("udp"));
    for link in links.iter().copied() {
        let peer = peer();
        assert_eq!(step(&mut machine, Input::LinkOpened { link, peer }), []);
        let offer = Signal::Offer(offer("udp"));
        assert_eq!(step(&mut machine, receive(link, offer)), []);
    }
    machine
}

fn prepare(link: LinkId) -> Output {
    let offer = offer("udp");
    Output::Prepare { link, offer }
}

fn send(link: LinkId, signal: Signal) -> Output {
    Output::Send { link, signal }
}

fn reject(link: LinkId, violation: Violation) -> Output {
    Output::Reject { link, violation }
}

/// A call into the overlay, or a report.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    Prepare,
    Confirm,
    Deliver(u8),
    Stop,
    Up,
    Ended(PathEvent),
}

/// Two machines at the ends of one link. Inputs wait until the test runs their end.
struct Pair {
    ends: [DataPaths; 2],
    waiting: [VecDeque<Input>; 2],
    calls: [Vec<Call>; 2],
    rejected: Vec<Violation>,
}

impl Pair {
    fn new(names: [&str; 2]) -> Self {
        let ends = names.map(|name| DataPaths::new(offer(name)));
        let waiting = [names[1], names[0]].map(|name| {
            let offer = Signal::Offer(offer(name));
            let link = LINK;
            let peer = peer();
            VecDeque::from([
                Input::LinkOpened { link, peer },
                receive(link, offer),
                Input::LinkUp { link },
            ])
        });
        Self {
            ends,
            waiting,
            calls: [Vec::new(), Vec::new()],
            rejected: Vec::new(),
        }
    }

    fn input(&mut self, at: usize, input: Input) {
        self.waiting[at].push_back(input);
    }

    fn send(&mut self, at: usize, control: Control) -> Result<(), SendError> {
        self.ends[at].admits(LINK, control.payload.len())?;
        let link = LINK;
        let outputs = step(&mut self.ends[at], Input::Send { link, control });
        self.perform(at, outputs);
        Ok(())
    }

    /// Handles all waiting inputs of one end.
    fn run(&mut self, at: usize) {
        while let Some(input) = self.waiting[at].pop_front() {
            let outputs = step(&mut self.ends[at], input);
            self.perform(at, outputs);
        }
    }

    fn perform(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { link, signal } => {
                    self.waiting[1 - at].push_back(receive(link, signal));
                }
                Output::Prepare { link, .. } => {
                    self.calls[at].push(Call::Prepare);
                    self.waiting[at].push_back(Input::Prepared { link });
                }
                Output::Confirm { .. } => self.calls[at].push(Call::Confirm),
                Output::Deliver { link, control } => {
                    self.calls[at].push(Call::Deliver(control.kind));
                    self.waiting[at].push_back(Input::Delivered { link });
                }
                Output::Stop { link } => {
                    self.calls[at].push(Call::Stop);
                    self.waiting[at].push_back(Input::Stopped { link });
                }
                Output::Reject { violation, .. } => self.rejected.push(violation),
                Output::Report(PathEvent::Up { .. }) => self.calls[at].push(Call::Up),
                Output::Report(event) => self.calls[at].push(Call::Ended(event)),
                Output::CloseLink { .. } => panic!("no link was given up"),
            }
        }
    }

    fn settle(&mut self) {
        while !self.waiting.iter().all(VecDeque::is_empty) {
            self.run(0);
            self.run(1);
        }
    }

    fn states(&self) -> [PathState; 2] {
        [0, 1].map(|at| self.ends[at].state(LINK).unwrap())
    }
}

/// The violation that the last of these signals causes, on a link whose data path this end prepares at once.
fn judged(signals: &[Signal]) -> Option<Violation> {
    let mut machine = DataPaths::new(offer("udp"));
    let (link, peer) = (LINK, peer());
    let mut inputs = VecDeque::from([Input::LinkOpened { link, peer }]);
    for (at, signal) in signals.iter().enumerate() {
        inputs.push_back(receive(link, signal.clone()));
        if at == 0 && matches!(signal, Signal::Offer(_)) {
            inputs.push_back(Input::LinkUp { link });
        }
    }
    let mut last = None;
    while let Some(input) = inputs.pop_front() {
        assert_eq!(last, None, "before {input:?}");
        for output in step(&mut machine, input) {
            match output {
                Output::Prepare { link, .. } => inputs.push_front(Input::Prepared { link }),
                Output::Reject { violation, .. } => last = Some(violation),
                Output::Send { .. }
                | Output::Confirm { .. }
                | Output::Deliver { .. }
                | Output::Stop { .. }
                | Output::CloseLink { .. }
                | Output::Report(_) => {}
            }
        }
    }
    last
}

#[test]
fn both_ends_confirm_when_both_are_prepared_and_are_established_when_both_report_it() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.run(0);
    assert_eq!(pair.calls, [vec![Call::Prepare], vec![]]);
    assert_eq!(pair.ends[0].state(LINK), Some(PathState::Preparing));
    pair.settle();
    assert_eq!(pair.calls[0], [Call::Prepare, Call::Confirm]);
    assert_eq!(pair.calls[1], [Call::Prepare, Call::Confirm]);
    pair.input(0, Input::Works { link: LINK });
    pair.settle();
    assert_eq!(pair.states(), [PathState::Confirmed, PathState::Confirmed]);
    pair.input(1, Input::Works { link: LINK });
    pair.input(1, Input::Works { link: LINK });
    pair.settle();
    assert_eq!(
        pair.states(),
        [PathState::Established, PathState::Established]
    );
    assert_eq!(pair.calls[0], [Call::Prepare, Call::Confirm, Call::Up]);
    assert_eq!(pair.calls[1], [Call::Prepare, Call::Confirm, Call::Up]);
}

#[test]
fn messages_sent_before_the_peer_is_prepared_arrive_in_order_after_its_confirm() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.run(0);
    for kind in 0..10 {
        pair.send(0, message(kind)).unwrap();
    }
    pair.input(0, Input::Works { link: LINK });
    pair.settle();
    let kinds = (0..10).map(Call::Deliver);
    let expected: Vec<Call> = [Call::Prepare, Call::Confirm]
        .into_iter()
        .chain(kinds)
        .collect();
    assert_eq!(pair.calls[1], expected);
}

#[test]
fn a_sender_stops_at_the_window_and_goes_on_when_half_of_it_is_consumed() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.settle();
    for _ in 0..WINDOW {
        pair.send(0, message(1)).unwrap();
    }
    assert_eq!(pair.send(0, message(1)), Err(SendError::Full));
    assert!(!pair.ends[0].has_room(LINK));
    let delivered = |pair: &Pair| pair.calls[1].len() - 2;
    while !pair.ends[0].has_room(LINK) {
        let input = pair.waiting[1].pop_front().unwrap();
        let outputs = step(&mut pair.ends[1], input);
        pair.perform(1, outputs);
        pair.run(0);
    }
    assert_eq!(delivered(&pair), WINDOW as usize / 2 + 1);
    for _ in 0..10 * WINDOW {
        pair.settle();
        pair.send(0, message(1)).unwrap();
    }
    let bytes = CONTROL_BYTES_MAX + 1;
    assert_eq!(
        pair.ends[0].admits(LINK, bytes),
        Err(SendError::TooLong { bytes })
    );
}

#[test]
fn a_message_is_delivered_only_after_the_one_before_was_consumed() {
    let mut machine = opened(&[LINK]);
    step(&mut machine, Input::LinkUp { link: LINK });
    step(&mut machine, Input::Prepared { link: LINK });
    let deliver = |kind| Output::Deliver {
        link: LINK,
        control: message(kind),
    };
    let confirm = Output::Confirm { link: LINK };
    let ready = step(&mut machine, receive(LINK, Signal::Ready));
    assert_eq!(ready, [confirm]);
    assert_eq!(step(&mut machine, receive(LINK, control(1))), [deliver(1)]);
    assert_eq!(step(&mut machine, receive(LINK, control(2))), []);
    let next = step(&mut machine, Input::Delivered { link: LINK });
    assert_eq!(next, [deliver(2)]);
    // No message waits, so the credit for both is returned.
    let idle = step(&mut machine, Input::Delivered { link: LINK });
    assert_eq!(idle, [send(LINK, Signal::Credit(2))]);
    assert_eq!(step(&mut machine, Input::Delivered { link: LINK }), []);
}

#[test]
fn a_failure_ends_both_ends_once_and_is_reported_with_its_reason() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.settle();
    for input in [fail(LINK, "no route"), fail(LINK, "another")] {
        pair.input(0, input);
    }
    pair.input(0, Input::Works { link: LINK });
    pair.settle();
    let reasons = ["no route", "at the other end: no route"];
    assert_eq!(
        pair.states(),
        reasons.map(|it| PathState::Failed(it.to_owned()))
    );
    for (calls, reason) in pair.calls.iter().zip(reasons) {
        let down = PathEvent::Down {
            peer: peer(),
            link: LINK,
            reason: reason.to_owned(),
        };
        let ended = [Call::Prepare, Call::Confirm, Call::Stop, Call::Ended(down)];
        assert_eq!(*calls, ended);
    }
    assert_eq!(pair.send(0, message(1)), Err(SendError::Over));
}

#[test]
fn a_link_between_ends_without_a_common_overlay_prepares_nothing() {
    let mut pair = Pair::new(["udp", "wireguard"]);
    pair.settle();
    let reason = "it has another overlay: wireguard".to_owned();
    let unfit = PathEvent::Unfit {
        peer: peer(),
        link: LINK,
        reason,
    };
    assert_eq!(pair.calls[0], [Call::Stop, Call::Ended(unfit)]);
    let state = pair.states()[0].to_string();
    assert_eq!(state, "unfit: it has another overlay: wireguard");
    let ready = step(&mut pair.ends[0], receive(LINK, Signal::Ready));
    assert_eq!(ready, [reject(LINK, Violation::Uninvited)]);
    let mut alone = DataPaths::new(offer("udp"));
    let peer = peer();
    step(&mut alone, Input::LinkOpened { link: LINK, peer });
    let up = step(&mut alone, Input::LinkUp { link: LINK });
    assert_eq!(up, [Output::Stop { link: LINK }]);
    let state = alone.state(LINK).unwrap().to_string();
    assert_eq!(state, "unfit: it has no overlay");
}

#[test]
fn a_link_that_closes_before_it_is_up_prepares_nothing_and_is_forgotten() {
    let mut machine = opened(&[LINK]);
    assert_eq!(step(&mut machine, Input::LinkClosed { link: LINK }), []);
    assert_eq!(step(&mut machine, Input::LinkUp { link: LINK }), []);
    assert_eq!(machine, DataPaths::new(offer("udp")));
}

#[test]
fn a_new_link_with_a_peer_prepares_its_data_path_when_the_old_one_has_stopped() {
    let [old, new, third] = [1, 2, 3].map(LinkId);
    let mut machine = opened(&[old, new, third]);
    assert_eq!(
        step(&mut machine, Input::LinkUp { link: old }),
        [prepare(old)]
    );
    assert_eq!(step(&mut machine, Input::LinkUp { link: new }), []);
    assert_eq!(step(&mut machine, Input::LinkUp { link: third }), []);
    // The second link closes while waiting, and the third link still waits for the first.
    assert_eq!(step(&mut machine, Input::LinkClosed { link: new }), []);
    assert_eq!(
        step(&mut machine, Input::LinkClosed { link: old }),
        [Output::Stop { link: old }]
    );
    assert_eq!(machine.links().collect::<Vec<_>>(), [third]);
    assert_eq!(
        step(&mut machine, Input::Stopped { link: old }),
        [Output::Stop { link: new }]
    );
    assert_eq!(
        step(&mut machine, Input::Stopped { link: new }),
        [prepare(third)]
    );
    assert!(!machine.knows(old) && !machine.knows(new));
}

#[test]
fn links_with_different_peers_do_not_wait_for_each_other() {
    let mut machine = opened(&[LINK]);
    let (link, peer) = (LinkId(2), NodeId::new("another").unwrap());
    step(&mut machine, Input::LinkOpened { link, peer });
    step(&mut machine, receive(link, Signal::Offer(offer("udp"))));
    for link in [LINK, link] {
        assert_eq!(step(&mut machine, Input::LinkUp { link }), [prepare(link)]);
    }
}

#[test]
fn a_link_that_the_overlay_gives_up_closes_when_its_data_path_has_stopped() {
    let give_up = |link| Input::Fail {
        link,
        reason: "restart".to_owned(),
        with_link: true,
    };
    let mut machine = opened(&[LINK]);
    step(&mut machine, Input::LinkUp { link: LINK });
    step(&mut machine, Input::Prepared { link: LINK });
    let failed = Signal::Failed("restart".to_owned());
    assert_eq!(
        step(&mut machine, give_up(LINK)),
        [send(LINK, failed), Output::Stop { link: LINK }]
    );
    let close = Output::CloseLink { link: LINK };
    let stopped = step(&mut machine, Input::Stopped { link: LINK });
    assert_eq!(stopped.last(), Some(&close));
    // The same happens if the data path failed before.
    assert_eq!(step(&mut machine, give_up(LINK)), [close]);
    assert_eq!(step(&mut machine, Input::LinkClosed { link: LINK }), []);
    assert_eq!(step(&mut machine, give_up(LINK)), []);
    assert!(!machine.knows(LINK));
}

#[test]
fn a_data_path_that_worked_and_ends_with_its_link_is_reported() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.settle();
    for at in [0, 1] {
        pair.input(at, Input::Works { link: LINK });
    }
    pair.settle();
    pair.input(0, Input::LinkClosed { link: LINK });
    pair.settle();
    let down = PathEvent::Down {
        peer: peer(),
        link: LINK,
        reason: "its link ended".to_owned(),
    };
    assert_eq!(pair.calls[0][3..], [Call::Stop, Call::Ended(down)]);
    assert_eq!(pair.ends[0], DataPaths::new(offer("udp")));
}

#[test]
fn a_peer_that_breaks_a_rule_is_rejected_for_it() {
    let udp = Signal::Offer(offer("udp"));
    let prepared = |more: &[Signal]| judged(&[&[udp.clone(), Signal::Ready], more].concat());
    let other = Signal::Offer(offer("tcp"));
    assert_eq!(judged(&[Signal::Ready]), Some(Violation::Uninvited));
    assert_eq!(judged(&[other, control(1)]), Some(Violation::Uninvited));
    assert_eq!(
        judged(&[udp.clone(), udp.clone()]),
        Some(Violation::SecondOffer)
    );
    assert_eq!(judged(&[udp.clone(), control(1)]), Some(Violation::Early));
    let early = [udp.clone(), Signal::Established];
    assert_eq!(judged(&early), Some(Violation::Established));
    assert_eq!(prepared(&[Signal::Ready]), Some(Violation::SecondReady));
    assert_eq!(prepared(&[Signal::Credit(1)]), Some(Violation::Credit));
    assert_eq!(prepared(&[Signal::Credit(0)]), Some(Violation::Credit));
    let twice = [Signal::Established, Signal::Established];
    assert_eq!(prepared(&twice), Some(Violation::Established));
    let after = [Signal::Failed(String::new()), Signal::Ready];
    assert_eq!(prepared(&after), Some(Violation::AfterFailed));
    assert_eq!(prepared(&[control(1), Signal::Established]), None);
}

#[test]
fn an_overrun_is_rejected_at_the_window_also_after_the_data_path_ended() {
    // This end is not prepared, and so consumes no message.
    let mut machine = opened(&[LINK]);
    step(&mut machine, receive(LINK, Signal::Ready));
    for _ in 0..WINDOW - 1 {
        assert_eq!(step(&mut machine, receive(LINK, control(1))), []);
    }
    let mut ended = machine.clone();
    step(&mut ended, Input::LinkUp { link: LINK });
    step(&mut ended, fail(LINK, "no route"));
    for machine in [&mut machine, &mut ended] {
        assert_eq!(step(machine, receive(LINK, control(1))), []);
        assert_eq!(
            step(machine, receive(LINK, control(1))),
            [reject(LINK, Violation::Overrun)]
        );
    }
}

#[test]
fn inputs_about_an_unknown_link_change_nothing() {
    let machine = opened(&[LINK]);
    let link = LinkId(9);
    let control = message(1);
    for input in [
        Input::LinkUp { link },
        Input::LinkClosed { link },
        receive(link, Signal::Ready),
        Input::Prepared { link },
        Input::Delivered { link },
        Input::Stopped { link },
        Input::Send { link, control },
        Input::Works { link },
        fail(link, "no route"),
        Wake.into(),
    ] {
        let mut changed = machine.clone();
        assert_eq!(step(&mut changed, input), []);
        assert_eq!(changed, machine);
    }
    assert_eq!(machine.admits(link, 0), Err(SendError::Over));
    assert!(machine.is_over(link) && !machine.has_room(link));
}

/// An action of the overlay or the node at one of the two ends.
#[derive(Clone, Debug)]
enum Action {
    Run(usize),
    Send(usize),
    Works(usize),
    Fail(usize),
    Close(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0..2_usize).prop_map(Action::Run),
        8 => (0..2_usize).prop_map(Action::Send),
        2 => (0..2_usize).prop_map(Action::Works),
        1 => (0..2_usize).prop_map(Action::Fail),
        1 => (0..2_usize).prop_map(Action::Close),
    ]
}

proptest! {
    #[test]
    fn two_ends_that_keep_the_rules_never_reject_each_other(all in vec(action(), 0..200)) {
        let mut pair = Pair::new(["udp", "udp"]);
        let link = LINK;
        for action in all {
            match action {
                Action::Run(at) => pair.run(at),
                Action::Send(at) => {
                    let full = !pair.ends[at].has_room(link);
                    let over = pair.ends[at].is_over(link);
                    let sent = pair.send(at, message(1));
                    prop_assert_eq!(sent.is_err(), full || over);
                }
                Action::Works(at) => pair.input(at, Input::Works { link }),
                Action::Fail(at) => pair.input(at, fail(link, "no route")),
                Action::Close(at) => pair.input(at, Input::LinkClosed { link }),
            }
        }
        pair.settle();
        prop_assert_eq!(&pair.rejected, &[]);
        for calls in &pair.calls {
            let times = |call: &Call| calls.iter().filter(|it| *it == call).count();
            for once in [Call::Prepare, Call::Confirm, Call::Up, Call::Stop] {
                prop_assert!(times(&once) <= 1, "{:?}", calls);
            }
            let stop = calls.iter().position(|it| *it == Call::Stop);
            let after = stop.map_or(&[][..], |at| &calls[at + 1..]);
            let only_reports = after.iter().all(|it| matches!(it, Call::Ended(_)));
            prop_assert!(only_reports, "{:?}", calls);
        }
    }

    #[test]
    fn of_several_links_with_a_peer_at_most_one_data_path_runs(
        all in vec((0..4_u64, 0..4_u8), 0..60),
    ) {
        let links = [0, 1, 2, 3].map(LinkId);
        let mut machine = opened(&links);
        let mut running: Vec<LinkId> = Vec::new();
        let mut stopping: Vec<LinkId> = Vec::new();
        let ends = links.map(|link| (link.0, 1));
        for (number, kind) in all.into_iter().chain(ends) {
            let link = LinkId(number);
            let mut inputs = VecDeque::from([match kind {
                0 => Input::LinkUp { link },
                1 => Input::LinkClosed { link },
                2 => fail(link, "no route"),
                _ => Input::Prepared { link },
            }]);
            while let Some(input) = inputs.pop_front() {
                for output in step(&mut machine, input) {
                    match output {
                        Output::Prepare { link, .. } => running.push(link),
                        Output::Stop { link } => {
                            running.retain(|it| *it != link);
                            stopping.push(link);
                        }
                        Output::Send { .. } | Output::Report(_) => {}
                        Output::Confirm { .. }
                        | Output::Deliver { .. }
                        | Output::CloseLink { .. }
                        | Output::Reject { .. } => prop_assert!(false, "{:?}", output),
                    }
                }
                prop_assert!(running.len() + stopping.len() <= 1, "{:?} {:?}", running, stopping);
                let stopped = stopping.drain(..).map(|link| Input::Stopped { link });
                inputs.extend(stopped);
            }
        }
        prop_assert_eq!(machine, DataPaths::new(offer("udp")));
    }
}

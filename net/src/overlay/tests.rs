//! The rules of a link, without links: two sessions wired back to back, and one against a liar.

use super::session::{Act, Broken, Ending, Session};
use super::signal::WINDOW;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn offer(name: &str) -> Offer {
    Offer::new(name).unwrap()
}

fn control(kind: u8) -> Signal {
    let payload = Bytes::new();
    Signal::Control(Control { kind, payload })
}

/// Two ends of one link; what was done at each, without what was said.
struct Pair {
    ends: [Session; 2],
    done: [Vec<Act>; 2],
}

impl Pair {
    fn new(names: [&str; 2]) -> Self {
        let mut ends = names.map(|name| Session::new(offer(name)));
        for (at, name) in [(0, names[1]), (1, names[0])] {
            ends[at].receive(Signal::Offer(offer(name))).unwrap();
            ends[at].up();
        }
        let done = [Vec::new(), Vec::new()];
        Self { ends, done }
    }

    /// Does everything there is to do at one end.
    fn run(&mut self, at: usize) {
        while let Some(act) = self.ends[at].next() {
            match act {
                Act::Say(signal) => self.ends[1 - at].receive(signal).unwrap(),
                Act::Prepare => {
                    self.ends[at].prepared();
                    self.done[at].push(Act::Prepare);
                }
                act @ (Act::Confirm | Act::Tell | Act::Deliver(_) | Act::Stop) => {
                    self.done[at].push(act);
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..4 {
            self.run(0);
            self.run(1);
        }
    }

    fn states(&self) -> [PathState; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

/// A session whose other end said these, and how the last was taken.
fn told(signals: &[Signal]) -> Result<(), Broken> {
    let mut session = Session::new(offer("udp"));
    session.up();
    let mut last = Ok(());
    for signal in signals {
        assert_eq!(last, Ok(()), "before {signal:?}");
        last = session.receive(signal.clone());
        while let Some(act) = session.next() {
            if act == Act::Prepare {
                session.prepared();
            }
        }
    }
    last
}

#[test]
fn both_ends_confirm_when_both_are_prepared_and_are_established_when_both_say_so() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.run(0);
    assert_eq!(pair.done, [vec![Act::Prepare], vec![]]);
    assert_eq!(pair.states(), [PathState::Preparing, PathState::Preparing]);
    pair.settle();
    assert_eq!(pair.done[0], [Act::Prepare, Act::Confirm]);
    assert_eq!(pair.done[1], [Act::Prepare, Act::Confirm]);
    pair.ends[0].works();
    pair.settle();
    assert_eq!(pair.states(), [PathState::Confirmed, PathState::Confirmed]);
    pair.ends[1].works();
    pair.ends[1].works();
    pair.settle();
    assert_eq!(
        pair.states(),
        [PathState::Established, PathState::Established]
    );
    assert_eq!(pair.done[0], [Act::Prepare, Act::Confirm, Act::Tell]);
    assert_eq!(pair.done[1], [Act::Prepare, Act::Confirm, Act::Tell]);
}

#[test]
fn what_is_sent_before_the_other_end_is_prepared_arrives_in_order_after_its_confirm() {
    let mut pair = Pair::new(["udp", "udp"]);
    for kind in 0..10 {
        pair.ends[0].send(kind, &Bytes::new()).unwrap();
    }
    pair.ends[0].works();
    pair.settle();
    let kinds = (0..10).map(|kind| {
        let payload = Bytes::new();
        Act::Deliver(Control { kind, payload })
    });
    let expected: Vec<Act> = [Act::Prepare, Act::Confirm]
        .into_iter()
        .chain(kinds)
        .collect();
    assert_eq!(pair.done[1], expected);
}

#[test]
fn a_sender_sees_that_the_other_end_does_not_take_what_it_sends() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.settle();
    for _ in 0..WINDOW {
        pair.ends[0].send(1, &Bytes::new()).unwrap();
    }
    pair.run(0);
    assert_eq!(pair.ends[0].send(1, &Bytes::new()), Err(SendError::Full));
    assert!(!pair.ends[0].has_room());
    // The other end takes half of them, and says so at once.
    pair.settle();
    assert!(pair.ends[0].has_room());
    for _ in 0..10 * WINDOW {
        pair.ends[0].send(1, &Bytes::new()).unwrap();
        pair.settle();
    }
    let bytes = CONTROL_BYTES_MAX + 1;
    let long = pair.ends[0].send(1, &vec![0; bytes].into());
    assert_eq!(long, Err(SendError::TooLong { bytes }));
}

#[test]
fn a_failure_ends_both_ends_once_and_is_told_with_its_reason() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.settle();
    pair.ends[0].end(Ending::Failed("no route".to_owned()));
    pair.ends[0].end(Ending::Failed("another".to_owned()));
    pair.ends[0].works();
    pair.settle();
    let there = "at the other end: no route".to_owned();
    let failed = [
        PathState::Failed("no route".to_owned()),
        PathState::Failed(there),
    ];
    assert_eq!(pair.states(), failed);
    for done in &pair.done {
        assert_eq!(*done, [Act::Prepare, Act::Confirm, Act::Stop]);
    }
    assert_eq!(pair.ends[0].send(1, &Bytes::new()), Err(SendError::Over));
    assert_eq!(pair.ends[1].send(1, &Bytes::new()), Err(SendError::Over));
}

#[test]
fn failures_and_messages_that_cross_break_no_rule() {
    let mut pair = Pair::new(["udp", "udp"]);
    pair.settle();
    for _ in 0..WINDOW {
        pair.ends[1].send(1, &Bytes::new()).unwrap();
    }
    pair.ends[1].works();
    pair.ends[0].end(Ending::Failed("here".to_owned()));
    let crossing: Vec<Signal> = std::iter::from_fn(|| match pair.ends[1].next() {
        Some(Act::Say(signal)) => Some(signal),
        Some(_) | None => None,
    })
    .collect();
    assert_eq!(crossing.len(), WINDOW as usize + 1);
    pair.ends[1].end(Ending::Failed("there".to_owned()));
    pair.run(0);
    for signal in crossing {
        pair.ends[0].receive(signal).unwrap();
    }
    pair.settle();
    assert_eq!(
        pair.ends[0].receive(Signal::Ready),
        Err(Broken::AfterFailed)
    );
}

#[test]
fn an_overlay_of_another_name_or_none_is_told_and_nothing_is_prepared() {
    let mut pair = Pair::new(["udp", "wireguard"]);
    pair.settle();
    assert_eq!(pair.done, [[Act::Stop], [Act::Stop]]);
    assert_eq!(
        pair.ends[0].state().to_string(),
        "unfit: it has another overlay: wireguard"
    );
    assert_eq!(pair.ends[0].receive(Signal::Ready), Err(Broken::Uninvited));
    let mut alone = Session::new(offer("udp"));
    alone.up();
    assert_eq!(alone.next(), Some(Act::Stop));
    assert_eq!(alone.next(), None);
    assert_eq!(alone.state().to_string(), "unfit: it has no overlay");
}

#[test]
fn a_link_that_ends_before_it_is_up_prepares_nothing() {
    let mut session = Session::new(offer("udp"));
    session.receive(Signal::Offer(offer("udp"))).unwrap();
    assert_eq!(session.next(), None);
    session.end(Ending::Closed);
    assert_eq!(session.next(), Some(Act::Stop));
    assert_eq!(session.next(), None);
}

#[test]
fn whoever_breaks_the_rules_is_found_out() {
    let udp = Signal::Offer(offer("udp"));
    let greeted = |more: &[Signal]| told(&[&[udp.clone(), Signal::Ready], more].concat());
    assert_eq!(told(&[Signal::Ready]), Err(Broken::Uninvited));
    let other = Signal::Offer(offer("tcp"));
    assert_eq!(told(&[other, control(1)]), Err(Broken::Uninvited));
    assert_eq!(told(&[udp.clone(), udp.clone()]), Err(Broken::SecondOffer));
    assert_eq!(told(&[udp.clone(), control(1)]), Err(Broken::Early));
    let early = [udp.clone(), Signal::Established];
    assert_eq!(told(&early), Err(Broken::Established));
    assert_eq!(greeted(&[Signal::Ready]), Err(Broken::SecondReady));
    assert_eq!(greeted(&[Signal::Taken(1)]), Err(Broken::Taken));
    assert_eq!(greeted(&[Signal::Taken(0)]), Err(Broken::Taken));
    let twice = [Signal::Established, Signal::Established];
    assert_eq!(greeted(&twice), Err(Broken::Established));
    let after = [Signal::Failed(String::new()), Signal::Ready];
    assert_eq!(greeted(&after), Err(Broken::AfterFailed));
}

#[test]
fn a_flood_is_found_out_at_the_window() {
    // This end is not prepared, and so takes nothing.
    let mut session = Session::new(offer("udp"));
    session.receive(Signal::Offer(offer("udp"))).unwrap();
    session.receive(Signal::Ready).unwrap();
    for _ in 0..WINDOW {
        session.receive(control(1)).unwrap();
    }
    assert_eq!(session.receive(control(1)), Err(Broken::Flood));
    // Nor is there more room for one whose end has come.
    session.end(Ending::Closed);
    for _ in 0..WINDOW {
        session.receive(control(1)).unwrap();
    }
    assert_eq!(session.receive(control(1)), Err(Broken::Flood));
}

#[test]
fn what_is_shown_is_bounded_and_only_shows() {
    let many = (0..100).map(|at| (format!("{at:03}\x1b"), "ü".repeat(500)));
    let told = shown(many.collect());
    assert_eq!(told.len(), ATTRIBUTES_MAX);
    assert_eq!(told["000"].len(), ATTRIBUTE_BYTES_MAX);
}

/// Something that happens to one of two ends.
#[derive(Clone, Debug)]
enum Happens {
    Runs(usize),
    Sends(usize),
    Works(usize),
    Ends(usize, bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (0..2_usize).prop_map(Happens::Runs),
        8 => (0..2_usize).prop_map(Happens::Sends),
        2 => (0..2_usize).prop_map(Happens::Works),
        1 => (0..2_usize, any::<bool>()).prop_map(|(at, failed)| Happens::Ends(at, failed)),
    ]
}

proptest! {
    #[test]
    fn two_that_keep_the_rules_never_find_each_other_out(all in vec(happens(), 0..200)) {
        let mut pair = Pair::new(["udp", "udp"]);
        for it in all {
            match it {
                Happens::Runs(at) => pair.run(at),
                Happens::Sends(at) => {
                    let full = !pair.ends[at].has_room();
                    let over = pair.ends[at].ending().is_some();
                    let sent = pair.ends[at].send(1, &Bytes::new());
                    prop_assert_eq!(sent.is_err(), full || over);
                }
                Happens::Works(at) => pair.ends[at].works(),
                Happens::Ends(at, true) => pair.ends[at].end(Ending::Failed("x".to_owned())),
                Happens::Ends(at, false) => pair.ends[at].end(Ending::FailedThere("x".to_owned())),
            }
        }
        pair.settle();
        for done in &pair.done {
            let times = |act: &Act| done.iter().filter(|it| *it == act).count();
            for once in [Act::Prepare, Act::Confirm, Act::Tell, Act::Stop] {
                prop_assert!(times(&once) <= 1, "{:?}", done);
            }
            let stop = done.iter().position(|it| *it == Act::Stop);
            prop_assert!(stop.is_none_or(|at| at + 1 == done.len()), "{:?}", done);
        }
    }
}

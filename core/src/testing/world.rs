//! The helper world for tests of several machines.
//!
//! A [`TestWorld`] holds machines, the time, and scheduled events. The world steps machines and passes their outputs to
//! a [`TestEnvironment`]: the test's model of links, stores and applications. Events that are due at an instant happen
//! before a wake of the same instant, as in the driver, and each wake is checked against the contract of machines.
//!
//! The order of all events depends only on the test; nothing is drawn at random.

use crate::machine::{Machine, Outbox, wake_checked};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// A test's model of the surroundings of the machines.
pub(crate) trait TestEnvironment: Sized {
    /// The type that names a machine.
    type Node: Ord + Clone;
    /// The machines.
    type Machine: Machine;
    /// A scheduled event, such as the arrival of a message on a link.
    type Event;

    /// Performs an output of a machine.
    fn perform(
        world: &mut TestWorld<Self>,
        node: &Self::Node,
        output: <Self::Machine as Machine>::Output,
    );

    /// A scheduled event is due.
    fn happen(world: &mut TestWorld<Self>, event: Self::Event);

    /// Whether an event is held back although it is due.
    fn holds_back(&self, _event: &Self::Event) -> bool {
        false
    }
}

/// Machines, the time, and the scheduled events.
pub(crate) struct TestWorld<E: TestEnvironment> {
    pub(crate) now: Instant,
    /// The machines that run.
    pub(crate) nodes: BTreeMap<E::Node, E::Machine>,
    pub(crate) environment: E,
    /// Scheduled events, by due time and then in the order of scheduling.
    under_way: BTreeMap<(Instant, u64), E::Event>,
    scheduled: u64,
}

impl<E: TestEnvironment> TestWorld<E> {
    /// A world without machines, at the start of time.
    pub(crate) fn around(environment: E) -> Self {
        Self {
            now: Instant::ZERO,
            nodes: BTreeMap::new(),
            environment,
            under_way: BTreeMap::new(),
            scheduled: 0,
        }
    }

    /// Gives a machine an input, and performs its outputs. A machine that does not run ignores the input.
    pub(crate) fn step(&mut self, node: &E::Node, input: <E::Machine as Machine>::Input) {
        let mut out = Outbox::new();
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.step(self.now, input, &mut out);
        }
        self.perform_all(node, out);
    }

    fn wake(&mut self, node: &E::Node) {
        let mut out = Outbox::new();
        if let Some(machine) = self.nodes.get_mut(node) {
            wake_checked(machine, self.now, &mut out);
        }
        self.perform_all(node, out);
    }

    fn perform_all(&mut self, node: &E::Node, mut out: Outbox<<E::Machine as Machine>::Output>) {
        for output in out.drain() {
            E::perform(self, node, output);
        }
    }

    /// Lets an event happen after some time.
    pub(crate) fn schedule(&mut self, after: Duration, event: E::Event) {
        self.scheduled += 1;
        self.under_way
            .insert((self.now + after, self.scheduled), event);
    }

    /// Drops the scheduled events that do not satisfy `keep`.
    pub(crate) fn retain_events(&mut self, keep: impl Fn(&E::Event) -> bool) {
        self.under_way.retain(|_, event| keep(event));
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let mut events = self.under_way.iter();
            let event = events
                .find(|(_, event)| !self.environment.holds_back(event))
                .map(|(key, _)| *key);
            let wakes = self
                .nodes
                .iter()
                .filter_map(|(node, machine)| Some((machine.next_deadline()?, node)));
            let wake = wakes.min().map(|(at, node)| (at, node.clone()));
            let due = event.map(|(at, _)| at);
            let next = due
                .into_iter()
                .chain(wake.as_ref().map(|(at, _)| *at))
                .min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if let Some(event) = event
                .filter(|(due, _)| *due <= self.now)
                .and_then(|key| self.under_way.remove(&key))
            {
                E::happen(self, event);
            } else if let Some((_, node)) = wake {
                self.wake(&node);
            }
        }
        self.now = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Wake;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rings one second after it was last touched.
    #[derive(Default)]
    struct Bell(Option<Instant>);

    #[derive(Debug, PartialEq)]
    enum Input {
        Touch,
        Wake,
    }

    impl From<Wake> for Input {
        fn from(_: Wake) -> Self {
            Self::Wake
        }
    }

    #[derive(Debug, PartialEq)]
    struct Ring;

    impl Machine for Bell {
        type Input = Input;
        type Output = Ring;

        fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Ring>) {
            match input {
                Input::Touch => self.0 = Some(now + SECOND),
                Input::Wake => {
                    self.0 = None;
                    out.push(Ring);
                }
            }
        }

        fn next_deadline(&self) -> Option<Instant> {
            self.0
        }
    }

    /// Bells in a row: each bell touches the next one when it rings.
    #[derive(Default)]
    struct Row {
        rung: Vec<(Instant, usize)>,
        jammed: bool,
    }

    impl TestEnvironment for Row {
        type Node = usize;
        type Machine = Bell;
        type Event = usize;

        fn perform(world: &mut TestWorld<Self>, node: &usize, Ring: Ring) {
            world.environment.rung.push((world.now, *node));
            world.schedule(SECOND, node + 1);
        }

        fn happen(world: &mut TestWorld<Self>, node: usize) {
            world.step(&node, Input::Touch);
        }

        fn holds_back(&self, _: &usize) -> bool {
            self.jammed
        }
    }

    fn row() -> TestWorld<Row> {
        let mut world = TestWorld::around(Row::default());
        for node in 0..2 {
            world.nodes.insert(node, Bell::default());
        }
        world.step(&0, Input::Touch);
        world
    }

    #[test]
    fn wakes_and_events_happen_at_their_times_until_nothing_is_left() {
        let mut world = row();
        world.run(60 * SECOND);
        let at = |seconds| Instant::ZERO + seconds * SECOND;
        assert_eq!(world.environment.rung, [(at(1), 0), (at(3), 1)]);
        assert_eq!(world.now, at(60));
    }

    #[test]
    fn an_event_that_is_due_happens_before_a_wake_of_the_same_instant() {
        let mut world = row();
        world.schedule(SECOND, 0);
        world.run(SECOND);
        assert!(world.environment.rung.is_empty(), "touched before it rang");
        world.run(SECOND);
        assert_eq!(world.environment.rung.len(), 1);
    }

    #[test]
    fn events_held_back_happen_late_and_events_dropped_never() {
        let mut world = row();
        world.environment.jammed = true;
        world.run(10 * SECOND);
        world.environment.jammed = false;
        world.run(SECOND);
        assert_eq!(world.environment.rung.len(), 2);
        assert_eq!(world.environment.rung[1].0, Instant::ZERO + 11 * SECOND);
        let mut world = row();
        world.run(SECOND);
        world.retain_events(|node| *node != 1);
        world.run(10 * SECOND);
        assert_eq!(world.environment.rung.len(), 1);
    }
}

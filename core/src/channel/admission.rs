//! Room for the payloads that arrive in segments on all links.
//!
//! A payload of up to [`WITHOUT_ROOM_MAX`] bytes needs no room. The others share an eighth of the bytes of all channels;
//! of these, a payload has at most half. One payload at a time may be larger, up to
//! [`PAYLOAD_BYTES_MAX`](super::message::PAYLOAD_BYTES_MAX) bytes. A payload without room waits, and its link returns no
//! credit. Payloads of each of the two classes have their turn in the order in which they began.
//!
//! A node that receives large payloads faster than it relays them would hold one for each link, so a large payload waits
//! until none is being relayed. It waits at most for [`RELAYING_MAX`] if the channels hold the relayed ones, which then
//! take no further memory, or if the channels use less than half of their memory, and at most for [`UNHELD_MAX`]
//! otherwise. Without these limits, two neighbours that relay large payloads to each other would wait without end.
//!
//! A link arrives at its own pace, and its neighbour may stop. While others wait, a payload gives up its room after
//! [`IDLE_MAX`] without a segment, and after [`HELD_MAX`] in any case.
//!
//! Bounds: one payload a link.

use super::context::{Context, Timer};
#[cfg(doc)]
use super::link_queue::WITHOUT_ROOM_MAX;
use crate::link::LinkId;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Time without a segment after which a payload gives its room to those that wait.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Time after which a payload gives its room to those that wait.
const HELD_MAX: Duration = Duration::from_secs(30);
/// Time for which a large payload waits because one is being relayed.
const RELAYING_MAX: Duration = Duration::from_secs(2);
/// The same, if one is being relayed that no channel holds. The link carries no other data meanwhile, so the time is
/// short.
const UNHELD_MAX: Duration = Duration::from_secs(4);

/// The large payloads that are being relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relaying {
    Nothing,
    /// Packets, broadcasts that channels hold, and any while the channels use less than half of their memory.
    Held,
    /// A broadcast that no channel holds, because it was replaced or there was no room for it.
    Unheld,
}

impl Relaying {
    /// The time for which a further large payload waits.
    const fn wait(self) -> Duration {
        match self {
            Self::Nothing => Duration::ZERO,
            Self::Held => RELAYING_MAX,
            Self::Unheld => UNHELD_MAX,
        }
    }
}

/// The payloads of two classes do not take room from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Payloads that share their room.
    Shared,
    /// Payloads above half of the shared room; one has room at a time.
    Large,
}

/// The room of one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    class: Class,
    bytes: usize,
    since: Instant,
    /// The time of the latest segment.
    progress: Instant,
}

impl Held {
    /// The time at which the payload gives its room to those that wait.
    fn until(&self) -> Instant {
        (self.progress + IDLE_MAX).min(self.since + HELD_MAX)
    }
}

/// A payload that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    link: LinkId,
    bytes: usize,
    since: Instant,
}

/// The payloads with room, and those that wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PayloadAdmission {
    held: BTreeMap<LinkId, Held>,
    /// The payloads that wait, oldest first.
    waiting: Vec<Waiting>,
}

/// The bytes of all payloads that share their room.
const fn shared_max(context: &Context) -> usize {
    context.config.bytes_max / 8
}

/// Maximum number of bytes of a payload that shares the room of others. Payloads above it are large.
pub(super) const fn small_max(context: &Context) -> usize {
    shared_max(context) / 2
}

const fn class(context: &Context, bytes: usize) -> Class {
    if bytes > small_max(context) {
        Class::Large
    } else {
        Class::Shared
    }
}

impl PayloadAdmission {
    /// A payload of `bytes` bytes began on a link. Returns whether it has room; otherwise it waits.
    pub(super) fn request(
        &mut self,
        context: &mut Context,
        link: LinkId,
        bytes: usize,
        relaying: Relaying,
    ) -> bool {
        let since = context.now;
        self.waiting.push(Waiting { link, bytes, since });
        let has_room = self.next(context, relaying) == Some(link);
        self.set_timer(context);
        has_room
    }

    /// Whether a payload of a link has room or waits.
    pub(super) fn knows(&self, link: LinkId) -> bool {
        self.held.contains_key(&link) || self.waiting.iter().any(|it| it.link == link)
    }

    /// Whether any payload waits.
    pub(super) const fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A segment arrived on a link.
    pub(super) fn note_progress(&mut self, now: Instant, link: LinkId) {
        if let Some(held) = self.held.get_mut(&link) {
            held.progress = now;
        }
    }

    /// The payload of a link ended.
    pub(super) fn release(&mut self, context: &mut Context, link: LinkId) {
        self.held.remove(&link);
        self.waiting.retain(|it| it.link != link);
        self.set_timer(context);
    }

    /// The next payload that waits and for which there is room; it has the room then.
    pub(super) fn next(&mut self, context: &mut Context, relaying: Relaying) -> Option<LinkId> {
        let mut passed = [false; 2];
        let place = self.waiting.iter().position(|waiting| {
            let class = class(context, waiting.bytes);
            let first = !core::mem::replace(&mut passed[class as usize], true);
            first && self.has_room(context, waiting, relaying)
        });
        let Some(place) = place else {
            // The wait because of relayed payloads has two ends.
            self.set_timer(context);
            return None;
        };
        let Waiting { link, bytes, .. } = self.waiting.remove(place);
        let held = Held {
            class: class(context, bytes),
            bytes,
            since: context.now,
            progress: context.now,
        };
        self.held.insert(link, held);
        self.set_timer(context);
        Some(link)
    }

    fn has_room(&self, context: &Context, waiting: &Waiting, relaying: Relaying) -> bool {
        let class = class(context, waiting.bytes);
        let mut held = self.held.values().filter(|held| held.class == class);
        match class {
            Class::Large => {
                let waited = context.now - waiting.since;
                held.next().is_none() && waited >= relaying.wait()
            }
            Class::Shared => {
                let sum: usize = held.map(|held| held.bytes).sum();
                sum + waiting.bytes <= shared_max(context)
            }
        }
    }

    /// A payload that was too slow while others waited; its room is free then.
    pub(super) fn slow(&mut self, context: &mut Context) -> Option<LinkId> {
        let (until, link) = self.first_end(context)?;
        if until > context.now {
            // Segments arrived after the timer was set.
            self.set_timer(context);
            return None;
        }
        self.release(context, link);
        Some(link)
    }

    /// The payload that is the first to give its room to one that waits, and the time.
    fn first_end(&self, context: &Context) -> Option<(Instant, LinkId)> {
        let held = self.held.iter().filter(|(_, held)| {
            let mut waiting = self.waiting.iter();
            waiting.any(|it| class(context, it.bytes) == held.class)
        });
        held.map(|(link, held)| (held.until(), *link)).min()
    }

    fn set_timer(&self, context: &mut Context) {
        let large = |it: &&Waiting| class(context, it.bytes) == Class::Large;
        let first = self.waiting.iter().find(large);
        let waits = [RELAYING_MAX, UNHELD_MAX];
        let sent = first.and_then(|it| {
            let times = waits.into_iter().map(|wait| it.since + wait);
            times.filter(|at| *at > context.now).min()
        });
        let end = self.first_end(context).map(|(at, _)| at);
        let next = sent.into_iter().chain(end);
        match next.min() {
            Some(at) => context.timers.set(Timer::Admission, at.max(context.now)),
            None => {
                context.timers.cancel(&Timer::Admission);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::config::BYTES_MAX;
    use crate::channel::message::PAYLOAD_BYTES_MAX;
    use crate::channel::tests::sample::context;
    use proptest::prelude::*;

    const SHARED_MAX: usize = BYTES_MAX / 8;

    #[test]
    fn small_payloads_share_their_room_and_a_large_one_has_its_own() {
        let (mut context, mut admission) = (context(), PayloadAdmission::default());
        let mut request =
            |link, bytes| admission.request(&mut context, LinkId(link), bytes, Relaying::Nothing);
        assert!(request(1, PAYLOAD_BYTES_MAX));
        for link in 2..=5 {
            assert!(request(link, SHARED_MAX / 4));
        }
        assert!(!request(6, SHARED_MAX / 4), "the room is full");
        assert!(!request(7, SHARED_MAX / 2 + 1), "a second large one");
        admission.release(&mut context, LinkId(1));
        assert_eq!(
            admission.next(&mut context, Relaying::Nothing),
            Some(LinkId(7))
        );
        assert_eq!(admission.next(&mut context, Relaying::Nothing), None);
        admission.release(&mut context, LinkId(3));
        assert_eq!(
            admission.next(&mut context, Relaying::Nothing),
            Some(LinkId(6))
        );
        assert!(admission.knows(LinkId(6)) && !admission.knows(LinkId(3)));
    }

    #[test]
    fn the_oldest_of_a_class_is_not_overtaken() {
        let (mut context, mut admission) = (context(), PayloadAdmission::default());
        let sizes = [
            SHARED_MAX / 4,
            SHARED_MAX / 4,
            SHARED_MAX / 4,
            SHARED_MAX / 8,
            SHARED_MAX / 4,
            1,
        ];
        let begun: Vec<bool> = (1..)
            .zip(sizes)
            .map(|(link, bytes)| {
                admission.request(&mut context, LinkId(link), bytes, Relaying::Nothing)
            })
            .collect();
        assert_eq!(begun, [true, true, true, true, false, false]);
        admission.release(&mut context, LinkId(4));
        assert_eq!(
            admission.next(&mut context, Relaying::Nothing),
            Some(LinkId(5))
        );
        assert_eq!(admission.next(&mut context, Relaying::Nothing), None);
    }

    #[test]
    fn a_payload_that_stops_gives_its_room_to_those_that_wait() {
        let (mut context, mut admission) = (context(), PayloadAdmission::default());
        admission.request(
            &mut context,
            LinkId(1),
            PAYLOAD_BYTES_MAX,
            Relaying::Nothing,
        );
        assert_eq!(
            context.timers.of(&Timer::Admission),
            None,
            "no payload waits"
        );
        context.now += IDLE_MAX - Duration::from_secs(1);
        admission.note_progress(context.now, LinkId(1));
        admission.request(
            &mut context,
            LinkId(2),
            PAYLOAD_BYTES_MAX,
            Relaying::Nothing,
        );
        let until = context.now + IDLE_MAX;
        let sent = context.now + RELAYING_MAX;
        assert_eq!(context.timers.of(&Timer::Admission), Some(sent));
        context.now = sent;
        assert_eq!(admission.slow(&mut context), None);
        let unheld = sent + (UNHELD_MAX - RELAYING_MAX);
        assert_eq!(context.timers.of(&Timer::Admission), Some(unheld));
        context.now = unheld;
        assert_eq!(admission.slow(&mut context), None);
        assert_eq!(context.timers.of(&Timer::Admission), Some(until));
        context.now = until;
        assert_eq!(admission.slow(&mut context), Some(LinkId(1)));
        assert_eq!(
            admission.next(&mut context, Relaying::Nothing),
            Some(LinkId(2))
        );
        assert_eq!(context.timers.of(&Timer::Admission), None);
    }

    #[test]
    fn a_large_payload_waits_while_one_is_relayed_but_not_for_long() {
        let (mut context, mut admission) = (context(), PayloadAdmission::default());
        assert!(!admission.request(&mut context, LinkId(1), PAYLOAD_BYTES_MAX, Relaying::Held));
        assert!(admission.request(&mut context, LinkId(2), SHARED_MAX / 4, Relaying::Held));
        assert!(!admission.request(&mut context, LinkId(3), PAYLOAD_BYTES_MAX, Relaying::Held));
        assert_eq!(
            admission.next(&mut context, Relaying::Nothing),
            Some(LinkId(1))
        );
        admission.release(&mut context, LinkId(1));
        let until = context.now + RELAYING_MAX;
        assert_eq!(context.timers.of(&Timer::Admission), Some(until));
        assert_eq!(admission.next(&mut context, Relaying::Held), None);
        context.now = until;
        assert_eq!(
            admission.next(&mut context, Relaying::Held),
            Some(LinkId(3))
        );
    }

    #[test]
    fn a_large_payload_waits_longer_while_one_is_relayed_that_no_channel_holds() {
        let (mut context, mut admission) = (context(), PayloadAdmission::default());
        assert!(!admission.request(&mut context, LinkId(1), PAYLOAD_BYTES_MAX, Relaying::Unheld));
        let begun = context.now;
        for wait in [RELAYING_MAX, UNHELD_MAX] {
            assert_eq!(admission.next(&mut context, Relaying::Unheld), None);
            assert_eq!(context.timers.of(&Timer::Admission), Some(begun + wait));
            context.now = begun + wait;
            context.timers.pop_due(context.now);
        }
        let room = admission.next(&mut context, Relaying::Unheld);
        assert_eq!(room, Some(LinkId(1)));
    }

    #[test]
    fn a_payload_that_arrives_in_drops_gives_up_its_room_in_the_end() {
        let (mut context, mut admission) = (context(), PayloadAdmission::default());
        let begun = context.now;
        admission.request(
            &mut context,
            LinkId(1),
            PAYLOAD_BYTES_MAX,
            Relaying::Nothing,
        );
        admission.request(
            &mut context,
            LinkId(2),
            PAYLOAD_BYTES_MAX,
            Relaying::Nothing,
        );
        while admission.slow(&mut context).is_none() {
            context.now += Duration::from_secs(1);
            admission.note_progress(context.now, LinkId(1));
        }
        assert_eq!(context.now - begun, HELD_MAX);
    }

    proptest! {
        /// After any sequence of beginnings, segments and ends, the room is within its bounds, no payload waits beside
        /// room for it, and each payload that waits has a turn.
        #[test]
        fn room_is_bounded_and_used(
            moves in prop::collection::vec((0_u64..12, prop_oneof![1_usize..SHARED_MAX / 4, 1..PAYLOAD_BYTES_MAX], 0_u8..5, 0_u64..4), 0..80),
        ) {
            let (mut context, mut admission) = (context(), PayloadAdmission::default());
            for (link, bytes, what, seconds) in moves {
                let link = LinkId(link);
                context.now += Duration::from_secs(seconds);
                match what {
                    0 | 1 if !admission.knows(link) => {
                        admission.request(&mut context, link, bytes, Relaying::Nothing);
                    }
                    0..=2 => admission.note_progress(context.now, link),
                    3 => admission.release(&mut context, link),
                    _ => {
                        while admission.slow(&mut context).is_some() {}
                    }
                }
                while admission.next(&mut context, Relaying::Nothing).is_some() {}
                let of = |class| admission.held.values().filter(move |held| held.class == class);
                prop_assert!(of(Class::Shared).map(|held| held.bytes).sum::<usize>() <= SHARED_MAX);
                prop_assert!(of(Class::Large).count() <= 1);
                let timer = context.timers.of(&Timer::Admission);
                prop_assert_eq!(timer.is_some(), !admission.waiting.is_empty());
            }
            let mut turns = admission.waiting.len();
            while let Some(at) = context.timers.of(&Timer::Admission) {
                context.now = at.max(context.now);
                context.timers.pop_due(context.now);
                while admission.slow(&mut context).is_some() {}
                while admission.next(&mut context, Relaying::Nothing).is_some() {
                    turns -= 1;
                }
            }
            prop_assert_eq!(turns, 0);
        }
    }
}

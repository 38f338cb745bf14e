//! Calls in progress on a node's port: the number of calls and of bytes that each caller may have at one time.
//!
//! A call is counted from its headers to the end of its answer. Bytes of its request count until the call ends, because
//! the server holds them until it has answered. A part of the answer counts until the connection takes the next part.
//! A call above a limit is refused, and its caller may repeat it; other callers are not affected.
//!
//! Callers that may not manage the node have small limits, and a rate of calls (the generic cell rate algorithm). All
//! processes of a service are one caller, so services have larger limits than members. The caller of this module
//! authenticates, and says to which class a subject belongs ([`access`](crate::access)).
//!
//! Bounds: [`CALLERS_MAX`] callers.

use crate::subject::Subject;
use crate::time::{Duration, Instant};
use core::fmt;
use std::collections::BTreeMap;

/// Maximum number of callers with calls in progress, or with a rate that is not yet used up.
pub const CALLERS_MAX: usize = 1_024;

/// Maximum number of calls, and of bytes of requests and of answers, in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallShare {
    /// Calls.
    pub calls: usize,
    /// Bytes of requests.
    pub request_bytes: usize,
    /// Bytes of answers that were produced and not yet sent.
    pub answer_bytes: usize,
}

/// Limits of one class of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// The share of one caller.
    pub of_one: CallShare,
    /// The share of all callers of the class together.
    pub of_all: CallShare,
    /// Number of calls that one caller may begin at once; after that one each `interval`.
    pub burst: u32,
    /// See `burst`.
    pub interval: Duration,
}

/// A class of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallerClass {
    /// Callers that may manage the node.
    Manager,
    /// Services, which use the registry.
    Service,
    /// All others.
    Member,
}

/// Limits of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Callers that may manage the node.
    pub managers: ClassLimits,
    /// Services.
    pub services: ClassLimits,
    /// All others.
    pub members: ClassLimits,
}

const MIB: usize = 1024 * 1024;

impl Default for CallLimits {
    fn default() -> Self {
        let share = |calls, request_mib, answer_mib| CallShare {
            calls,
            request_bytes: request_mib * MIB,
            answer_bytes: answer_mib * MIB,
        };
        Self {
            managers: ClassLimits {
                of_one: share(512, 48, 48),
                of_all: share(1_024, 96, 96),
                burst: 10_000,
                interval: Duration::from_micros(100),
            },
            services: ClassLimits {
                of_one: share(256, 16, 48),
                of_all: share(1_024, 48, 96),
                burst: 8_000,
                interval: Duration::from_micros(250),
            },
            members: ClassLimits {
                of_one: share(16, 2, 12),
                of_all: share(512, 16, 48),
                burst: 200,
                interval: Duration::from_millis(20),
            },
        }
    }
}

/// The limit that a call exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallExcess {
    /// The number of calls in progress.
    Calls,
    /// The rate of calls.
    Rate,
    /// The bytes of requests in progress.
    RequestBytes,
    /// The bytes of answers in progress.
    AnswerBytes,
}

impl fmt::Display for CallExcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Calls => "calls at one time",
            Self::Rate => "calls a second",
            Self::RequestBytes => "bytes of requests at one time",
            Self::AnswerBytes => "bytes of answers at one time",
        };
        write!(
            f,
            "this caller or all callers have too many {what}; repeat the call when others have ended"
        )
    }
}

impl core::error::Error for CallExcess {}

/// Calls and bytes in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    calls: usize,
    request_bytes: usize,
    answer_bytes: usize,
}

/// The calls of one caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CallerState {
    used: Used,
    /// The time at which the next call conforms to the rate.
    conforms: Option<Instant>,
}

/// One call in progress. [`CallsInProgress::end`] takes it.
#[derive(Debug, PartialEq, Eq)]
pub struct CallInProgress {
    caller: Subject,
    class: CallerClass,
    request_bytes: usize,
    answer_bytes: usize,
}

/// The calls in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsInProgress {
    limits: CallLimits,
    callers: BTreeMap<(CallerClass, Subject), CallerState>,
    managers: Used,
    services: Used,
    members: Used,
}

impl CallsInProgress {
    /// No calls.
    #[must_use]
    pub const fn new(limits: CallLimits) -> Self {
        let none = Used {
            calls: 0,
            request_bytes: 0,
            answer_bytes: 0,
        };
        Self {
            limits,
            callers: BTreeMap::new(),
            managers: none,
            services: none,
            members: none,
        }
    }

    /// Begins a call of a caller of this class.
    ///
    /// # Errors
    /// Returns an error if the number or the rate of calls is exceeded. The call is then not counted.
    pub fn begin(
        &mut self,
        now: Instant,
        caller: &Subject,
        class: CallerClass,
    ) -> Result<CallInProgress, CallExcess> {
        let (limits, all) = self.class(class);
        if all.calls >= limits.of_all.calls {
            return Err(CallExcess::Calls);
        }
        let key = (class, caller.clone());
        if self.callers.len() >= CALLERS_MAX && !self.callers.contains_key(&key) {
            let is_needed = |state: &CallerState| {
                state.used.calls > 0 || state.conforms.is_some_and(|at| at > now)
            };
            self.callers.retain(|_, state| is_needed(state));
            if self.callers.len() >= CALLERS_MAX {
                return Err(CallExcess::Calls);
            }
        }
        let state = self.callers.entry(key).or_default();
        if state.used.calls >= limits.of_one.calls {
            return Err(CallExcess::Calls);
        }
        let conforms = state.conforms.map_or(now, |at| now.max(at));
        if conforms - now > limits.interval * limits.burst.saturating_sub(1) {
            return Err(CallExcess::Rate);
        }
        state.conforms = Some(conforms + limits.interval);
        state.used.calls += 1;
        self.total(class).calls += 1;
        Ok(CallInProgress {
            caller: caller.clone(),
            class,
            request_bytes: 0,
            answer_bytes: 0,
        })
    }

    /// Bytes of a call's request arrived.
    ///
    /// # Errors
    /// Returns an error if the bytes exceed a limit; they are then not counted, and the call is to be refused.
    pub fn receive(&mut self, call: &mut CallInProgress, bytes: usize) -> Result<(), CallExcess> {
        let (limits, all) = self.class(call.class);
        let one = self.used(call).request_bytes + bytes;
        if one > limits.of_one.request_bytes
            || all.request_bytes + bytes > limits.of_all.request_bytes
        {
            return Err(CallExcess::RequestBytes);
        }
        call.request_bytes += bytes;
        self.used(call).request_bytes += bytes;
        self.total(call.class).request_bytes += bytes;
        Ok(())
    }

    /// The connection took the previous part of a call's answer, and a part of `bytes` bytes waits.
    ///
    /// # Errors
    /// Returns an error if the bytes exceed a limit; they are then not counted, and the call is to be refused.
    pub fn answer(&mut self, call: &mut CallInProgress, bytes: usize) -> Result<(), CallExcess> {
        let before = core::mem::take(&mut call.answer_bytes);
        self.used(call).answer_bytes -= before;
        self.total(call.class).answer_bytes -= before;
        let (limits, all) = self.class(call.class);
        let one = self.used(call).answer_bytes + bytes;
        if one > limits.of_one.answer_bytes || all.answer_bytes + bytes > limits.of_all.answer_bytes
        {
            return Err(CallExcess::AnswerBytes);
        }
        call.answer_bytes = bytes;
        self.used(call).answer_bytes += bytes;
        self.total(call.class).answer_bytes += bytes;
        Ok(())
    }

    /// A call ended.
    pub fn end(&mut self, call: &CallInProgress) {
        self.used(call).release(call);
        self.total(call.class).release(call);
    }

    /// The limits of a class, and what its callers have in progress.
    const fn class(&self, class: CallerClass) -> (ClassLimits, Used) {
        match class {
            CallerClass::Manager => (self.limits.managers, self.managers),
            CallerClass::Service => (self.limits.services, self.services),
            CallerClass::Member => (self.limits.members, self.members),
        }
    }

    const fn total(&mut self, class: CallerClass) -> &mut Used {
        match class {
            CallerClass::Manager => &mut self.managers,
            CallerClass::Service => &mut self.services,
            CallerClass::Member => &mut self.members,
        }
    }

    /// The calls and bytes in progress of the caller of a call.
    fn used(&mut self, call: &CallInProgress) -> &mut Used {
        let key = (call.class, call.caller.clone());
        &mut self.callers.entry(key).or_default().used
    }
}

impl Used {
    const fn release(&mut self, call: &CallInProgress) {
        self.calls -= 1;
        self.request_bytes -= call.request_bytes;
        self.answer_bytes -= call.answer_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;

    const NOW: Instant = Instant::from_millis(1_000);

    fn member(name: &str) -> Subject {
        Subject::node("test", NodeId::new(name).unwrap()).unwrap()
    }

    fn calls() -> CallsInProgress {
        CallsInProgress::new(CallLimits::default())
    }

    #[test]
    fn one_caller_has_a_bounded_number_of_calls_and_others_are_served() {
        let mut calls = calls();
        let begun: Vec<_> = (0..1_000)
            .filter_map(|_| calls.begin(NOW, &member("evil"), CallerClass::Member).ok())
            .collect();
        assert_eq!(begun.len(), CallLimits::default().members.of_one.calls);
        assert_eq!(
            calls.begin(NOW, &member("evil"), CallerClass::Member),
            Err(CallExcess::Calls)
        );
        assert!(calls.begin(NOW, &member("n2"), CallerClass::Member).is_ok());
        calls.end(&begun[0]);
        assert!(
            calls
                .begin(NOW, &member("evil"), CallerClass::Member)
                .is_ok()
        );
    }

    #[test]
    fn a_caller_that_does_not_manage_the_node_has_a_rate() {
        let mut calls = calls();
        let limits = CallLimits::default().members;
        for _ in 0..limits.burst {
            let call = calls
                .begin(NOW, &member("evil"), CallerClass::Member)
                .unwrap();
            calls.end(&call);
        }
        assert_eq!(
            calls.begin(NOW, &member("evil"), CallerClass::Member),
            Err(CallExcess::Rate)
        );
        assert!(calls.begin(NOW, &member("n2"), CallerClass::Member).is_ok());
        let later = NOW + limits.interval;
        assert!(
            calls
                .begin(later, &member("evil"), CallerClass::Member)
                .is_ok()
        );
    }

    #[test]
    fn bytes_of_requests_count_until_their_calls_end() {
        let mut calls = calls();
        let mut first = calls
            .begin(NOW, &member("evil"), CallerClass::Member)
            .unwrap();
        let mut second = calls
            .begin(NOW, &member("evil"), CallerClass::Member)
            .unwrap();
        calls.receive(&mut first, 2 * MIB).unwrap();
        let refused = calls.receive(&mut second, 1);
        assert_eq!(refused, Err(CallExcess::RequestBytes));
        let mut other = calls
            .begin(NOW, &member("n2"), CallerClass::Member)
            .unwrap();
        calls.receive(&mut other, MIB).unwrap();
        calls.end(&first);
        calls.receive(&mut second, 1).unwrap();
    }

    #[test]
    fn the_part_of_an_answer_that_waits_counts_and_the_parts_before_do_not() {
        let mut calls = calls();
        let mut first = calls
            .begin(NOW, &member("evil"), CallerClass::Member)
            .unwrap();
        for _ in 0..10 {
            calls.answer(&mut first, 10 * MIB).unwrap();
        }
        let mut second = calls
            .begin(NOW, &member("evil"), CallerClass::Member)
            .unwrap();
        let refused = calls.answer(&mut second, 10 * MIB);
        assert_eq!(refused, Err(CallExcess::AnswerBytes));
        calls.answer(&mut first, 0).unwrap();
        calls.answer(&mut second, 10 * MIB).unwrap();
    }

    #[test]
    fn all_members_together_leave_room_for_managers() {
        let mut calls = calls();
        let members = (0..100).map(|number| member(&format!("m{number}")));
        let held: Vec<_> = members
            .flat_map(|member| [member.clone(), member])
            .filter_map(|member| {
                let mut call = calls.begin(NOW, &member, CallerClass::Member).ok()?;
                calls.receive(&mut call, MIB).ok()?;
                Some(call)
            })
            .collect();
        assert_eq!(held.len(), 16);
        let mut call = calls
            .begin(NOW, &member("n1"), CallerClass::Manager)
            .unwrap();
        calls.receive(&mut call, 10 * MIB).unwrap();
    }

    #[test]
    fn the_number_of_callers_is_bounded_and_ended_calls_leave_nothing() {
        let mut calls = calls();
        for number in 0..3_000_u64 {
            let now = NOW + Duration::from_secs(number);
            let name = format!("m{number}");
            let mut call = calls
                .begin(now, &member(&name), CallerClass::Member)
                .unwrap();
            calls.receive(&mut call, 100).unwrap();
            calls.answer(&mut call, 100).unwrap();
            calls.end(&call);
        }
        assert!(calls.callers.len() <= CALLERS_MAX);
        assert_eq!(calls.members, Used::default());
    }
}

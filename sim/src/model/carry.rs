//! Carries parcels over connections: transmission, loss, in-order delivery, and the ends of connections.

use super::engine::{Engine, Event};
use super::network::LOOPBACK;
use super::stream::{EndState, FLIGHTS, GIVES_UP_AFTER, Item, link, segments};
use crate::record::Held;
use crate::world::{CloseReason, DialError, DialId, ProcessEvent};

impl Engine<'_, '_> {
    pub(super) fn state_of(&self, connection: u32, end: usize) -> Option<EndState> {
        let connection = self.connections.get(connection as usize)?.as_ref()?;
        Some(connection.ends[end].state)
    }

    pub(super) fn host_of(&self, connection: u32, end: usize) -> Option<usize> {
        let connection = self.connections.get(connection as usize)?.as_ref()?;
        Some(connection.ends[end].host)
    }

    pub(super) fn slot_of(&self, connection: u32, end: usize) -> Option<usize> {
        let connection = self.connections.get(connection as usize)?.as_ref()?;
        connection.ends[end].slot
    }

    fn set_state(&mut self, connection: u32, end: usize, state: EndState) {
        if let Some(Some(connection)) = self.connections.get_mut(connection as usize) {
            connection.ends[end].state = state;
        }
    }

    /// Sends an item from one end of a connection.
    pub(super) fn send(&mut self, connection: u32, end: usize, item: Item, bytes: usize) {
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let (from, to) = (held.ends[end].host, held.ends[1 - end].host);
        let settings = self.fabric.settings(from, to);
        let lane = &mut held.lanes[end];
        let mut wait = 0;
        if let Some(rate) = settings.bandwidth {
            let depart = lane.free_at.max(self.now);
            let bits = (bytes + super::stream::FRAMING_BYTES) as u64 * 8;
            lane.free_at = depart + bits * 1_000_000_000 / rate;
            wait = lane.free_at - self.now;
        }
        let number = lane.push(item, bytes, segments(bytes), self.now, self.heap.cause);
        self.transmit(connection, end, number, wait);
    }

    fn transmit(&mut self, connection: u32, end: usize, number: u64, wait: u64) {
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let (from, to) = (held.ends[end].host, held.ends[1 - end].host);
        let Some(parcel) = held.lanes[end].parcel(number) else {
            return;
        };
        let settings = self.fabric.settings(from, to);
        let transit = if from == to {
            LOOPBACK
        } else {
            self.fabric.transmit(from, to, parcel.segments, &settings)
        };
        let held_back = self.fabric.held(self.now, from, to);
        let attempt = parcel.attempts;
        parcel.attempts += 1;
        let is_message = matches!(parcel.item, Some(Item::Message(_)));
        let lane = end as u8;
        if transit.lost == 0 {
            let at = self.now + held_back + wait + transit.latency;
            self.heap.push(
                at,
                Event::Arrive {
                    connection,
                    lane,
                    number,
                },
            );
        } else {
            parcel.segments = transit.lost;
            let at = held.lanes[end].again_at(number, self.now + wait);
            if attempt == 0 && is_message {
                let cut = self.fabric.is_blocked(from, to);
                self.trace.held(Held {
                    at: self.now,
                    from,
                    to,
                    cut,
                });
            }
            self.heap.push(
                at,
                Event::Retransmit {
                    connection,
                    lane,
                    number,
                },
            );
        }
    }

    pub(super) fn on_arrive(&mut self, connection: u32, lane: u8, number: u64) {
        let sender = usize::from(lane);
        let receiver = 1 - sender;
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        let (from, to) = (held.ends[sender].host, held.ends[receiver].host);
        let powered = self.hosts[to].powered;
        let lane_state = &mut held.lanes[sender];
        let Some(parcel) = lane_state.parcel(number) else {
            return;
        };
        let attempts = parcel.attempts;
        if !powered || self.fabric.is_blocked(from, to) {
            // The parcel was in flight when the cut began, or the receiver has no power.
            parcel.segments = parcel.segments.max(1);
            let bytes = parcel.bytes;
            if attempts == 1 && matches!(parcel.item, Some(Item::Message(_))) {
                self.trace.held(Held {
                    at: parcel.sent_at,
                    from,
                    to,
                    cut: true,
                });
            }
            let at = lane_state.again_at(number, self.now);
            self.heap.push(
                at,
                Event::Retransmit {
                    connection,
                    lane,
                    number,
                },
            );
            self.fabric.swallowed(from, to, bytes);
            return;
        }
        // The kernel answers a SYN; later flights need the process.
        let needs_process = matches!(parcel.item, Some(Item::Flight(flight)) if flight > 2);
        let slot = held.ends[receiver].slot;
        let paused_until = slot.map_or(0, |slot| self.slots[slot].paused_until);
        if needs_process && paused_until > self.now {
            self.heap.push(
                paused_until,
                Event::Arrive {
                    connection,
                    lane,
                    number,
                },
            );
            let step = slot.and_then(|slot| self.slots[slot].delayed_by);
            self.fabric.bite(step, 1);
            return;
        }
        parcel.arrived = true;
        if attempts == 1 {
            let rtt = 2 * (self.now - parcel.sent_at);
            lane_state.measured(rtt);
            held.lanes[receiver].measured(rtt);
        } else {
            let (numbers, at) = lane_state.hurry(self.now);
            for number in numbers {
                self.heap.push(
                    at,
                    Event::Retransmit {
                        connection,
                        lane,
                        number,
                    },
                );
            }
        }
        self.deliver_arrived(connection, sender);
    }

    fn deliver_arrived(&mut self, connection: u32, sender: usize) {
        loop {
            let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
                return;
            };
            let Some(parcel) = held.lanes[sender].pop_arrived() else {
                break;
            };
            self.heap.cause = parcel.cause;
            if let Some(item) = parcel.item {
                self.deliver(connection, 1 - sender, item, parcel.bytes);
            }
        }
        self.tidy(connection);
    }

    fn deliver(&mut self, connection: u32, end: usize, item: Item, bytes: usize) {
        match (self.state_of(connection, end), item) {
            (Some(EndState::Open), Item::Message(message)) => {
                let link = link(connection, end);
                if let Some(slot) = self.slot_of(connection, end) {
                    self.notify_of_message(slot, ProcessEvent::Received { link, message }, bytes);
                }
            }
            (Some(EndState::Opening | EndState::Open), Item::Flight(flight)) => {
                self.on_flight(connection, end, flight);
            }
            (Some(EndState::Opening | EndState::Open), Item::Fin(reason)) => {
                self.broken(connection, end, reason, DialError::Refused);
            }
            (Some(EndState::Gone), Item::Message(_) | Item::Flight(_)) => {
                self.reset(connection, 1 - end)
            }
            (Some(EndState::Opening), Item::Message(_))
            | (Some(EndState::Closed | EndState::Gone) | None, _) => {}
        }
    }

    fn on_flight(&mut self, connection: u32, end: usize, flight: u8) {
        if flight == 1 {
            let Some(slot) = self.listener(connection, end) else {
                self.set_state(connection, end, EndState::Gone);
                self.reset(connection, 1 - end);
                return;
            };
            if let Some(Some(held)) = self.connections.get_mut(connection as usize) {
                held.ends[end].slot = Some(slot);
            }
            self.slots[slot].connections.insert(connection);
        }
        let (Some(slot), Some(other)) = (
            self.slot_of(connection, end),
            self.slot_of(connection, 1 - end),
        ) else {
            return;
        };
        if let Some(bytes) = FLIGHTS.get(usize::from(flight)) {
            self.send(connection, end, Item::Flight(flight + 1), *bytes);
        }
        let peer = self.slots[other].identity.clone();
        let id = link(connection, end);
        if flight == 5 {
            self.set_state(connection, end, EndState::Open);
            self.notify(slot, ProcessEvent::Accepted { link: id, peer });
        } else if flight == 6 {
            self.set_state(connection, end, EndState::Open);
            if let Some(dial) = self.dial_of(connection) {
                self.notify(
                    slot,
                    ProcessEvent::Dialed {
                        dial,
                        link: id,
                        peer,
                    },
                );
            }
        }
    }

    /// Returns the process that listens at the target of a connection.
    fn listener(&self, connection: u32, end: usize) -> Option<usize> {
        let held = self.connections.get(connection as usize)?.as_ref()?;
        self.listens(held.ends[end].host, held.port)
    }

    fn dial_of(&self, connection: u32) -> Option<DialId> {
        Some(self.connections.get(connection as usize)?.as_ref()?.dial)
    }

    /// Answers a segment of a connection unknown to the receiving machine with a reset.
    fn reset(&mut self, connection: u32, end: usize) {
        let (Some(to), Some(from)) = (
            self.host_of(connection, end),
            self.host_of(connection, 1 - end),
        ) else {
            return;
        };
        let settings = self.fabric.settings(from, to);
        let latency = if from == to {
            LOOPBACK.latency
        } else {
            self.fabric.latency(&settings)
        };
        let end = end as u8;
        self.heap
            .push(self.now + latency, Event::Reset { connection, end });
    }

    pub(super) fn on_reset(&mut self, connection: u32, end: u8) {
        let end = usize::from(end);
        let (Some(to), Some(from)) = (
            self.host_of(connection, end),
            self.host_of(connection, 1 - end),
        ) else {
            return;
        };
        if self.hosts[to].powered && !self.fabric.is_blocked(from, to) {
            self.broken(connection, end, CloseReason::Reset, DialError::Refused);
            self.tidy(connection);
        }
    }

    pub(super) fn on_dial_timeout(&mut self, connection: u32) {
        if self.state_of(connection, 0) == Some(EndState::Opening) {
            self.broken(connection, 0, CloseReason::TimedOut, DialError::TimedOut);
            self.reset(connection, 1);
            self.tidy(connection);
        }
    }

    pub(super) fn on_retransmit(&mut self, connection: u32, lane: u8, number: u64) {
        let end = usize::from(lane);
        let Some(Some(held)) = self.connections.get_mut(connection as usize) else {
            return;
        };
        if held.ends[end].state == EndState::Gone {
            return;
        }
        let Some(parcel) = held.lanes[end].parcel(number) else {
            return;
        };
        if parcel.arrived || parcel.again_at != self.now {
            return;
        }
        if self.now - parcel.sent_at >= GIVES_UP_AFTER {
            self.broken(connection, end, CloseReason::TimedOut, DialError::TimedOut);
            self.tidy(connection);
            return;
        }
        self.transmit(connection, end, number, 0);
    }

    /// Notifies one end that the connection broke.
    fn broken(&mut self, connection: u32, end: usize, reason: CloseReason, error: DialError) {
        let Some(state) = self.state_of(connection, end) else {
            return;
        };
        self.set_state(connection, end, EndState::Gone);
        let Some(slot) = self.slot_of(connection, end) else {
            return;
        };
        match state {
            EndState::Open => {
                self.notify(
                    slot,
                    ProcessEvent::Closed {
                        link: link(connection, end),
                        reason,
                    },
                );
            }
            EndState::Opening if end == 0 => {
                if let Some(dial) = self.dial_of(connection) {
                    self.notify(
                        slot,
                        ProcessEvent::DialFailed {
                            dial,
                            reason: error,
                        },
                    );
                }
            }
            EndState::Opening | EndState::Closed | EndState::Gone => {}
        }
    }

    /// Closes an end gracefully: pending data is sent first.
    pub(super) fn close(&mut self, connection: u32, end: usize, reason: CloseReason) {
        if matches!(
            self.state_of(connection, end),
            Some(EndState::Open | EndState::Opening)
        ) {
            self.set_state(connection, end, EndState::Closed);
            self.send(connection, end, Item::Fin(reason), 0);
        }
    }

    /// Removes the ends of a machine that lost power, silently.
    pub(super) fn vanish(&mut self, connection: u32, host: usize) {
        for end in 0..2 {
            if self.host_of(connection, end) == Some(host) {
                self.set_state(connection, end, EndState::Gone);
            }
        }
        self.tidy(connection);
    }

    /// Frees a connection on which no event can occur any more.
    fn tidy(&mut self, connection: u32) {
        let slot = self.connections.get_mut(connection as usize);
        let Some(slot) = slot.filter(|slot| slot.as_ref().is_some_and(|held| held.is_over()))
        else {
            return;
        };
        if let Some(held) = slot.take() {
            for end in held.ends {
                if let Some(slot) = end.slot {
                    self.slots[slot].connections.remove(&connection);
                }
            }
        }
    }
}

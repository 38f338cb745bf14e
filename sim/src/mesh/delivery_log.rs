//! The delivery log: the broadcasts and messages of a run, and their deliveries and answers.
//!
//! The reports and inputs of daemons fill the log. Invariants, conditions and figures read the log. The log holds only
//! broadcasts on channels of messages, because on a map a later write may supersede an earlier write before its
//! delivery.

mod findings;
mod misses;

use super::applications::number_in;
use super::event::{AwaitedAnswer, Event};
use crate::world::Scene;
use misses::Misses;
use phalanx_core::channel::message::Item;
use phalanx_core::channel::{
    ChannelName, Data, Delivery, DeliveryFailure, Done, Refusal, UpdateId,
};
use phalanx_core::identity::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The delivery log of one run.
#[derive(Debug)]
pub(super) struct DeliveryLog {
    /// The number of starts of each host.
    lives: Vec<u32>,
    /// The hosts that have each channel open, with the lifetime in which the host opened it and the time in
    /// nanoseconds.
    open: BTreeMap<ChannelName, BTreeMap<usize, (u32, u64)>>,
    broadcasts: BTreeMap<UpdateId, Broadcast>,
    sends: BTreeMap<u64, SentMessage>,
    /// The broadcasts that hosts are told they missed.
    misses: Misses,
    /// The time of the latest event, in nanoseconds.
    latest: u64,
    /// Members whose applications consume slowly.
    slow: BTreeSet<NodeId>,
    /// A duplicate delivery that the latest report reveals.
    pub(super) twice: Option<String>,
    /// A false answer that the latest report reveals.
    pub(super) violation: Option<String>,
    /// A false notice of missed broadcasts that the latest report reveals.
    pub(super) false_notice: Option<String>,
}

#[derive(Debug)]
struct Broadcast {
    host: usize,
    at: u64,
    /// For each host, the lifetime in which the broadcast was delivered and the delay in microseconds.
    heard: Vec<(u32, u32)>,
    /// For each host, the number of copies of the payload that the host received.
    copies: Vec<u8>,
}

#[derive(Debug)]
struct SentMessage {
    host: usize,
    at: u64,
    to: NodeId,
    datagram: bool,
    /// The hosts and lifetimes in which the message was delivered.
    handed: Vec<(usize, u32)>,
    answer: Option<Result<u64, DeliveryFailure>>,
}

impl DeliveryLog {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            lives: vec![0; hosts],
            open: BTreeMap::new(),
            broadcasts: BTreeMap::new(),
            sends: BTreeMap::new(),
            misses: Misses::default(),
            latest: 0,
            slow: BTreeSet::new(),
            twice: None,
            violation: None,
            false_notice: None,
        }
    }

    /// Records that a host's process starts.
    pub(super) fn starts(&mut self, host: usize) {
        self.lives[host] += 1;
        self.misses.forget(host);
        for open in self.open.values_mut() {
            open.remove(&host);
        }
    }

    /// Records that a starting host has a channel open: from the beginning of the run at its first start, and from now
    /// on at a later start. A broadcast from before a restart need not reach the new process.
    pub(super) fn opens_at_start(&mut self, host: usize, channel: &ChannelName) {
        let since = if self.lives[host] > 1 { self.latest } else { 0 };
        self.opens(host, channel, since);
    }

    /// Records that a channel is open on a host.
    fn opens(&mut self, host: usize, channel: &ChannelName, at: u64) {
        let open = self.open.entry(channel.clone()).or_default();
        open.insert(host, (self.lives[host], at));
    }

    /// Records payloads of broadcasts that are about to reach a host.
    pub(super) fn on_received<'a>(
        &mut self,
        host: usize,
        updates: impl Iterator<Item = &'a UpdateId>,
    ) {
        for id in updates {
            if let Some(known) = self.broadcasts.get_mut(id) {
                known.copies[host] = known.copies[host].saturating_add(1);
            }
        }
    }

    /// Records that the applications of this member consume slowly. The sender may then receive its answer before the
    /// application receives the message.
    pub(super) fn waits_for(&mut self, id: NodeId) {
        self.slow.insert(id);
    }

    /// Records an event that a host reports.
    pub(super) fn event(&mut self, host: usize, now: u64, event: &Event) {
        (self.twice, self.violation, self.false_notice) = (None, None, None);
        self.latest = now;
        match event {
            Event::Mesh(_)
            | Event::Channel(_)
            | Event::Revocation(_)
            | Event::RevocationAnswered(..)
            | Event::Failed(..) => {}
            Event::Sent {
                number,
                to,
                datagram,
            } => {
                let send = SentMessage {
                    host,
                    at: now,
                    to: to.clone(),
                    datagram: *datagram,
                    handed: Vec::new(),
                    answer: None,
                };
                self.sends.insert(*number, send);
            }
            Event::Closed(channel) => {
                if let Some(open) = self.open.get_mut(channel) {
                    open.remove(&host);
                }
            }
            Event::Handed(channel, delivery) => self.handed(host, now, channel, delivery),
            Event::Answered(asked, result) => self.answered(host, now, asked, result),
        }
    }

    fn handed(&mut self, host: usize, now: u64, channel: &ChannelName, delivery: &Delivery) {
        let life = self.lives[host];
        match delivery {
            Delivery::Broadcast { id, .. } => {
                if self.misses.was_told(host, id) {
                    self.false_notice = Some(format!(
                        "is handed {id:?}, which it was told to have missed"
                    ));
                }
                let Some(known) = self.broadcasts.get_mut(id) else {
                    return;
                };
                let after = u32::try_from((now - known.at).div_ceil(1_000)).unwrap_or(u32::MAX);
                if known.heard[host].0 == life {
                    self.twice = Some(format!("hands {id:?} over twice"));
                }
                known.heard[host] = (life, after);
            }
            Delivery::Message {
                from,
                payload,
                datagram,
            } => {
                let number = number_in(payload);
                let Some((number, known)) =
                    number.and_then(|it| Some((it, self.sends.get_mut(&it)?)))
                else {
                    self.violation =
                        Some(format!("delivers a message of {from} that was not sent"));
                    return;
                };
                if !datagram && known.handed.contains(&(host, life)) {
                    self.twice = Some(format!("hands message {number:x} of {from} over twice"));
                }
                if let Some(Err(failure)) = &known.answer
                    && *failure != DeliveryFailure::TimedOut
                {
                    self.violation = Some(format!(
                        "hands message {number:x} of {from} over, who was told: {failure}"
                    ));
                }
                known.handed.push((host, life));
            }
            Delivery::Missed {
                origin,
                epoch,
                first,
                last,
                ..
            } => {
                let id = |sequence| UpdateId {
                    channel: channel.clone(),
                    origin: origin.clone(),
                    epoch: *epoch,
                    sequence,
                };
                self.missed_by(host, id(*first), id(*last));
            }
            Delivery::Changed { .. } | Delivery::Conflict { .. } => {}
        }
    }

    /// A host is told that it missed the broadcasts from `first` to `last`.
    fn missed_by(&mut self, host: usize, first: UpdateId, last: UpdateId) {
        let life = self.lives[host];
        let mut told = self.broadcasts.range(&first..=&last);
        let had = told.find(|(id, it)| it.heard[host].0 == life || self.misses.was_told(host, id));
        if let Some((id, _)) = had {
            self.false_notice = Some(format!(
                "is told to have missed {id:?}, which it was handed, or told before"
            ));
        }
        self.misses.tell(host, first, last);
    }

    fn answered(
        &mut self,
        host: usize,
        now: u64,
        asked: &AwaitedAnswer,
        result: &Result<Done, Refusal>,
    ) {
        match (asked, result) {
            (AwaitedAnswer::Open(channel), Ok(_)) => self.opens(host, channel, now),
            (AwaitedAnswer::Publish(_), Ok(Done::Published(id))) => {
                let hosts = self.lives.len();
                let broadcast = Broadcast {
                    host,
                    at: now,
                    heard: vec![(0, 0); hosts],
                    copies: vec![0; hosts],
                };
                self.broadcasts.insert(id.clone(), broadcast);
            }
            (AwaitedAnswer::Send(number, _), Ok(Done::Delivered)) => {
                let Some(known) = self.sends.get_mut(number) else {
                    return;
                };
                known.answer = Some(Ok(now));
                // A message to the sender itself is delivered in the same step.
                if known.handed.is_empty() && !self.slow.contains(&known.to) {
                    let to = &known.to;
                    self.violation = Some(format!(
                        "was told that {to} has message {number:x}, which was not handed over"
                    ));
                }
            }
            (AwaitedAnswer::Send(number, _), Err(Refusal::Undelivered(failure))) => {
                let Some(known) = self.sends.get_mut(number) else {
                    return;
                };
                known.answer = Some(Err(*failure));
                if *failure != DeliveryFailure::TimedOut && !known.handed.is_empty() {
                    self.violation = Some(format!(
                        "got the failure of message {number:x} ({failure}), which was delivered"
                    ));
                }
            }
            // The message was never sent.
            (AwaitedAnswer::Send(number, _), Err(_)) => {
                self.sends.remove(number);
            }
            (
                AwaitedAnswer::Open(_)
                | AwaitedAnswer::Publish(_)
                | AwaitedAnswer::Write(_)
                | AwaitedAnswer::Send(..),
                _,
            ) => {}
        }
    }

    /// For each host that has had the channel open since before the broadcast, the delay of the delivery in
    /// microseconds; none if the broadcast was not delivered.
    fn heard<'a>(
        &'a self,
        scene: &'a Scene<'_>,
        id: &UpdateId,
        broadcast: &'a Broadcast,
    ) -> impl Iterator<Item = (usize, Option<u32>)> + 'a {
        let open = self.open.get(&id.channel).into_iter().flatten();
        let stayed = open.filter(|(host, (_, since))| {
            let runs = scene.participates(**host);
            runs && *since < broadcast.at && **host != broadcast.host
        });
        stayed.map(|(host, (life, _))| {
            let (heard_in, after) = broadcast.heard[*host];
            (*host, (heard_in == *life).then_some(after))
        })
    }

    fn published(
        &self,
        who: &[usize],
        (from, to): (u64, u64),
    ) -> impl Iterator<Item = (&UpdateId, &Broadcast)> {
        let all = self.broadcasts.iter();
        all.filter(move |(_, it)| who.contains(&it.host) && from <= it.at && it.at < to)
    }

    /// Whether each broadcast on a channel was delivered to all hosts that have had the channel open since before the
    /// broadcast.
    ///
    /// # Errors
    /// The error names the first host that lacks a broadcast, or states that the channel has no broadcasts.
    pub(super) fn all_received(
        &self,
        scene: &Scene<'_>,
        channel: &ChannelName,
    ) -> Result<(), String> {
        let mut any = false;
        for (id, broadcast) in self
            .broadcasts
            .iter()
            .filter(|(id, _)| id.channel == *channel)
        {
            any = true;
            let mut heard = self.heard(scene, id, broadcast);
            if let Some((host, _)) = heard.find(|(_, after)| after.is_none()) {
                return Err(lacks(scene, host, id));
            }
        }
        if any {
            Ok(())
        } else {
            Err(format!("nothing was broadcast on {channel}"))
        }
    }

    /// The figure with this word.
    ///
    /// # Errors
    /// The reason why there is no figure: the sample is empty, or a broadcast was not delivered.
    pub(super) fn figure(
        &self,
        scene: &Scene<'_>,
        word: &str,
        who: &[usize],
        window: (u64, u64),
    ) -> Result<u64, String> {
        match word {
            "missed-updates" => self.missed(scene, who, window, |_, _| true),
            "untold-misses" => self.missed(scene, who, window, |host, id| {
                !self.misses.was_told(host, id)
            }),
            "told-misses" => self.missed(scene, who, window, |host, id| {
                self.misses.was_told(host, id)
            }),
            "update-ms" => self.update_ms(scene, who, window, 100),
            "update-p99-ms" => self.update_ms(scene, who, window, 99),
            "update-p50-ms" => self.update_ms(scene, who, window, 50),
            "copies-percent" => self.copies(who, window),
            "delivered-percent" => {
                let sent = self.sample(who, window)?;
                let delivered = sent.iter().filter(|it| matches!(it.answer, Some(Ok(_))));
                Ok(100 * delivered.count() as u64 / sent.len() as u64)
            }
            "send-ms" => self.send_ms(who, window, 100),
            "send-p99-ms" => self.send_ms(who, window, 99),
            _ => Err(format!("the mesh has no metric `{word}`")),
        }
    }

    /// The number of broadcasts that a receiver lacks, summed over the receivers. `counts`: whether the lack of a
    /// broadcast on a host counts.
    fn missed(
        &self,
        scene: &Scene<'_>,
        who: &[usize],
        window: (u64, u64),
        counts: impl Fn(usize, &UpdateId) -> bool,
    ) -> Result<u64, String> {
        let (mut receivers, mut missed) = (0_u64, 0);
        for (id, it) in self.broadcast(who, window)? {
            for (host, after) in self.heard(scene, id, it) {
                receivers += 1;
                missed += u64::from(after.is_none() && counts(host, id));
            }
        }
        match receivers {
            0 => Err(NO_RECEIVER.to_owned()),
            _ => Ok(missed),
        }
    }

    /// The mean number of copies of a broadcast that a node received, in percent.
    fn copies(&self, who: &[usize], window: (u64, u64)) -> Result<u64, String> {
        let (mut copies, mut hosts) = (0, 0);
        for (_, it) in self.broadcast(who, window)? {
            copies += it.copies.iter().map(|it| u64::from(*it)).sum::<u64>();
            hosts += it.copies.iter().filter(|it| **it > 0).count() as u64;
        }
        match hosts {
            0 => Err("no node received a broadcast of these nodes in this time".to_owned()),
            _ => Ok((100 * copies).div_ceil(hosts)),
        }
    }

    /// The percentile `percent` of the times from a broadcast to its last delivery, in milliseconds.
    fn update_ms(
        &self,
        scene: &Scene<'_>,
        who: &[usize],
        window: (u64, u64),
        percent: usize,
    ) -> Result<u64, String> {
        let mut times = Vec::new();
        for (id, it) in self.broadcast(who, window)? {
            let mut last = None;
            for (host, after) in self.heard(scene, id, it) {
                let after = after.ok_or_else(|| lacks(scene, host, id))?;
                last = last.max(Some(u64::from(after)));
            }
            // Broadcasts without receivers are left out.
            times.extend(last);
        }
        percentile(times, percent).ok_or_else(|| NO_RECEIVER.to_owned())
    }

    /// The broadcasts that these nodes published in this time; at least one.
    fn broadcast(
        &self,
        who: &[usize],
        window: (u64, u64),
    ) -> Result<Vec<(&UpdateId, &Broadcast)>, String> {
        let published: Vec<_> = self.published(who, window).collect();
        if published.is_empty() {
            return Err("these nodes published nothing in this time".to_owned());
        }
        Ok(published)
    }

    fn sent(&self, who: &[usize], (from, to): (u64, u64)) -> impl Iterator<Item = &SentMessage> {
        let all = self.sends.values();
        all.filter(move |it| !it.datagram && who.contains(&it.host) && from <= it.at && it.at < to)
    }

    /// The messages that these nodes sent in this time; at least one.
    fn sample(&self, who: &[usize], window: (u64, u64)) -> Result<Vec<&SentMessage>, String> {
        let sent: Vec<_> = self.sent(who, window).collect();
        if sent.is_empty() {
            return Err("these nodes sent no message in this time".to_owned());
        }
        Ok(sent)
    }

    fn send_ms(&self, who: &[usize], window: (u64, u64), percent: usize) -> Result<u64, String> {
        let sent = self.sample(who, window)?.into_iter();
        let answered = sent.filter_map(|it| match it.answer {
            Some(Ok(at)) => Some((at - it.at).div_ceil(1_000)),
            Some(Err(_)) | None => None,
        });
        percentile(answered.collect(), percent)
            .ok_or_else(|| "no message of these nodes was delivered".to_owned())
    }
}

/// Why broadcasts have no figure that concerns their receivers.
const NO_RECEIVER: &str = "no other node had the channel open since before a broadcast";

/// The statement that a host lacks a broadcast.
fn lacks(scene: &Scene<'_>, host: usize, id: &UpdateId) -> String {
    let (name, from) = (scene.name(host), &id.origin);
    format!("{name} has not heard broadcast {} of {from}", id.sequence)
}

/// The ids of the broadcasts whose payload a message carries.
pub(super) fn updates(data: &Data) -> impl Iterator<Item = &UpdateId> {
    data.items.iter().filter_map(|item| {
        if let Item::Update { update, .. } = item {
            Some(&update.id)
        } else {
            None
        }
    })
}

/// The percentile `percent` (nearest rank) of times in microseconds, in milliseconds, rounded up; none without times.
fn percentile(mut micros: Vec<u64>, percent: usize) -> Option<u64> {
    micros.sort_unstable();
    let at = (micros.len() * percent).div_ceil(100).checked_sub(1)?;
    micros.get(at).map(|micros| micros.div_ceil(1_000))
}

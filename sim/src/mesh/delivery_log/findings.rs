//! The broadcast or message because of which a figure of the delivery log misses its bound.

use super::{Broadcast, DeliveryLog, SentMessage};
use crate::finding::{FailureFinding, seconds};
use crate::world::{MeasuredMetric, Scene};
use phalanx_core::channel::{ChannelName, UpdateId};

impl DeliveryLog {
    /// The item because of which a metric misses its bound.
    pub(in crate::mesh) fn finding(
        &self,
        scene: &Scene<'_>,
        metric: &MeasuredMetric<'_>,
    ) -> Option<FailureFinding> {
        match metric.word {
            "missed-updates" | "told-misses" => {
                self.first_missing(scene, metric, "is the first that is missing")
            }
            "untold-misses" => {
                let untold = |host: usize, id: &UpdateId| !self.misses.was_told(host, id);
                let published = self.published(metric.who, metric.window);
                self.earliest_missing(scene, published, "is missing without a notice", untold)
            }
            "update-ms" | "update-p99-ms" | "update-p50-ms" => match metric.figure {
                None => self.first_missing(scene, metric, "was not delivered everywhere"),
                Some(_) => self.slowest_delivery(scene, metric),
            },
            "copies-percent" => self.most_copies(scene, metric),
            "delivered-percent" => self.first_undelivered(scene, metric),
            "send-ms" | "send-p99-ms" => match metric.figure {
                None => self.first_undelivered(scene, metric),
                Some(_) => self.slowest_answer(scene, metric),
            },
            _ => None,
        }
    }

    /// The earliest broadcast on a channel that a host lacks.
    pub(in crate::mesh) fn first_missing_on(
        &self,
        scene: &Scene<'_>,
        channel: &ChannelName,
    ) -> Option<FailureFinding> {
        let all = self.broadcasts.iter();
        let of_channel = all.filter(|(id, _)| id.channel == *channel);
        self.earliest_missing(scene, of_channel, "is the first that is missing", |_, _| {
            true
        })
    }

    fn first_missing(
        &self,
        scene: &Scene<'_>,
        metric: &MeasuredMetric<'_>,
        verb: &str,
    ) -> Option<FailureFinding> {
        let published = self.published(metric.who, metric.window);
        let found = self.earliest_missing(scene, published, verb, |_, _| true);
        found.or_else(|| {
            let mut published = self.published(metric.who, metric.window);
            let none = published.next().is_none();
            none.then(|| FailureFinding::new("nothing was published in the time window"))
        })
    }

    fn earliest_missing<'a>(
        &'a self,
        scene: &'a Scene<'_>,
        broadcasts: impl Iterator<Item = (&'a UpdateId, &'a Broadcast)>,
        verb: &str,
        counts: impl Fn(usize, &UpdateId) -> bool,
    ) -> Option<FailureFinding> {
        let missing = broadcasts.filter_map(|(id, it)| {
            let mut heard = self.heard(scene, id, it);
            let (host, _) = heard.find(|(host, after)| after.is_none() && counts(*host, id))?;
            Some((id, it, host))
        });
        let (id, broadcast, host) = missing.min_by_key(|(_, it, _)| it.at)?;
        let copies = match broadcast.copies[host] {
            0 => "no copy of it arrived there",
            _ => "a copy of it arrived there, and was not delivered",
        };
        let text = format!(
            "{} {verb}, at {}; {copies}",
            described(scene, id, broadcast),
            scene.name(host)
        );
        Some(of_broadcast(broadcast, host, text))
    }

    fn slowest_delivery(
        &self,
        scene: &Scene<'_>,
        metric: &MeasuredMetric<'_>,
    ) -> Option<FailureFinding> {
        let deliveries = self
            .published(metric.who, metric.window)
            .flat_map(|(id, it)| {
                let heard = self.heard(scene, id, it);
                heard.filter_map(move |(host, after)| Some((after?, id, it, host)))
            });
        let (after, id, broadcast, host) = deliveries.max_by_key(|(after, ..)| *after)?;
        let text = format!(
            "{} took longest, {} ms to {}",
            described(scene, id, broadcast),
            after.div_ceil(1_000),
            scene.name(host)
        );
        Some(of_broadcast(broadcast, host, text))
    }

    fn most_copies(
        &self,
        scene: &Scene<'_>,
        metric: &MeasuredMetric<'_>,
    ) -> Option<FailureFinding> {
        let published = self.published(metric.who, metric.window);
        let copies = published.flat_map(|(id, it)| {
            let hosts = it.copies.iter().enumerate();
            hosts.map(move |(host, copies)| (*copies, id, it, host))
        });
        let (count, id, broadcast, host) = copies.max_by_key(|(copies, ..)| *copies)?;
        let text = format!(
            "{} arrived most often, {count} times at {}",
            described(scene, id, broadcast),
            scene.name(host)
        );
        Some(of_broadcast(broadcast, host, text))
    }

    fn first_undelivered(
        &self,
        scene: &Scene<'_>,
        metric: &MeasuredMetric<'_>,
    ) -> Option<FailureFinding> {
        let sent = self.sent(metric.who, metric.window);
        let failed = sent.filter(|it| !matches!(it.answer, Some(Ok(_))));
        let Some(first) = failed.min_by_key(|it| it.at) else {
            let none = self.sent(metric.who, metric.window).next().is_none();
            return none.then(|| FailureFinding::new("nothing was sent in the time window"));
        };
        let ending = match &first.answer {
            Some(Err(failure)) => failure.to_string(),
            Some(Ok(_)) | None => "it was not answered".to_owned(),
        };
        let text = format!(
            "{} is the first that was not delivered: {ending}",
            described_message(scene, first)
        );
        Some(of_message(scene, first, text))
    }

    fn slowest_answer(
        &self,
        scene: &Scene<'_>,
        metric: &MeasuredMetric<'_>,
    ) -> Option<FailureFinding> {
        let answered = self.sent(metric.who, metric.window);
        let answered = answered.filter_map(|it| match it.answer {
            Some(Ok(at)) => Some((at - it.at, it)),
            Some(Err(_)) | None => None,
        });
        let (took, slowest) = answered.max_by_key(|(took, _)| *took)?;
        let text = format!(
            "{} took longest, {} ms",
            described_message(scene, slowest),
            took.div_ceil(1_000_000)
        );
        Some(of_message(scene, slowest, text))
    }
}

/// The receiver is the observer of a broadcast.
fn of_broadcast(broadcast: &Broadcast, receiver: usize, text: String) -> FailureFinding {
    FailureFinding::new(text)
        .by(receiver)
        .about(broadcast.host)
        .at(broadcast.at)
}

/// The sender waits for the answer of the receiver, so the sender is the observer.
fn of_message(scene: &Scene<'_>, message: &SentMessage, text: String) -> FailureFinding {
    let found = FailureFinding::new(text).by(message.host).at(message.at);
    match scene.hosts.iter().position(|host| host.id == message.to) {
        Some(receiver) => found.about(receiver),
        None => found,
    }
}

fn described(scene: &Scene<'_>, id: &UpdateId, broadcast: &Broadcast) -> String {
    format!(
        "broadcast {} on {}, published by {} at {},",
        id.sequence,
        id.channel,
        scene.name(broadcast.host),
        seconds(broadcast.at)
    )
}

fn described_message(scene: &Scene<'_>, message: &SentMessage) -> String {
    format!(
        "the message from {} to {} at {}",
        scene.name(message.host),
        message.to,
        seconds(message.at)
    )
}

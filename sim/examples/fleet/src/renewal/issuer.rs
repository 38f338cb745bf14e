//! The issuer of certificates.

use super::messages::Issuing;
use core::time::Duration;
use phalanx_core::credentials::Validity;
use phalanx_core::random::hash_bytes;
use phalanx_core::time::{Instant, Wall};
use phalanx_sim::world::{Effect, Effects, Process, ProcessEvent, ProcessView};
use serde_json::{Value, json};

/// The port that the issuer listens on.
pub const PORT: u16 = 8_445;
/// A certificate is valid from this many seconds before its issue, so that members whose clocks are behind accept it.
const BACKDATED: u64 = 5;

/// Returns the validity of a certificate that is issued at a time.
#[must_use]
pub fn issued(wall: Wall, life: Duration) -> Validity {
    Validity {
        not_before: Wall(wall.0.saturating_sub(BACKDATED)),
        not_after: Wall(wall.0 + life.as_secs()),
    }
}

/// An issuer.
#[derive(Debug)]
pub struct Issuer {
    started: Wall,
    life: Duration,
    issued: u64,
}

impl Issuer {
    /// Creates an issuer of certificates with this lifetime; `started` is the wall time of its start.
    #[must_use]
    pub const fn new(started: Wall, life: Duration) -> Self {
        Self {
            started,
            life,
            issued: 0,
        }
    }
}

impl ProcessView for Issuer {
    fn digest(&self) -> u64 {
        hash_bytes(&self.issued.to_le_bytes())
    }

    fn state(&self) -> Value {
        json!({ "issued": self.issued })
    }
}

impl Process for Issuer {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Datagram { message, .. } => message.of::<Issuing>().is_some(),
            event => matches!(event, ProcessEvent::Start),
        }
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        if let ProcessEvent::Start = event {
            out.push(Effect::Listen { port: PORT });
        } else if let ProcessEvent::Datagram { from, message } = event
            && let Some(Issuing::Request(number)) = message.take()
        {
            self.issued += 1;
            let wall = Wall(self.started.0 + now.as_millis() / 1_000);
            out.datagram(from, Issuing::Issued(number, issued(wall, self.life)));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

//! A fake nginx: it loads the configuration file at its start, and another version when it is told to.

use crate::controller::version_in;
use crate::messages::Signal;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use phalanx_core::random::hash_bytes;
use phalanx_core::time::Instant;
use phalanx_sim::disk::Files;
use phalanx_sim::world::{Effect, Effects, Process, ProcessEvent, ProcessView};
use serde_json::{Value, json};

/// The port that nginx listens on.
pub const PORT: u16 = 81;

/// The file of the configuration.
pub const CONFIGURATION: &str = "nginx.conf";

/// The time that loading a configuration takes.
const LOADING: Duration = Duration::from_millis(700);

/// A version that is being loaded.
#[derive(Debug)]
struct Load {
    version: u64,
    done_at: Instant,
    answer_to: SocketAddr,
}

/// The fake nginx.
#[derive(Debug)]
pub struct Nginx {
    version: u64,
    load: Option<Load>,
}

impl Nginx {
    /// An nginx that starts with the configuration on disk.
    pub fn new(disk: &Files) -> Self {
        Self {
            version: version_in(disk, CONFIGURATION),
            load: None,
        }
    }

    /// The version that is served.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn on_reload(&mut self, now: Instant, version: u64, from: SocketAddr) {
        // A repeated request does not begin again.
        if self
            .load
            .as_ref()
            .is_none_or(|load| load.version != version)
        {
            self.load = Some(Load {
                version,
                done_at: now + LOADING,
                answer_to: SocketAddr::from((Ipv4Addr::LOCALHOST, from.port())),
            });
        }
    }
}

impl ProcessView for Nginx {
    fn digest(&self) -> u64 {
        hash_bytes(format!("{self:?}").as_bytes())
    }

    fn state(&self) -> Value {
        json!({ "version": self.version })
    }
}

impl Process for Nginx {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(
            event,
            ProcessEvent::Start | ProcessEvent::Wake | ProcessEvent::Datagram { .. }
        )
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => out.push(Effect::Listen { port: PORT }),
            ProcessEvent::Datagram { from, message } => {
                if let Some(Signal::Reload(version)) = message.take() {
                    self.on_reload(now, version, from);
                }
            }
            ProcessEvent::Wake => {
                if let Some(load) = self.load.take_if(|load| load.done_at <= now) {
                    self.version = load.version;
                    out.datagram(load.answer_to, Signal::Reloaded(self.version));
                }
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.load.as_ref().map(|load| load.done_at)
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

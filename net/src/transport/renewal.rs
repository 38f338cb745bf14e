//! When a link gets a successor: make before break.
//!
//! A connection proves its certificates once, in the handshake. So that new ones count, a new connection is dialled
//! while the old one stands, and takes its place when both ends have agreed on it:
//!
//! - when this node's credentials were replaced, by this node, whoever dialled the link;
//! - when the first of the two certificates nears its end, by who dialled the link: it alone can be sure to reach the
//!   other end, which may have a new certificate long since.
//!
//! A link whose peer would not be trusted any more closes, [`GRACE`] after the credentials were replaced.

use super::credentials::{Credentials, Proof};
use super::expiry::Expiry;
use super::links::Links;
use crate::clock;
use crate::identity::Peer;
use phalanx_core::gossip::{Input, LinkId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time;

/// How long a successor may take when the link itself is trusted no longer.
const GRACE: Duration = Duration::from_secs(5);
/// The first pause before a successor that did not come is tried again; each is twice the last.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Links are renewed one after the other, so far apart.
const STAGGER: Duration = Duration::from_millis(20);
/// Links that wait for their turn at most.
const TURNS: u64 = 16;
/// A node whose certificates last asks the calendar this often: it may be set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What decides when one link is renewed.
pub(crate) struct Renewal {
    proofs: watch::Receiver<Arc<Proof>>,
    /// The generation of our credentials in the handshake.
    generation: u64,
    peer: Peer,
    expiry: Expiry,
    dialed: bool,
}

impl Renewal {
    pub(crate) fn new(
        credentials: &Credentials,
        generation: u64,
        peer: Peer,
        expiry: Expiry,
        dialed: bool,
    ) -> Self {
        Self {
            proofs: credentials.follow(),
            generation,
            peer,
            expiry,
            dialed,
        }
    }

    /// The generation of our credentials in the handshake.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Has the link renewed as often as it takes; ends when it must close without a successor.
    pub(crate) async fn follow(mut self, links: Links, link: LinkId) {
        let renew = async || links.tell(Input::Renew { link }).await;
        while self.is_current() {
            let due = self.expiry.until_renewal().filter(|_| self.dialed);
            let wait = due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            let changed = self.changed_within(wait).await;
            if due == Some(wait) && !changed {
                renew().await;
            }
        }
        time::sleep(STAGGER * u32::try_from(link.0 % TURNS).unwrap_or(0)).await;
        let mut pause = RETRY_MIN;
        let mut distrusted = None;
        loop {
            renew().await;
            let trusts = {
                let proof = self.proofs.borrow_and_update();
                proof.identity.still_trusts(&self.peer, clock::wall())
            };
            if trusts {
                distrusted = None;
            } else {
                let since = *distrusted.get_or_insert_with(time::Instant::now);
                if since.elapsed() >= GRACE {
                    return;
                }
                pause = RETRY_MIN;
            }
            self.changed_within(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Whether the link was made with what we prove ourselves with now.
    fn is_current(&mut self) -> bool {
        self.proofs.borrow_and_update().generation == self.generation
    }

    /// Waits, and tells whether our credentials were replaced meanwhile.
    async fn changed_within(&mut self, wait: Duration) -> bool {
        match time::timeout(wait, self.proofs.changed()).await {
            Err(_) => false,
            Ok(Ok(())) => true,
            // The node is gone, and nothing changes any more.
            Ok(Err(_)) => std::future::pending().await,
        }
    }
}

//! Performs the orders of the machine that decides about certificates: [`Credentials`].
//!
//! The machine has a loop of its own beside the node's. Events of links and new credentials are delivered to it. New
//! certificates are obtained by the program that holds their source, which waits for the request at
//! [`MeshNode::renewal_due`](super::MeshNode::renewal_due).

use super::credentials::CurrentProof;
use super::links::OpenLinks;
use crate::clock;
use crate::driver::Executor;
use crate::link::TransportEvent;
use phalanx_core::credentials::{Credentials, CredentialsEvent, Input, Output};
use phalanx_core::gossip;
use phalanx_core::link::LinkId;
use phalanx_core::time::Instant;
use tokio::sync::watch;

/// The executor of the credentials machine of one node.
pub(crate) struct CredentialsExecutor {
    pub(crate) links: OpenLinks,
    pub(crate) proof: CurrentProof,
    /// Whether a new certificate was requested and the program has not taken the request.
    pub(crate) requested: watch::Sender<bool>,
}

impl Executor<Credentials> for CredentialsExecutor {
    fn execute(&mut self, _now: Instant, order: Output) {
        match order {
            Output::ReadCalendar => self.answer(Input::Calendar(clock::wall())),
            Output::Renew { link } => {
                let links = self.links.clone();
                let renew = async move { links.notify(gossip::Input::Renew { link }).await };
                self.links.tasks.spawn(renew);
            }
            Output::Verify { link } => self.verify(link),
            Output::Close { link, reason } => self.links.close_for(link, reason),
            Output::RequestCertificate => {
                self.requested.send_replace(true);
            }
            Output::Report(event) => self.links.notice(event.into()),
        }
    }
}

impl CredentialsExecutor {
    /// Delivers the completion of an order. The loop cannot wait for room in its own inbox, so a task does.
    fn answer(&self, input: Input) {
        let links = self.links.clone();
        let answer = async move { links.tell_credentials(input).await };
        self.links.tasks.spawn(answer);
    }

    fn verify(&self, link: LinkId) {
        // A link that is gone needs no answer.
        let Some(peer) = self.links.peer(link) else {
            return;
        };
        let (proof, links) = (self.proof.current(), self.links.clone());
        self.links.tasks.spawn(async move {
            let trusted = proof.identity.still_trusts(&peer, clock::wall());
            links
                .tell_credentials(Input::Verified { link, trusted })
                .await;
        });
    }
}

/// Notifies the machine of each replacement of the proof.
pub(crate) async fn follow(proof: CurrentProof, links: OpenLinks) {
    let mut proofs = proof.follow();
    while proofs.changed().await.is_ok() {
        let input = {
            let proof = proofs.borrow_and_update();
            Input::Replaced {
                generation: proof.generation,
                validity: proof.identity.validity(),
            }
        };
        links.tell_credentials(input).await;
    }
}

impl From<CredentialsEvent> for TransportEvent {
    fn from(event: CredentialsEvent) -> Self {
        match event {
            CredentialsEvent::RequestFailed { reason, failures } => {
                Self::RenewalFailed { reason, failures }
            }
            CredentialsEvent::Expired { not_after } => Self::CertificateExpired { not_after },
            CredentialsEvent::CalendarStepped { expected, found } => {
                Self::CalendarStepped { expected, found }
            }
        }
    }
}

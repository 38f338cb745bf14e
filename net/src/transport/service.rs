//! The call by which another node opens a link to this node.

use super::connection::Caller;
use super::expiry;
use super::limits::LINK_MESSAGE_BYTES_MAX;
use super::links::{LinkOrigin, NewStream, OpenLinks};
use super::queue::Outbound;
use crate::clock;
use crate::link::TransportEvent;
use crate::wire::proto::Packet;
use crate::wire::proto::mesh_server::{Mesh, MeshServer};
use phalanx_core::access;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Handler of `Mesh.Link`.
pub(crate) struct LinkService {
    links: OpenLinks,
    mesh: String,
}

impl LinkService {
    /// Returns the service of a node of `mesh`.
    pub(crate) fn server(links: OpenLinks, mesh: String) -> MeshServer<Self> {
        let service = Self { links, mesh };
        MeshServer::new(service)
            .max_decoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(LINK_MESSAGE_BYTES_MAX)
    }

    /// Returns the reason why this caller may not have a link, if there is one.
    fn objection(&self, caller: &Caller) -> Option<String> {
        if let Err(denial) = access::open_link(&caller.peer.subject, &self.mesh) {
            return Some(denial.to_string());
        }
        if !caller.expiry.admits_accepting(clock::wall()) {
            return Some(expiry::in_words(caller.expiry));
        }
        None
    }
}

#[tonic::async_trait]
impl Mesh for LinkService {
    type LinkStream = Served;

    async fn link(&self, request: Request<Streaming<Packet>>) -> Result<Response<Served>, Status> {
        let Some(caller) = request.extensions().get::<Caller>().cloned() else {
            return Err(Status::internal("the connection has no caller"));
        };
        if let Some(reason) = self.objection(&caller) {
            let remote = caller.remote;
            self.links.notice(TransportEvent::LinkDenied {
                remote,
                reason: reason.clone(),
            });
            return Err(Status::permission_denied(reason));
        }
        let (queue, outbound) = self.links.queue();
        let Caller {
            peer,
            remote,
            encrypted,
            connection,
            expiry,
            generation,
            wire,
        } = caller;
        self.links.open(NewStream {
            origin: LinkOrigin::Accepted,
            peer,
            remote,
            encrypted,
            queue,
            inbound: request.into_inner(),
            connection,
            expiry,
            generation,
            wire,
        });
        Ok(Response::new(Served(outbound)))
    }
}

/// Outgoing messages of an accepted link.
pub(crate) struct Served(Outbound);

impl Stream for Served {
    type Item = Result<Packet, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.0).poll_next(context);
        next.map(|parts| match parts {
            Some(parts) => Some(Ok(Packet::from(&parts))),
            None => {
                let refusal = self.0.take_refusal();
                refusal.map(|reason| Err(Status::invalid_argument(reason)))
            }
        })
    }
}

/// Outgoing messages of a dialled link.
pub(crate) struct Sent(pub(crate) Outbound);

impl Stream for Sent {
    type Item = Packet;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Packet>> {
        let next = Pin::new(&mut self.0).poll_next(context);
        next.map(|parts| parts.map(|parts| Packet::from(&parts)))
    }
}

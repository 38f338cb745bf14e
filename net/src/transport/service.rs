//! The call with which a node opens a link to this one.

use super::connection::Caller;
use super::links::{Links, Origin, Stem};
use super::queue::Outbound;
use super::{Event, LINK_MESSAGE_BYTES_MAX, expiry};
use crate::clock;
use crate::identity::Role;
use crate::wire::proto::Packet;
use crate::wire::proto::mesh_server::{Mesh, MeshServer};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Answers `Mesh.Link`.
pub(crate) struct LinkService {
    links: Links,
    mesh: String,
}

impl LinkService {
    /// The service of a node of `mesh`.
    pub(crate) fn server(links: Links, mesh: String) -> MeshServer<Self> {
        let service = Self { links, mesh };
        MeshServer::new(service)
            .max_decoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(LINK_MESSAGE_BYTES_MAX)
    }

    /// Why this caller may not have a link.
    fn objection(&self, caller: &Caller) -> Option<String> {
        let subject = &caller.peer.subject;
        if subject.mesh() != self.mesh {
            return Some(format!("{subject} is not of mesh {:?}", self.mesh));
        }
        if subject.role() != Role::Node {
            return Some(format!("{subject} is no node; only nodes open links"));
        }
        if caller.expiry.is_near(clock::wall()) {
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
            self.links.notice(Event::LinkDenied {
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
            fate,
            expiry,
            generation,
            wire,
        } = caller;
        self.links.open(Stem {
            origin: Origin::Accepted,
            peer,
            remote,
            encrypted,
            queue,
            inbound: request.into_inner(),
            fate,
            expiry,
            generation,
            wire,
        });
        Ok(Response::new(Served(outbound)))
    }
}

/// What goes out on an accepted link.
pub(crate) struct Served(Outbound);

impl Stream for Served {
    type Item = Result<Packet, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.0).poll_next(context);
        next.map(|parts| parts.map(|parts| Ok(Packet::from(&parts))))
    }
}

/// What goes out on a dialled link.
pub(crate) struct Sent(pub(crate) Outbound);

impl Stream for Sent {
    type Item = Packet;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Packet>> {
        let next = Pin::new(&mut self.0).poll_next(context);
        next.map(|parts| parts.map(|parts| Packet::from(&parts)))
    }
}

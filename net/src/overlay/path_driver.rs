//! The data paths of one node: the machine that decides about them, and the links that it decides for.

use super::key::{LinkConnection, canonical};
use super::path_task::{OverlayCall, PathTask};
use super::{
    ConnectionId, DataPath, DataPathProvider, End, Offer, OverlayLink, OverlayStatus, PathStatus,
    SendError, SessionKey, Signal, Violation, shown,
};
use crate::link::{Notice, Outgoing, TransportEvent};
use crate::notices::Notices;
use bytes::Bytes;
use phalanx_core::data_path::{Control, DataPaths, Input, Output, PathEvent};
use phalanx_core::identity::NodeId;
use phalanx_core::link::LinkId;
use phalanx_core::machine::{Machine, Outbox};
use phalanx_core::time::Instant;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::{mpsc, watch};

/// The part of a data path's state that tasks wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Another control message may be sent.
    pub(super) room: bool,
    /// The data path ended.
    pub(super) over: bool,
}

/// A node's overlay and its data paths.
pub(crate) struct PathDriver {
    pub(super) overlay: Arc<dyn DataPathProvider>,
    id: NodeId,
    instance: u32,
    hub: Arc<Hub>,
}

/// The machine and its links, without the overlay: a link that the overlay holds must not hold the overlay.
struct Hub {
    state: Mutex<State>,
    notices: Notices,
}

struct State {
    machine: DataPaths,
    /// The links that the machine knows.
    links: BTreeMap<LinkId, Arc<SharedPath>>,
    out: Outbox<Output>,
}

/// One link's data path, shared by the link, the task that calls the overlay, and the overlay.
pub(crate) struct SharedPath {
    pub(super) link: LinkId,
    peer: NodeId,
    remote: std::net::SocketAddr,
    pub(super) local: End,
    pub(super) dialed: bool,
    pub(super) encrypted: bool,
    pub(super) key: SessionKey,
    pub(super) connection: ConnectionId,
    /// The other end's instance, once the handshake is complete.
    instance: OnceLock<u32>,
    out: Outgoing,
    hub: Weak<Hub>,
    /// The calls into the overlay that its task has to make. The machine bounds them: each is ordered once, but
    /// deliveries, of which the next is ordered when the last is done.
    calls: OnceLock<mpsc::UnboundedSender<OverlayCall>>,
    /// The overlay's object for this data path, from the path's preparation to its end.
    path: Mutex<Option<Arc<dyn DataPath>>>,
    flow: watch::Sender<Flow>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, input: Input) -> Option<Violation> {
        self.lock().step(input, &self.notices)
    }
}

impl State {
    /// Steps the machine and performs its orders. The calls into the overlay go to the link's task, so no code of the
    /// overlay runs under the lock. Returns the rule that a peer broke: its link must close.
    fn step(&mut self, input: Input, notices: &Notices) -> Option<Violation> {
        let Self {
            machine,
            links,
            out,
        } = self;
        let mut touched: Vec<LinkId> = input.link().into_iter().collect();
        // The machine has no timers.
        machine.step(Instant::ZERO, input, out);
        let mut violation = None;
        for output in out.drain() {
            let link = output.link();
            if !touched.contains(&link) {
                touched.push(link);
            }
            let Some(shared) = links.get(&link) else {
                continue;
            };
            match output {
                Output::Send { signal, .. } => shared.out.send_signal(signal),
                Output::Prepare { offer, .. } => shared.call(OverlayCall::Prepare(offer)),
                Output::Confirm { .. } => shared.call(OverlayCall::Confirm),
                Output::Deliver { control, .. } => shared.call(OverlayCall::Deliver(control)),
                Output::Stop { .. } => shared.call(OverlayCall::Stop),
                Output::CloseLink { .. } => shared.out.give_up(),
                Output::Reject {
                    violation: broken, ..
                } => violation = Some(broken),
                Output::Report(event) => {
                    notices.publish(Notice::Transport(event.into()));
                }
            }
        }
        // Published under the lock, so that the last state that a waiting task sees is the current one.
        for link in touched {
            let flow = Flow {
                room: machine.has_room(link),
                over: machine.is_over(link),
            };
            if let Some(shared) = links.get(&link) {
                shared.flow.send_if_modified(|it| {
                    let before = std::mem::replace(it, flow);
                    before != flow
                });
            }
            if !machine.knows(link) {
                links.remove(&link);
            }
        }
        violation
    }
}

impl From<PathEvent> for TransportEvent {
    fn from(event: PathEvent) -> Self {
        match event {
            PathEvent::Up { peer, link } => Self::DataPathUp { peer, link },
            PathEvent::Down { peer, link, reason } => Self::DataPathDown { peer, link, reason },
            PathEvent::Unfit { peer, link, reason } => Self::DataPathUnfit { peer, link, reason },
        }
    }
}

impl PathDriver {
    pub(crate) fn new(
        overlay: Arc<dyn DataPathProvider>,
        id: NodeId,
        instance: u32,
        notices: Notices,
    ) -> Self {
        let state = State {
            machine: DataPaths::new(overlay.offer()),
            links: BTreeMap::new(),
            out: Outbox::new(),
        };
        Self {
            overlay,
            id,
            instance,
            hub: Arc::new(Hub {
                state: Mutex::new(state),
                notices,
            }),
        }
    }

    /// A link opens. None if its connection has a link already, or no key: no data path is offered on it then.
    pub(crate) fn open(
        &self,
        link: LinkId,
        peer: &NodeId,
        wire: &LinkConnection,
        out: Outgoing,
    ) -> Option<Arc<SharedPath>> {
        let exported = wire.keys.take()?;
        let local = End {
            id: self.id.clone(),
            instance: self.instance,
            address: canonical(wire.local),
        };
        let flow = Flow {
            room: true,
            over: false,
        };
        let shared = Arc::new(SharedPath {
            link,
            peer: peer.clone(),
            remote: canonical(wire.remote),
            local,
            dialed: wire.dialed,
            encrypted: wire.encrypted,
            key: exported.key,
            connection: exported.connection,
            instance: OnceLock::new(),
            out,
            hub: Arc::downgrade(&self.hub),
            calls: OnceLock::new(),
            path: Mutex::default(),
            flow: watch::channel(flow).0,
        });
        let peer = peer.clone();
        let mut state = self.hub.lock();
        state.links.insert(link, Arc::clone(&shared));
        state.step(Input::LinkOpened { link, peer }, &self.hub.notices);
        drop(state);
        Some(shared)
    }

    /// The offer that goes out with the handshake of a link.
    pub(crate) fn offer_on(&self, link: LinkId) -> Option<Signal> {
        let state = self.hub.lock();
        let offered = state.machine.knows(link);
        offered.then(|| Signal::Offer(state.machine.offer().clone()))
    }

    /// The handshake of a link is complete. Returns the task that makes its calls into the overlay, to be run.
    /// `instance` is the peer's.
    pub(crate) fn up(self: &Arc<Self>, link: LinkId, instance: u32) -> Option<PathTask> {
        let shared = Arc::clone(self.hub.lock().links.get(&link)?);
        // Core orders this once for each link.
        let _known = shared.instance.set(instance).is_err();
        let (calls, ordered) = mpsc::unbounded_channel();
        if shared.calls.set(calls).is_err() {
            return None;
        }
        let task = PathTask::new(Arc::clone(self), Arc::clone(&shared), ordered);
        shared.step(Input::LinkUp { link });
        Some(task)
    }

    /// A link closed, or is about to.
    pub(crate) fn close(&self, link: LinkId) {
        self.hub.step(Input::LinkClosed { link });
    }

    pub(crate) fn status(&self) -> OverlayStatus {
        let state = self.hub.lock();
        let offer = state.machine.offer().clone();
        let paths: Vec<_> = state
            .machine
            .links()
            .filter_map(|link| {
                let shared = Arc::clone(state.links.get(&link)?);
                let path_state = state.machine.state(link)?;
                Some((shared, path_state, state.machine.offer_of(link).cloned()))
            })
            .collect();
        drop(state);
        // The overlay's code runs without the lock.
        let paths = paths.into_iter().filter_map(|(shared, state, offer)| {
            shared.instance.get()?;
            let path = shared.path();
            Some(PathStatus {
                link: shared.link,
                peer: shared.peer.clone(),
                connection: shared.connection,
                state,
                offer,
                attributes: path
                    .map(|path| shown(path.attributes()))
                    .unwrap_or_default(),
            })
        });
        OverlayStatus {
            offer,
            paths: paths.collect(),
            diagnostics: shown(self.overlay.diagnostics()),
        }
    }
}

impl SharedPath {
    /// Steps the machine; without effect once the node is gone.
    pub(super) fn step(&self, input: Input) -> Option<Violation> {
        self.hub.upgrade()?.step(input)
    }

    fn call(&self, call: OverlayCall) {
        // Without a task the link is not up, or the node is ending.
        let _ended = self.calls.get().is_none_or(|it| it.send(call).is_err());
    }

    pub(super) fn send(&self, kind: u8, payload: &Bytes) -> Result<(), SendError> {
        let hub = self.hub.upgrade().ok_or(SendError::Over)?;
        let mut state = hub.lock();
        state.machine.admits(self.link, payload.len())?;
        let control = Control {
            kind,
            payload: payload[..].into(),
        };
        let link = self.link;
        state.step(Input::Send { link, control }, &hub.notices);
        Ok(())
    }

    pub(super) async fn wait_for(&self, wanted: impl Fn(&Flow) -> bool) {
        let mut flow = self.flow.subscribe();
        // The sender lives as long as this does.
        let _gone = flow.wait_for(|flow| wanted(flow)).await.is_err();
    }

    /// The other end sent a signal.
    pub(crate) fn receive(&self, signal: Signal) -> Result<(), Violation> {
        let link = self.link;
        match self.step(Input::Receive { link, signal }) {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    /// The overlay's view of the link. None before the handshake is complete.
    pub(super) fn overlay_link(self: &Arc<Self>, offer: Offer) -> Option<OverlayLink> {
        let remote = End {
            id: self.peer.clone(),
            instance: *self.instance.get()?,
            address: self.remote,
        };
        Some(OverlayLink::new(Arc::clone(self), offer, remote))
    }

    pub(super) fn path(&self) -> Option<Arc<dyn DataPath>> {
        let path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        path.clone()
    }

    /// Stores the overlay's object or takes it away: an object that holds its link would otherwise never be dropped.
    pub(super) fn set_path(&self, path: Option<Arc<dyn DataPath>>) -> Option<Arc<dyn DataPath>> {
        let mut place = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, path)
    }

    /// Stops the overlay's object and drops it, once. It may panic at either.
    pub(super) fn stop(&self) {
        if let Some(path) = self.set_path(None) {
            let _panicked = catch_unwind(AssertUnwindSafe(|| path.stop())).is_err();
            let _panicked = catch_unwind(AssertUnwindSafe(|| drop(path))).is_err();
        }
        let link = self.link;
        self.step(Input::Stopped { link });
    }
}

//! Where links, the overlay and people meet: one [`Shared`] a link, kept by one task from the moment the link is up.

use super::key::{Wire, canonical};
use super::session::{Act, Broken, Ending, Session};
use super::{
    ConnectionId, Control, DataPath, End, Offer, Overlay, OverlayLink, OverlayStatus, PathStatus,
    SessionKey, Signal, shown,
};
use crate::transport::{Event, Outgoing};
use phalanx_core::gossip::LinkId;
use phalanx_core::identity::NodeId;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{Notify, watch};

/// What others may wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// Another control message would be taken.
    pub(super) room: bool,
    /// It ended.
    pub(super) over: bool,
    /// It ended, and what it had is given back.
    pub(super) stopped: bool,
}

/// One link's data path: between the link, its keeper, and the overlay.
pub(crate) struct Shared {
    link: LinkId,
    peer: NodeId,
    remote: std::net::SocketAddr,
    pub(super) local: End,
    pub(super) dialed: bool,
    pub(super) encrypted: bool,
    pub(super) key: SessionKey,
    pub(super) connection: ConnectionId,
    /// The other end's instance, once it has greeted.
    instance: OnceLock<u32>,
    out: Outgoing,
    session: Mutex<Session>,
    /// Between its preparation and its end.
    path: Mutex<Option<Arc<dyn DataPath>>>,
    work: Notify,
    now: watch::Sender<Now>,
    /// The link is to end with the data path.
    gives_up: AtomicBool,
}

/// A data path and what it waits for before it is prepared.
pub(crate) struct Kept {
    shared: Arc<Shared>,
    /// The data path of the link whose place this one takes.
    before: Option<Arc<Shared>>,
}

/// A node's overlay and its links.
pub(crate) struct Paths {
    overlay: Arc<dyn Overlay>,
    offer: Offer,
    id: NodeId,
    instance: u32,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    links: BTreeMap<LinkId, Arc<Shared>>,
    /// The latest data path with each peer, as long as it is kept.
    latest: BTreeMap<NodeId, Arc<Shared>>,
}

impl Paths {
    pub(crate) fn new(overlay: Arc<dyn Overlay>, id: NodeId, instance: u32) -> Self {
        Self {
            offer: overlay.offer(),
            overlay,
            id,
            instance,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link begins. None if its connection has a link already, or no key: nothing is offered on it then.
    pub(crate) fn begin(
        &self,
        link: LinkId,
        peer: &NodeId,
        wire: &Wire,
        out: Outgoing,
    ) -> Option<Arc<Shared>> {
        let exported = wire.keys.take()?;
        let local = End {
            id: self.id.clone(),
            instance: self.instance,
            address: canonical(wire.local),
        };
        let now = Now {
            room: true,
            ..Now::default()
        };
        let shared = Arc::new(Shared {
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
            session: Mutex::new(Session::new(self.offer.clone())),
            path: Mutex::default(),
            work: Notify::new(),
            now: watch::channel(now).0,
            gives_up: AtomicBool::new(false),
        });
        self.lock().links.insert(link, Arc::clone(&shared));
        Some(shared)
    }

    /// What is said in the greeting of a link.
    pub(crate) fn offer_on(&self, link: LinkId) -> Option<Signal> {
        let offered = self.lock().links.contains_key(&link);
        offered.then(|| Signal::Offer(self.offer.clone()))
    }

    /// Both ends agreed on a link: its data path, to be kept.
    pub(crate) fn up(&self, link: LinkId) -> Option<Kept> {
        let mut table = self.lock();
        let shared = Arc::clone(table.links.get(&link)?);
        let before = table
            .latest
            .insert(shared.peer.clone(), Arc::clone(&shared));
        drop(table);
        shared.act(Session::up);
        Some(Kept { shared, before })
    }

    /// A link ended, or is about to.
    pub(crate) fn end(&self, link: LinkId) {
        let shared = self.lock().links.remove(&link);
        if let Some(shared) = shared {
            shared.act(|session| session.end(Ending::Closed));
        }
    }

    fn forget(&self, kept: &Arc<Shared>) {
        let mut table = self.lock();
        if table
            .latest
            .get(&kept.peer)
            .is_some_and(|it| Arc::ptr_eq(it, kept))
        {
            table.latest.remove(&kept.peer);
        }
    }

    pub(crate) fn status(&self) -> OverlayStatus {
        let links: Vec<_> = self.lock().links.values().cloned().collect();
        OverlayStatus {
            offer: self.offer.clone(),
            diagnostics: shown(self.overlay.diagnostics()),
            paths: links.iter().filter_map(|it| it.status()).collect(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the session, and lets its keeper and whoever waits know.
    pub(super) fn act<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.lock();
        let result = change(&mut session);
        self.publish(&session);
        let discarded = session.take_discarded();
        drop(session);
        self.work.notify_one();
        // An overlay's payloads may run its code when they are dropped.
        drop(discarded);
        result
    }

    /// Called under the lock, so that whoever waits never sees an older state last.
    fn publish(&self, session: &Session) {
        let (room, over) = (session.has_room(), session.ending().is_some());
        self.now.send_if_modified(|now| {
            let before = *now;
            (now.room, now.over) = (room, over);
            *now != before
        });
    }

    pub(super) async fn wait_for(&self, wanted: impl Fn(&Now) -> bool) {
        let mut now = self.now.subscribe();
        // The sender lives as long as this does.
        let _gone = now.wait_for(|now| wanted(now)).await.is_err();
    }

    /// Ends the link once the data path has stopped.
    pub(super) fn give_up_the_link(&self) {
        self.gives_up.store(true, Ordering::SeqCst);
        if self.now.borrow().stopped {
            self.out.give_up();
        }
    }

    /// The other end greeted.
    pub(crate) fn greeted(&self, instance: u32) {
        // A second greeting is against the rules, and core closes the link.
        let _known = self.instance.set(instance).is_err();
    }

    /// The other end said something.
    pub(crate) fn receive(&self, signal: Signal) -> Result<(), Broken> {
        self.act(|session| session.receive(signal))
    }

    /// What the overlay is given.
    fn handle(self: &Arc<Self>) -> Option<OverlayLink> {
        let offer = self.lock().theirs().cloned()?;
        let remote = End {
            id: self.peer.clone(),
            instance: *self.instance.get()?,
            address: self.remote,
        };
        Some(OverlayLink::new(Arc::clone(self), offer, remote))
    }

    fn next(&self) -> Option<Act> {
        self.lock().next()
    }

    fn status(&self) -> Option<PathStatus> {
        let session = self.lock();
        let (state, offer) = (session.state(), session.theirs().cloned());
        drop(session);
        self.instance.get()?;
        let path = self.path();
        Some(PathStatus {
            link: self.link,
            peer: self.peer.clone(),
            connection: self.connection,
            state,
            offer,
            attributes: path
                .map(|path| shown(path.attributes()))
                .unwrap_or_default(),
        })
    }

    fn path(&self) -> Option<Arc<dyn DataPath>> {
        let path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        path.clone()
    }

    /// Puts a data path in its place, or takes it away: a link that a data path holds would otherwise hold it.
    fn set_path(&self, path: Option<Arc<dyn DataPath>>) -> Option<Arc<dyn DataPath>> {
        let mut place = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, path)
    }

    /// Stops the data path and gives it back, once. It may panic at either, and whoever waits for the end still hears
    /// of it.
    fn stop(&self) {
        if let Some(path) = self.set_path(None) {
            let _panicked = catch_unwind(AssertUnwindSafe(|| path.stop())).is_err();
            let _panicked = catch_unwind(AssertUnwindSafe(|| drop(path))).is_err();
        }
    }

    fn up(&self) -> Event {
        let (peer, link) = (self.peer.clone(), self.link);
        Event::DataPathUp { peer, link }
    }

    /// What people are told of the end.
    fn down(&self) -> Option<Event> {
        let session = self.lock();
        let (peer, link) = (self.peer.clone(), self.link);
        match session.ending()? {
            Ending::Unfit(reason) => Some(Event::DataPathUnfit {
                peer,
                link,
                reason: reason.clone(),
            }),
            Ending::Closed if !session.was_established() => None,
            Ending::Failed(_) | Ending::FailedThere(_) | Ending::Closed => {
                let reason = session.state().reason().unwrap_or_default().to_owned();
                Some(Event::DataPathDown { peer, link, reason })
            }
        }
    }
}

/// Keeps one link's data path from its preparation to its end. `tell` is for people.
pub(crate) async fn keep(paths: Arc<Paths>, kept: Kept, tell: impl Fn(Event)) {
    let Kept { shared, before } = kept;
    let keeper = Keeper {
        paths,
        shared,
        tell,
    };
    if let Some(before) = before {
        before.wait_for(|now| now.stopped).await;
    }
    loop {
        match keeper.step() {
            // Between two calls others have their turn.
            Step::Done => tokio::task::yield_now().await,
            Step::Idle => keeper.shared.work.notified().await,
            Step::Over => return,
        }
    }
}

/// What came of looking for something to do.
enum Step {
    Done,
    Idle,
    Over,
}

/// Calls the overlay for one link. Whatever becomes of its task: the end is known.
struct Keeper<Tell: Fn(Event)> {
    paths: Arc<Paths>,
    shared: Arc<Shared>,
    tell: Tell,
}

impl<Tell: Fn(Event)> Keeper<Tell> {
    fn step(&self) -> Step {
        let shared = &self.shared;
        match shared.next() {
            None => return Step::Idle,
            Some(Act::Say(signal)) => shared.out.say(signal),
            Some(Act::Prepare) => self.paths.prepare(shared),
            Some(Act::Confirm) => {
                if let Some(path) = shared.path() {
                    path.confirm();
                }
            }
            Some(Act::Deliver(Control { kind, payload })) => {
                if let Some(path) = shared.path() {
                    path.control(kind, payload);
                }
            }
            Some(Act::Tell) => (self.tell)(shared.up()),
            Some(Act::Stop) => {
                shared.stop();
                return Step::Over;
            }
        }
        Step::Done
    }
}

impl<Tell: Fn(Event)> Drop for Keeper<Tell> {
    fn drop(&mut self) {
        let shared = &self.shared;
        if shared.lock().ending().is_none() {
            let why = if std::thread::panicking() {
                "the overlay panicked"
            } else {
                "the node ended"
            };
            shared.act(|session| session.end(Ending::Failed(why.to_owned())));
        }
        if let Some(Act::Say(failure)) = shared.next() {
            shared.out.say(failure);
        }
        shared.stop();
        if let Some(event) = shared.down() {
            (self.tell)(event);
        }
        // In this order: whoever gives the link up meanwhile sees that it has stopped, or is seen.
        shared.now.send_modify(|now| now.stopped = true);
        if shared.gives_up.load(Ordering::SeqCst) {
            shared.out.give_up();
        }
        self.paths.forget(shared);
    }
}

impl Paths {
    fn prepare(&self, shared: &Arc<Shared>) {
        let prepared = match shared.handle() {
            Some(link) => self.overlay.prepare(link),
            None => Err(super::Unprepared::new("it has not greeted")),
        };
        match prepared {
            Ok(path) => {
                shared.set_path(Some(path.into()));
                shared.act(Session::prepared);
            }
            Err(why) => shared.act(|session| session.end(Ending::Failed(why.to_string()))),
        }
    }
}

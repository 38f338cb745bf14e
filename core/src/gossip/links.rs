//! The connections of a node, by their numbers.
//!
//! A node has a handful: one short list in order is searched faster than a tree, and a link that is moved about is a
//! pointer.

use super::link::{Link, Stage};
use crate::link::LinkId;

/// All connections, open or not, in order of their numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Links {
    held: Vec<(LinkId, Box<Link>)>,
    /// The number of those that are open.
    open: usize,
}

impl Links {
    pub(super) const fn new() -> Self {
        Self {
            held: Vec::new(),
            open: 0,
        }
    }

    fn place(&self, id: LinkId) -> Result<usize, usize> {
        self.held.binary_search_by_key(&id, |(held, _)| *held)
    }

    pub(super) const fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn get(&self, id: &LinkId) -> Option<&Link> {
        let at = self.place(*id).ok()?;
        Some(&self.held[at].1)
    }

    pub(super) fn get_mut(&mut self, id: &LinkId) -> Option<&mut Link> {
        let at = self.place(*id).ok()?;
        Some(&mut self.held[at].1)
    }

    /// The number of links that are open.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// A link gets so far. Stages are changed nowhere else.
    pub(super) fn set_stage(&mut self, id: &LinkId, stage: Stage) {
        let Some(link) = self.get_mut(id) else { return };
        let was = core::mem::replace(&mut link.stage, stage);
        self.open -= usize::from(was == Stage::Open);
        self.open += usize::from(stage == Stage::Open);
    }

    /// Inserts a link, in the place of another of its number.
    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        self.remove(&id);
        self.open += usize::from(link.is_open());
        let at = self.held.partition_point(|(held, _)| *held < id);
        self.held.insert(at, (id, Box::new(link)));
    }

    pub(super) fn remove(&mut self, id: &LinkId) -> Option<Link> {
        let at = self.place(*id).ok()?;
        let link = *self.held.remove(at).1;
        self.open -= usize::from(link.is_open());
        Some(link)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&LinkId, &Link)> {
        self.held.iter().map(|(id, link)| (id, &**link))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&LinkId, &mut Link)> {
        self.held.iter_mut().map(|(id, link)| (&*id, &mut **link))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &LinkId> {
        self.held.iter().map(|(id, _)| id)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Link> {
        self.held.iter().map(|(_, link)| &**link)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.held.iter_mut().map(|(_, link)| &mut **link)
    }

    /// All, once round: the first is the one that follows `id`.
    pub(super) fn after(&self, id: LinkId) -> impl Iterator<Item = (&LinkId, &Link)> {
        let at = self.held.partition_point(|(held, _)| *held <= id);
        let (before, after) = self.held.split_at(at);
        after.iter().chain(before).map(|(id, link)| (id, &**link))
    }
}

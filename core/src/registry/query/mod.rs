//! Queries: which objects, in which order, how many.
//!
//! [`ObjectQuery::page`] is the one implementation of lists, for every store; [`ObjectScope`] is the part that watches
//! share with it.

pub mod filter;
pub mod mask;
pub mod order;
pub mod page;
pub mod selector;
pub mod view;

pub use filter::{FilterError, ObjectFilter};
pub use mask::{FieldMask, PathIntoList};
pub use order::{SortOrder, SortPosition};
pub use page::{PageToken, PageTokenError};
pub use selector::ObjectSelector;
pub use view::{ObjectView, UnknownView};

use super::object::Object;
use crate::random::hash_bytes;
use core::cmp::Ordering;
use std::sync::Arc;

/// Number of objects of a page if the query does not say.
pub const PAGE_SIZE: usize = 100;
/// Maximum number of objects of a page.
pub const PAGE_SIZE_MAX: usize = 1_000;

/// A set of objects: those that a selector names and that match a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectScope {
    /// The names.
    pub selector: ObjectSelector,
    /// The condition.
    pub filter: ObjectFilter,
}

impl ObjectScope {
    /// Whether an object belongs to the set.
    #[must_use]
    pub fn holds(&self, object: &Object) -> bool {
        self.selector.matches(&object.name) && self.filter.matches(object)
    }

    /// A hash of the scope, which tokens carry.
    #[must_use]
    pub fn hash(&self) -> u64 {
        hash_bytes(format!("{}\n{}", self.selector, self.filter).as_bytes())
    }
}

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectQuery {
    /// The objects.
    pub scope: ObjectScope,
    /// The order.
    pub order: SortOrder,
    /// Number of objects of a page; 0 for [`PAGE_SIZE`].
    pub page_size: usize,
    /// The position after which the page begins; none for the first page.
    pub page_token: Option<PageToken>,
    /// Number of objects to leave out before the page.
    pub skip: usize,
    /// Whether to count all objects of the scope.
    pub counts: bool,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects.
    pub objects: Vec<Arc<Object>>,
    /// The token of the next page; none if this is the last one.
    pub next: Option<PageToken>,
    /// Number of all objects of the scope, if the query asks for it.
    pub count: Option<usize>,
}

impl ObjectQuery {
    /// The hash of the query that page tokens are bound to.
    fn hash(&self) -> u64 {
        let order = hash_bytes(self.order.to_string().as_bytes());
        self.scope.hash() ^ order.rotate_left(1)
    }

    /// The page of this query among `objects`, which are in the order of their names and contain at least those whose
    /// names begin with the selector's prefix.
    ///
    /// # Errors
    /// Returns an error if the page token belongs to another query.
    pub fn page<'a>(
        &self,
        objects: impl Iterator<Item = &'a Arc<Object>>,
    ) -> Result<ObjectPage, PageTokenError> {
        let hash = self.hash();
        let token = self.page_token.as_ref();
        let is_other = |it: &PageToken| it.query != hash || it.after.keys.len() != self.order.len();
        if token.is_some_and(is_other) {
            return Err(PageTokenError::OtherQuery);
        }
        let size = match self.page_size {
            0 => PAGE_SIZE,
            size => size.min(PAGE_SIZE_MAX),
        };
        let mut all = 0;
        let mut rest = Vec::new();
        for object in objects.filter(|object| self.scope.holds(object)) {
            all += 1;
            let position = self.order.position(object);
            let is_after = |it: &PageToken| self.order.compare(&position, &it.after).is_gt();
            if token.is_none_or(is_after) {
                rest.push((position, object));
            }
            let is_complete = self.order.is_by_name() && rest.len() > self.skip + size;
            if is_complete && !self.counts {
                break;
            }
        }
        rest.sort_by(|one, two| self.order.compare(&one.0, &two.0));
        let page: Vec<_> = rest.iter().skip(self.skip).take(size).collect();
        let has_more = rest.len() > self.skip.saturating_add(size);
        let last = page.last().filter(|_| has_more);
        Ok(ObjectPage {
            objects: page.iter().map(|(_, object)| Arc::clone(object)).collect(),
            next: last.map(|(position, _)| PageToken {
                query: hash,
                after: position.clone(),
            }),
            count: self.counts.then_some(all),
        })
    }

    /// Compares two objects in the order of the query.
    #[must_use]
    pub fn compare(&self, one: &Object, two: &Object) -> Ordering {
        let (one, two) = (self.order.position(one), self.order.position(two));
        self.order.compare(&one, &two)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::any_object;
    use filter::tests::any_filter;
    use order::tests::any_order;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_pages_of_a_list_are_the_sorted_scope(
            objects in prop::collection::vec(any_object(), 0..12),
            filter in any_filter(),
            order in any_order(),
            page_size in 1_usize..4,
            select_all in any::<bool>(),
        ) {
            let objects: BTreeMap<_, _> =
                objects.into_iter().map(|it| (it.name.clone(), Arc::new(it))).collect();
            let filter = if select_all { ObjectFilter::default() } else { filter };
            let scope = ObjectScope { filter, ..ObjectScope::default() };
            let mut query = ObjectQuery { scope, order, page_size, counts: true, ..ObjectQuery::default() };
            let mut expected: Vec<_> =
                objects.values().filter(|it| query.scope.holds(it)).cloned().collect();
            expected.sort_by(|one, two| query.compare(one, two));
            let mut listed = Vec::new();
            loop {
                let page = query.page(objects.values()).unwrap();
                prop_assert_eq!(page.count, Some(expected.len()));
                prop_assert!(page.objects.len() <= page_size);
                listed.extend(page.objects);
                match page.next {
                    Some(next) => query.page_token = Some(next.to_string().parse().unwrap()),
                    None => break,
                }
            }
            prop_assert_eq!(&listed, &expected);
            let skipping = ObjectQuery { skip: 2, page_token: None, page_size: 0, ..query };
            let page = skipping.page(objects.values()).unwrap();
            prop_assert_eq!(page.objects, expected.get(2..).unwrap_or_default());
        }
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let objects = ["a", "b"].map(|id| {
            let name = format!("//shop/orders/{id}");
            Arc::new(crate::registry::object::tests::object(&name, [].into()))
        });
        let query = ObjectQuery {
            page_size: 1,
            ..ObjectQuery::default()
        };
        let token = query.page(objects.iter()).unwrap().next;
        assert!(token.is_some());
        let other = ObjectQuery {
            order: "title".parse().unwrap(),
            page_token: token.clone(),
            ..ObjectQuery::default()
        };
        assert_eq!(other.page(objects.iter()), Err(PageTokenError::OtherQuery));
        let mut other = ObjectQuery {
            page_token: token,
            ..ObjectQuery::default()
        };
        assert!(other.page(objects.iter()).is_ok());
        other.scope.filter = "a = 1".parse().unwrap();
        assert_eq!(other.page(objects.iter()), Err(PageTokenError::OtherQuery));
    }
}

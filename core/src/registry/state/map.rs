//! A persistent map of objects by name: a copy costs O(1), a change O(log n).
//!
//! Weight-balanced trees (Adams 1993; parameters of Hirai and Yamamoto 2011: 3 and 2). A change copies the path from
//! the root to the changed node, so a snapshot that a slow reader holds costs memory for what has changed since alone.

use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use core::cmp::Ordering;
use std::sync::Arc;

/// Maximum ratio of the sizes of two subtrees.
const DELTA: usize = 3;
/// Ratio of the inner sizes below which one rotation is enough.
const RATIO: usize = 2;

type Link = Option<Arc<MapNode>>;

#[derive(Debug)]
struct MapNode {
    object: Arc<Object>,
    size: usize,
    left: Link,
    right: Link,
}

/// A map of objects by name.
#[derive(Clone, Debug, Default)]
pub struct ObjectMap {
    root: Link,
}

fn size(link: &Link) -> usize {
    link.as_ref().map_or(0, |node| node.size)
}

fn node(left: Link, object: Arc<Object>, right: Link) -> Link {
    Some(Arc::new(MapNode {
        size: size(&left) + size(&right) + 1,
        object,
        left,
        right,
    }))
}

/// A node whose subtrees differ from balanced ones by one object.
fn balanced(left: Link, object: Arc<Object>, right: Link) -> Link {
    let (sizes, both) = ((size(&left), size(&right)), size(&left) + size(&right));
    match (&left, &right) {
        (_, Some(it)) if both > 1 && sizes.1 > DELTA * sizes.0 => rotate_left(&left, object, it),
        (Some(it), _) if both > 1 && sizes.0 > DELTA * sizes.1 => rotate_right(it, object, &right),
        _ => node(left, object, right),
    }
}

fn rotate_left(left: &Link, object: Arc<Object>, right: &MapNode) -> Link {
    let (inner, outer) = (&right.left, &right.right);
    let pivot = Arc::clone(&right.object);
    match inner {
        Some(middle) if size(inner) >= RATIO * size(outer) => {
            let one = node(left.clone(), object, middle.left.clone());
            let two = node(middle.right.clone(), pivot, outer.clone());
            node(one, Arc::clone(&middle.object), two)
        }
        _ => node(
            node(left.clone(), object, inner.clone()),
            pivot,
            outer.clone(),
        ),
    }
}

fn rotate_right(left: &MapNode, object: Arc<Object>, right: &Link) -> Link {
    let (outer, inner) = (&left.left, &left.right);
    let pivot = Arc::clone(&left.object);
    match inner {
        Some(middle) if size(inner) >= RATIO * size(outer) => {
            let one = node(outer.clone(), pivot, middle.left.clone());
            let two = node(middle.right.clone(), object, right.clone());
            node(one, Arc::clone(&middle.object), two)
        }
        _ => node(
            outer.clone(),
            pivot,
            node(inner.clone(), object, right.clone()),
        ),
    }
}

fn insert(link: &Link, object: Arc<Object>) -> Link {
    let Some(at) = link else {
        return node(None, object, None);
    };
    let (left, right) = (at.left.clone(), at.right.clone());
    match object.name.cmp(&at.object.name) {
        Ordering::Less => balanced(insert(&at.left, object), Arc::clone(&at.object), right),
        Ordering::Equal => node(left, object, right),
        Ordering::Greater => balanced(left, Arc::clone(&at.object), insert(&at.right, object)),
    }
}

/// The tree without its first object, and that object.
fn take_first(at: &MapNode) -> (Link, Arc<Object>) {
    match &at.left {
        None => (at.right.clone(), Arc::clone(&at.object)),
        Some(left) => {
            let (rest, first) = take_first(left);
            let rest = balanced(rest, Arc::clone(&at.object), at.right.clone());
            (rest, first)
        }
    }
}

fn remove(link: &Link, name: &str) -> Link {
    let at = link.as_ref()?;
    let (left, right) = (at.left.clone(), at.right.clone());
    match name.cmp(at.object.name.as_str()) {
        Ordering::Less => balanced(remove(&at.left, name), Arc::clone(&at.object), right),
        Ordering::Greater => balanced(left, Arc::clone(&at.object), remove(&at.right, name)),
        Ordering::Equal => match &right {
            None => left,
            Some(after) => {
                let (rest, first) = take_first(after);
                balanced(left, first, rest)
            }
        },
    }
}

impl ObjectMap {
    /// The number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        size(&self.root)
    }

    /// Whether there are no objects.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The object of a name.
    #[must_use]
    pub fn get(&self, name: &ObjectName) -> Option<&Arc<Object>> {
        let mut at = self.root.as_ref()?;
        loop {
            at = match name.cmp(&at.object.name) {
                Ordering::Less => at.left.as_ref()?,
                Ordering::Equal => return Some(&at.object),
                Ordering::Greater => at.right.as_ref()?,
            };
        }
    }

    /// Inserts an object, or replaces the object of this name.
    pub fn insert(&mut self, object: Arc<Object>) {
        self.root = insert(&self.root, object);
    }

    /// Removes the object of a name, if there is one.
    pub fn remove(&mut self, name: &ObjectName) {
        if self.get(name).is_some() {
            self.root = remove(&self.root, name.as_str());
        }
    }

    /// The objects in the order of their names.
    #[must_use]
    pub fn iter(&self) -> ObjectsByName<'_> {
        self.iter_from("")
    }

    /// The objects whose names are not less than a text, in the order of their names.
    #[must_use]
    pub fn iter_from(&self, start: &str) -> ObjectsByName<'_> {
        let mut above = Vec::new();
        let mut link = &self.root;
        while let Some(at) = link {
            if at.object.name.as_str() >= start {
                above.push(&**at);
                link = &at.left;
            } else {
                link = &at.right;
            }
        }
        ObjectsByName { above }
    }

    /// The objects whose names begin with a text, in the order of their names.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        let from = self.iter_from(prefix);
        from.take_while(move |object| object.name.as_str().starts_with(prefix))
    }
}

/// Objects in the order of their names.
#[derive(Clone, Debug)]
pub struct ObjectsByName<'a> {
    /// The nodes that come next, the last first, each followed by its right subtree.
    above: Vec<&'a MapNode>,
}

impl<'a> Iterator for ObjectsByName<'a> {
    type Item = &'a Arc<Object>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.above.pop()?;
        let mut link = &at.right;
        while let Some(next) = link {
            self.above.push(next);
            link = &next.left;
        }
        Some(&at.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::object;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn is_balanced(link: &Link) -> bool {
        link.as_ref().is_none_or(|at| {
            let (left, right) = (size(&at.left), size(&at.right));
            let weighs = left + right <= 1 || left <= DELTA * right && right <= DELTA * left;
            weighs && is_balanced(&at.left) && is_balanced(&at.right)
        })
    }

    proptest! {
        #[test]
        fn the_map_equals_a_plain_one_and_its_copies_stay(
            moves in prop::collection::vec((0_u16..40, any::<bool>()), 0..150),
            start in 0_u16..40,
        ) {
            let name = |id: u16| format!("orders/{id:02}");
            let (mut map, mut plain) = (ObjectMap::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (id, inserts) in moves {
                copies.push((map.clone(), plain.clone()));
                let object = Arc::new(object(&name(id), [].into()));
                if inserts {
                    plain.insert(name(id), Arc::clone(&object));
                    map.insert(object);
                } else {
                    plain.remove(&name(id));
                    map.remove(&object.name);
                }
                prop_assert!(is_balanced(&map.root));
                prop_assert_eq!(map.get(&name(id).parse().unwrap()).is_some(), inserts);
            }
            copies.push((map, plain));
            for (map, plain) in copies {
                prop_assert_eq!(map.len(), plain.len());
                prop_assert!(map.iter().eq(plain.values()));
                let from = name(start);
                prop_assert!(map.iter_from(&from).eq(plain.range(from.clone()..).map(|it| it.1)));
            }
        }
    }
}

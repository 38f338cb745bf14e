//! Whether a condition holds at one instant, and if not, what stands against it.

use crate::scenario::{Bound, Condition, Selector};
use crate::world::{Scene, value};
use serde_json::Value;

/// Whether a condition holds, of which matching events came so often.
///
/// # Errors
/// What stands against it.
pub(super) fn holds(scene: &Scene<'_>, condition: &Condition, events: u32) -> Result<(), String> {
    match condition {
        Condition::Converged => scene.settled(),
        Condition::Event(word, _, _, min) => {
            if events >= *min {
                return Ok(());
            }
            Err(format!("{word} was reported {events} times"))
        }
        Condition::State {
            who,
            key,
            is,
            count,
        } => state(scene, who, key, is, *count),
        Condition::Agree { who, key } => scene.agree(scene.observers(who)?, key.as_deref()),
        Condition::Sees(..)
        | Condition::Members(..)
        | Condition::Providers(..)
        | Condition::Links(..)
        | Condition::Phase(..)
        | Condition::Own { .. } => scene.holds(condition),
    }
}

/// The same, where nobody asks what stands against it.
pub(super) fn is_so(scene: &Scene<'_>, condition: &Condition, events: u32) -> bool {
    if let Condition::Event(_, _, _, min) = condition {
        return events >= *min;
    }
    holds(scene, condition, events).is_ok()
}

/// Whether all of `who`, or so many of them, hold this under this key of their state.
fn state(
    scene: &Scene<'_>,
    who: &Selector,
    key: &str,
    is: &Value,
    count: Option<Bound>,
) -> Result<(), String> {
    let Some(bound) = count else {
        scene.observers(who)?;
        for host in scene.select(who) {
            // Of several processes, those that have such a key.
            let views = scene.views(host).filter(|view| view.participates());
            let found = views.map(|view| value(&view.state(), key));
            let found = found.max_by_key(|found| !found.is_null());
            if found.as_ref() != Some(is) {
                let found = found.unwrap_or_default();
                return Err(format!("`{key}` is {found} at {}", scene.name(host)));
            }
        }
        return Ok(());
    };
    let chosen = scene.select(who).into_iter();
    let fitting = chosen.filter(|host| {
        let mut views = scene.views(*host).filter(|view| view.participates());
        views.any(|view| value(&view.state(), key) == *is)
    });
    let names: Vec<&str> = fitting.map(|host| scene.name(host)).collect();
    if bound.holds(names.len() as u64) {
        return Ok(());
    }
    let who = if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    };
    Err(format!("`{key}` is {is} at {} nodes: {who}", names.len()))
}

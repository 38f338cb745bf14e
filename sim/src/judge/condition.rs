//! Whether a condition holds at one instant, and if not, what stands against it.

use crate::scenario::{Bound, Condition, Selector};
use crate::system::System;
use crate::world::{Scene, value};
use serde_json::Value;

/// Whether a condition holds, of which matching events came so often.
///
/// # Errors
/// What stands against it.
pub(super) fn holds<S: System>(
    scene: &Scene<'_, S>,
    condition: &Condition,
    events: u32,
) -> Result<(), String> {
    match condition {
        Condition::Converged => S::settled(scene),
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
        | Condition::Own { .. } => S::holds(scene, condition),
    }
}

/// The same, where nobody asks what stands against it.
pub(super) fn is_so<S: System>(scene: &Scene<'_, S>, condition: &Condition, events: u32) -> bool {
    if let Condition::Event(_, _, _, min) = condition {
        return events >= *min;
    }
    holds(scene, condition, events).is_ok()
}

/// Whether all of `who`, or so many of them, hold this under this key of their state.
fn state<S: System>(
    scene: &Scene<'_, S>,
    who: &Selector,
    key: &str,
    is: &Value,
    count: Option<Bound>,
) -> Result<(), String> {
    let Some(bound) = count else {
        for (host, view) in scene.observers(who)? {
            let found = value(&S::state(view), key);
            if found != *is {
                return Err(format!("`{key}` is {found} at {}", scene.name(host)));
            }
        }
        return Ok(());
    };
    let chosen = scene.select(who).into_iter();
    let fitting = chosen.filter(|host| {
        let view = scene.view(*host).filter(|view| S::takes_part(view));
        view.is_some_and(|view| value(&S::state(view), key) == *is)
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

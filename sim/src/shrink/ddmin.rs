//! Delta debugging (Zeller and Hildebrandt 2002): reduces a list of items while a test still
//! succeeds.

/// Returns the smallest selection found; if any one of its items is removed, the test fails. The caller ensures that
/// the test succeeds for the complete list.
pub(crate) fn ddmin<T: Clone>(items: &[T], test: &mut dyn FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = items.to_vec();
    let mut parts = 1;
    while !left.is_empty() {
        let size = left.len().div_ceil(parts);
        let mut removed = false;
        let mut from = 0;
        while from < left.len() {
            let to = (from + size).min(left.len());
            let rest: Vec<T> = [&left[..from], &left[to..]].concat();
            if test(&rest) {
                left = rest;
                removed = true;
            } else {
                from = to;
            }
        }
        if size == 1 && !removed {
            break;
        }
        parts = if size == 1 {
            left.len()
        } else {
            (parts * 2).min(left.len())
        }
        .max(1);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remaining_item_is_needed() {
        let items: Vec<u32> = (0..50).collect();
        let mut asked = 0;
        let left = ddmin(&items, &mut |some| {
            asked += 1;
            some.contains(&7) && (some.contains(&20) || some.contains(&41))
        });
        assert_eq!(left, [7, 20]);
        assert!(asked < 60, "{asked}");
    }

    #[test]
    fn the_result_is_empty_if_no_item_is_needed() {
        let mut asked = 0;
        let left = ddmin(&[1, 2, 3], &mut |_| {
            asked += 1;
            true
        });
        assert_eq!((left, asked), (Vec::<i32>::new(), 1));
    }
}

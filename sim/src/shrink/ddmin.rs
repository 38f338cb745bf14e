//! Delta debugging (Zeller and Hildebrandt 2002): fewer and fewer items, as long as the test still says yes.

/// The smallest selection found: without any one of its items the test says no. The test is not asked about all of
/// them: that is known.
pub(super) fn ddmin<T: Clone>(items: &[T], test: &mut dyn FnMut(&[T]) -> bool) -> Vec<T> {
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
    fn what_is_left_is_needed_item_by_item() {
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
    fn nothing_is_left_when_nothing_is_needed() {
        let mut asked = 0;
        let left = ddmin(&[1, 2, 3], &mut |_| {
            asked += 1;
            true
        });
        assert_eq!((left, asked), (Vec::<i32>::new(), 1));
    }
}

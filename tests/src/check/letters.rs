//! Records that are no commands, against the dead letters.

use std::collections::BTreeMap;

use super::Violation;

/// Each record that is no command has one dead letter, and each dead letter is of such a record. Both are places in the
/// command topic.
pub fn one_for_each(unreadable: &[(i32, i64)], letters: &[(i32, i64)]) -> Vec<Violation> {
    let mut counts: BTreeMap<(i32, i64), (bool, usize)> = BTreeMap::new();
    for place in unreadable {
        counts.entry(*place).or_default().0 = true;
    }
    for place in letters {
        counts.entry(*place).or_default().1 += 1;
    }
    let wrong = counts.into_iter().filter(|(_, count)| *count != (true, 1));
    wrong
        .map(|((partition, offset), (_, letters))| Violation::DeadLetters {
            partition,
            offset,
            letters,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::one_for_each;

    #[test]
    fn a_record_that_is_dropped_set_aside_twice_or_without_reason_is_found() {
        let poison = [(0, 3), (1, 7)];
        assert_eq!(one_for_each(&poison, &poison), []);
        for letters in [
            &[(0, 3)][..],
            &[(0, 3), (1, 7), (1, 7)],
            &[(0, 3), (1, 7), (1, 8)],
        ] {
            assert_eq!(one_for_each(&poison, letters).len(), 1, "{letters:?}");
        }
    }
}

//! Reads that showed a token.

use std::time::Duration;

use serde::Serialize;

use super::Violation;

/// A read with the token of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRead {
    /// The aggregate's link.
    pub aggregate: String,
    /// The sequence that the answer told.
    pub seen: i64,
    /// The sequence that was shown; 0 if it was said that there is nothing.
    pub shown: i64,
    /// When it was answered, since the load began.
    pub at: Duration,
    /// How long it took, with all that it was told to come again for.
    pub took: Duration,
}

/// None is older than its token.
pub fn are_never_stale(reads: &[TokenRead]) -> Vec<Violation> {
    let stale = reads.iter().filter(|read| read.shown < read.seen);
    let violation = |read: &TokenRead| Violation::Stale {
        aggregate: read.aggregate.clone(),
        seen: read.seen,
        shown: read.shown,
    };
    stale.map(violation).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{TokenRead, are_never_stale};

    #[test]
    fn a_read_from_before_its_token_is_found_and_so_is_one_that_shows_nothing() {
        let read = |seen, shown| TokenRead {
            aggregate: "/orders/o".to_owned(),
            seen,
            shown,
            at: Duration::ZERO,
            took: Duration::ZERO,
        };
        assert_eq!(are_never_stale(&[read(3, 3), read(3, 4)]), []);
        assert_eq!(are_never_stale(&[read(3, 2), read(1, 0)]).len(), 2);
    }
}

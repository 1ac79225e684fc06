//! A place in what clients follow, as they carry it: opaque, and made of what stands in the log. So it means the same
//! after restarts, and to every view store that is built from the same cluster.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use foldline_core::{AggregateId, Sequence};
use foldline_views::FeedPlace;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `1`, so that a later form can be told apart.
const PREFIX: &str = "1.";

/// Text that is no place here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PositionError {
    #[error("not a position; send it back as it came, unchanged")]
    Malformed,
    #[error("a position in something else, or in another cluster; begin again without it")]
    Elsewhere,
}

/// Names a cluster and what is followed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts([u8; 8]);

/// For each aggregate type, the next offset of each partition.
type Offsets = Vec<(String, Vec<u64>)>;

impl Whereabouts {
    /// The history of an aggregate (its type by its qualified name).
    pub(crate) fn history(cluster: &str, aggregate: &str, id: &AggregateId) -> Self {
        Self::new(&[cluster, "history", aggregate, id.as_str()])
    }

    /// All events. What a feed leaves out is no part of it: a place is good for every filter.
    pub(crate) fn feed(cluster: &str) -> Self {
        Self::new(&[cluster, "feed"])
    }

    fn new(parts: &[&str]) -> Self {
        let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, parts.join("\n").as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&name.as_bytes()[..8]);
        Self(bytes)
    }

    /// Behind the event with this sequence.
    pub(crate) fn sequence(self, sequence: Sequence) -> String {
        self.encode(&sequence)
    }

    /// Reads [`sequence`](Self::sequence).
    pub(crate) fn read_sequence(self, text: &str) -> Result<Sequence, PositionError> {
        self.decode(text)
    }

    /// At this place.
    pub(crate) fn place(self, place: &FeedPlace) -> String {
        let mut offsets = Offsets::new();
        for ((aggregate, partition), offset) in place {
            if offsets.last().is_none_or(|(last, _)| last != aggregate) {
                offsets.push((aggregate.clone(), Vec::new()));
            }
            // Partitions come in order; one without an event stands at 0, as one that is not in the place does.
            if let Some((_, of)) = offsets.last_mut() {
                of.resize(usize::try_from(*partition).unwrap_or(0), 0);
                of.push(u64::try_from(*offset).unwrap_or(0));
            }
        }
        self.encode(&offsets)
    }

    /// Reads [`place`](Self::place).
    pub(crate) fn read_place(self, text: &str) -> Result<FeedPlace, PositionError> {
        let mut place = FeedPlace::new();
        for (aggregate, offsets) in self.decode::<Offsets>(text)? {
            for (partition, offset) in (0_i32..).zip(offsets) {
                let offset = i64::try_from(offset).map_err(|_| PositionError::Malformed)?;
                if offset > 0 {
                    place.insert((aggregate.clone(), partition), offset);
                }
            }
        }
        Ok(place)
    }

    fn encode(self, place: &impl Serialize) -> String {
        let bytes = postcard::to_stdvec(&(self, place)).expect("lists of plain values have a form");
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    fn decode<T: DeserializeOwned>(self, text: &str) -> Result<T, PositionError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(PositionError::Malformed)?;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| PositionError::Malformed)?;
        // What is followed comes first: the rest has another form elsewhere.
        let (of, rest): (Self, _) =
            postcard::take_from_bytes(&bytes).map_err(|_| PositionError::Malformed)?;
        if of != self {
            return Err(PositionError::Elsewhere);
        }
        postcard::from_bytes(rest).map_err(|_| PositionError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use foldline_views::FeedPlace;
    use proptest::prelude::*;

    use super::{PositionError, Whereabouts};

    fn place() -> impl Strategy<Value = FeedPlace> {
        prop::collection::btree_map(("[a-c]", 0..13), 1..i64::MAX, 0..20)
    }

    proptest! {
        #[test]
        fn a_place_is_read_back_from_its_text(place in place()) {
            let feed = Whereabouts::feed("here");
            prop_assert_eq!(feed.read_place(&feed.place(&place)), Ok(place));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(1[.])?[A-Za-z0-9_-]{0,60}") {
            let _ = Whereabouts::feed("here").read_place(&text);
        }
    }

    #[test]
    fn a_place_is_good_where_it_is_from() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let here = Whereabouts::history("here", "x.orders", &a);
        let text = here.sequence(7);
        assert_eq!(here.read_sequence(&text), Ok(7));
        let others = [
            Whereabouts::history("here", "x.orders", &b),
            Whereabouts::history("here", "x.menu", &a),
            Whereabouts::history("there", "x.orders", &a),
            Whereabouts::feed("here"),
        ];
        for other in others {
            assert_eq!(other.read_sequence(&text), Err(PositionError::Elsewhere));
            assert_eq!(other.read_place(&text), Err(PositionError::Elsewhere));
        }
        for text in ["", "7", "1.", "1.%", "2.AAAA"] {
            assert_eq!(here.read_sequence(text), Err(PositionError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_place_in_48_partitions_is_short() {
        let partitions = (0..48).map(|n| ((format!("restaurant.number-{}", n / 12), n % 12), 1_000_000));
        let text = Whereabouts::feed("here").place(&partitions.collect());
        assert!(text.len() < 350, "{}", text.len());
    }
}

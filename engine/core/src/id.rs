use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest, Sha1};
use uuid::{Builder, Uuid};

/// An aggregate's identity within its type, and the key of its records.
///
/// 1 to 128 of the characters that a path segment carries unescaped (RFC 3986, 2.3): letters, digits and
/// `-._~`. The engine makes UUIDs; a client may choose what it likes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AggregateId(Arc<str>);

/// Text that is no [`AggregateId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 128 letters, digits or -._~, and {found:?} is not")]
pub struct InvalidId {
    /// The text, cut after 64 characters.
    pub found: String,
}

impl AggregateId {
    /// In a regular expression.
    pub const PATTERN: &'static str = "[A-Za-z0-9._~-]{1,128}";

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AggregateId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(InvalidId {
            found: text.chars().take(64).collect(),
        })
    }
}

impl TryFrom<String> for AggregateId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

/// Text, written as it is and checked when it is read. Without a copy on the way: several are read for every command.
impl Serialize for AggregateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AggregateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = AggregateId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AggregateId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl From<Uuid> for AggregateId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string().into())
    }
}

impl JsonSchema for AggregateId {
    fn schema_name() -> Cow<'static, str> {
        "AggregateId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{}$", Self::PATTERN) })
    }
}

impl fmt::Display for AggregateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A UUID of version 5: always the same for a name in a namespace.
///
/// [`Uuid::new_v5`], with the SHA-1 that the processor has: three are made for every command.
pub(crate) fn uuid_of(namespace: &Uuid, name: &[u8]) -> Uuid {
    let hash = Sha1::new().chain_update(namespace).chain_update(name).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    Builder::from_sha1_bytes(first).into_uuid()
}

/// An event's place in its aggregate, from 1; 0 is an aggregate that does not exist yet.
pub type Sequence = i64;

/// The partition of an aggregate, as Java's Kafka producer computes it: murmur2 of the key.
///
/// The clients' own defaults differ from each other, and the record of a command partition must lie in the
/// event partition of the same number, whoever wrote it.
pub fn partition_of(id: &AggregateId, partitions: i32) -> i32 {
    let hash = murmur2(id.as_str().as_bytes()) & 0x7fff_ffff;
    // Both are below 2^31.
    (hash % partitions.unsigned_abs()).cast_signed()
}

/// murmur2 with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // Keys are at most 128 bytes long.
    #[allow(clippy::cast_possible_truncation)]
    let mut h = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (index, byte) in rest.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{AggregateId, murmur2, uuid_of};

    proptest! {
        #[test]
        fn ids_that_are_made_from_others_are_uuids_of_version_5(space in any::<u128>(), name in prop::collection::vec(any::<u8>(), 0..200)) {
            let space = Uuid::from_u128(space);
            prop_assert_eq!(uuid_of(&space, &name), Uuid::new_v5(&space, &name));
        }
    }

    #[test]
    fn murmur2_is_the_one_of_kafka() {
        // From Kafka's own UtilsTest.testMurmur2.
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    #[test]
    fn an_id_is_a_path_segment() {
        for good in ["8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11", "a", "A.b_c~d"] {
            assert_eq!(good.parse::<AggregateId>().unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "a b", "ü", "%41", &"x".repeat(129)] {
            assert!(bad.parse::<AggregateId>().is_err(), "{bad}");
        }
    }
}

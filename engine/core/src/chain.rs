//! The chain of an aggregate's events: each names the hash of the one before it, and the result of its command
//! the hash of the last one. So nothing can be changed, dropped or moved without a trace.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The SHA-256 of an event's value, all of it, as it lies in Kafka. As text, in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventHash([u8; 32]);

/// A text that is no [`EventHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 digits 0-9, a-f")]
pub struct InvalidHash;

impl EventHash {
    /// The hash of the event whose record has this value.
    pub fn of(value: &[u8]) -> Self {
        Self(Sha256::digest(value).into())
    }

    /// A hash that was taken elsewhere.
    pub fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// On the stack: one is written for every event.
    fn with_hex<T>(&self, then: impl FnOnce(&str) -> T) -> T {
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        then(std::str::from_utf8(&hex).expect("hex digits are ASCII"))
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|hex| f.write_str(hex))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidHash);
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(InvalidHash),
        };
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(hash))
    }
}

/// Text for records and for people, bytes for the local store.
impl Serialize for EventHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => self.with_hex(|hex| serializer.serialize_str(hex)),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for EventHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom),
            false => Deserialize::deserialize(deserializer).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EventHash, InvalidHash};

    #[test]
    fn a_hash_is_the_sha_256_of_the_value_in_lower_case_hex() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(EventHash::of(b"abc").to_string(), known);
        assert_eq!(known.parse(), Ok(EventHash::of(b"abc")));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let upper = EventHash::of(b"").to_string().to_uppercase();
        for text in ["", "ab", &upper, &"é".repeat(32), &"g".repeat(64)] {
            assert_eq!(text.parse::<EventHash>(), Err(InvalidHash), "{text}");
        }
    }

    #[test]
    fn a_hash_is_text_in_json_and_bytes_in_the_store() {
        let hash = EventHash::of(b"abc");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<EventHash>(&json).unwrap(), hash);
        let stored = postcard::to_stdvec(&hash).unwrap();
        assert_eq!(stored, hash.as_bytes());
        assert_eq!(postcard::from_bytes::<EventHash>(&stored).unwrap(), hash);
    }
}

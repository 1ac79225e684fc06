use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// How far somebody has seen: for partitions of aggregate types, the offset of a command in its topic, whose
/// events, and all before them, are seen.
///
/// The offset of the command, not of its events: a result can state it before Kafka has given the events
/// their offsets, so that it costs no round trip. As text it is opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Token {
    cluster: String,
    seen: BTreeMap<(String, i32), i64>,
}

/// Text that is no [`Token`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not what we give out.
    #[error("not a consistency token; send it back as it came, unchanged")]
    Malformed,
    /// From another Kafka cluster, or one that was created anew.
    #[error("a consistency token of another cluster: it says nothing here")]
    OtherCluster,
}

/// `1`, so that a later form can be told apart.
const PREFIX: &str = "1.";

/// Written from references and read into what owns its parts: the same bytes.
#[derive(Serialize)]
struct Written<'a>(&'a str, &'a [(&'a str, i32, i64)]);

#[derive(Deserialize)]
struct Read(String, Vec<(String, i32, i64)>);

fn text_of(cluster: &str, seen: &[(&str, i32, i64)]) -> String {
    let bytes = postcard::to_stdvec(&Written(cluster, seen)).expect("texts and numbers");
    let mut text = String::with_capacity(PREFIX.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(PREFIX);
    BASE64_URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text
}

impl Token {
    /// Has seen nothing of this cluster.
    pub fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            seen: BTreeMap::new(),
        }
    }

    /// Has seen, of one partition, all up to the command at `offset`.
    pub fn at(cluster: &str, aggregate: &str, partition: i32, offset: i64) -> Self {
        let mut token = Self::new(cluster);
        token.see(aggregate, partition, offset);
        token
    }

    /// The text of [`at`](Self::at), without a token in between: every result has one.
    pub fn text_at(cluster: &str, aggregate: &str, partition: i32, offset: i64) -> String {
        text_of(cluster, &[(aggregate, partition, offset)])
    }

    /// Reads a client's token.
    pub fn parse(text: &str, cluster: &str) -> Result<Self, TokenError> {
        let token: Self = text.trim().parse()?;
        if token.cluster == cluster {
            Ok(token)
        } else {
            Err(TokenError::OtherCluster)
        }
    }

    /// Has now also seen this.
    pub fn see(&mut self, aggregate: &str, partition: i32, offset: i64) {
        let seen = self
            .seen
            .entry((aggregate.to_owned(), partition))
            .or_insert(offset);
        *seen = offset.max(*seen);
    }

    /// Has now also seen what `other` has.
    pub fn join(&mut self, other: &Self) {
        for ((aggregate, partition), offset) in &other.seen {
            self.see(aggregate, *partition, *offset);
        }
    }

    /// Whether everything that `other` has seen is seen here too. Who was refused where no command had made an event yet has
    /// seen that partition to before its first command, -1: that is nothing, which to wait for would be to wait for an event.
    pub fn covers(&self, other: &Self) -> bool {
        other.positions().all(|(aggregate, partition, offset)| {
            let key = (aggregate.to_owned(), partition);
            offset < 0 || self.seen.get(&key).is_some_and(|seen| *seen >= offset)
        })
    }

    /// Aggregate type, partition, offset of the command.
    pub fn positions(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.seen
            .iter()
            .map(|((aggregate, partition), offset)| (aggregate.as_str(), *partition, *offset))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen: Vec<_> = self.positions().collect();
        f.write_str(&text_of(&self.cluster, &seen))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(TokenError::Malformed)?;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| TokenError::Malformed)?;
        let Read(cluster, seen) = postcard::from_bytes(&bytes).map_err(|_| TokenError::Malformed)?;
        let mut token = Self::new(&cluster);
        for (aggregate, partition, offset) in seen {
            token.see(&aggregate, partition, offset);
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Token, TokenError};

    fn token() -> impl Strategy<Value = Token> {
        prop::collection::vec(("[a-c]", 0..3, 0..9i64), 0..6).prop_map(|seen| {
            let mut token = Token::new("here");
            seen.iter()
                .for_each(|(aggregate, partition, offset)| token.see(aggregate, *partition, *offset));
            token
        })
    }

    proptest! {
        #[test]
        fn a_token_is_read_back_from_its_text(token in token()) {
            prop_assert_eq!(Token::parse(&token.to_string(), "here"), Ok(token));
        }

        #[test]
        fn the_text_of_one_position_is_that_of_its_token(name in "[a-z.]{1,9}", partition in any::<i32>(), offset in any::<i64>()) {
            let token = Token::at("here", &name, partition, offset);
            prop_assert_eq!(Token::text_at("here", &name, partition, offset), token.to_string());
        }

        #[test]
        fn a_join_covers_both(a in token(), b in token()) {
            let mut both = a.clone();
            both.join(&b);
            prop_assert!(both.covers(&a) && both.covers(&b));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = text.parse::<Token>();
        }
    }

    #[test]
    fn what_lies_before_all_commands_is_covered_by_who_has_seen_nothing() {
        let nothing = Token::new("here");
        assert!(nothing.covers(&Token::at("here", "orders", 1, -1)));
        assert!(!nothing.covers(&Token::at("here", "orders", 1, 0)));
    }

    #[test]
    fn tokens_that_are_not_ours_are_told_apart() {
        let elsewhere = Token::at("elsewhere", "orders", 1, 2).to_string();
        assert_eq!(Token::parse(&elsewhere, "here"), Err(TokenError::OtherCluster));
        assert_eq!(Token::parse("1.%%%", "here"), Err(TokenError::Malformed));
        assert_eq!(Token::parse("orders@7", "here"), Err(TokenError::Malformed));
    }
}

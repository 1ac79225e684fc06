use std::fmt;
use std::str::FromStr;

use foldline_kafka::DeadLetter;
use foldline_views::{Parked, ParkedKey};

/// What a person calls something that could not be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Letter {
    /// A record of a dead-letter topic: `restaurant.orders/3/17`.
    Command {
        /// The aggregate type, by its qualified name.
        aggregate: String,
        partition: i32,
        offset: i64,
    },
    /// A parked aggregate: `orders:restaurant.orders/8659a0d6`.
    Parked(ParkedKey),
}

impl Letter {
    pub(super) fn of_command(letter: &DeadLetter) -> Self {
        Self::Command {
            aggregate: letter.aggregate.clone(),
            partition: letter.partition,
            offset: letter.offset,
        }
    }

    pub(super) fn of_parked(parked: &Parked) -> Self {
        Self::Parked(parked.key())
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command {
                aggregate,
                partition,
                offset,
            } => write!(f, "{aggregate}/{partition}/{offset}"),
            Self::Parked(key) => write!(f, "{}:{}/{}", key.projection, key.aggregate, key.id),
        }
    }
}

impl FromStr for Letter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "must be as `foldline dlq list` shows it: restaurant.orders/3/17, or orders:restaurant.orders/8659a0d6"
                .to_owned()
        };
        // Names of types have neither a colon nor a slash, and projections no colon.
        if let Some((projection, rest)) = text.split_once(':') {
            let (aggregate, id) = rest.split_once('/').ok_or_else(wrong)?;
            return Ok(Self::Parked(ParkedKey {
                projection: projection.to_owned(),
                aggregate: aggregate.to_owned(),
                id: id.parse().map_err(|_| wrong())?,
            }));
        }
        let (name, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (partition, offset) = rest.split_once('/').ok_or_else(wrong)?;
        Ok(Self::Command {
            aggregate: name.to_owned(),
            partition: partition.parse().map_err(|_| wrong())?,
            offset: offset.parse().map_err(|_| wrong())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Letter;

    #[test]
    fn a_name_is_read_back_from_its_text() {
        for text in [
            "restaurant.orders/3/17",
            "orders:restaurant.orders/8659a0d6",
            "orders/touches:restaurant.menu/8d30d99",
            "history:restaurant.customers/anna",
        ] {
            assert_eq!(text.parse::<Letter>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "restaurant.orders",
            "restaurant.orders/3",
            "restaurant.orders/x/1",
            "orders:x/",
        ] {
            assert!(text.parse::<Letter>().is_err(), "{text}");
        }
    }
}

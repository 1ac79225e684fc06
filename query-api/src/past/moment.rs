use std::collections::BTreeMap;

use foldline_core::{Sequence, Timestamp, Token};
use foldline_views::{HISTORY, Snapshot, StoreError};

use super::PastError;
use crate::params::{BadParameter, bad};

/// A moment, as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// Of the aggregate that the row is about: `7`, `seq:7`.
    Sequence(Sequence),
    /// Inclusive: what was recorded in this millisecond has happened.
    Time(Timestamp),
    /// What it has seen has happened, and nothing else.
    Token(String),
}

/// Reads the value of this parameter.
pub(crate) fn at(parameter: &str, text: &str) -> Result<At, BadParameter> {
    let digits = text.strip_prefix("seq:").unwrap_or(text);
    if let Ok(sequence) = digits.parse::<Sequence>()
        && sequence >= 1
    {
        return Ok(At::Sequence(sequence));
    }
    if text.starts_with("1.") {
        return Ok(At::Token(text.to_owned()));
    }
    // A plus is a space in a query, if it is not escaped; no time has a space there.
    if let Ok(time) = text.replace(' ', "+").parse() {
        return Ok(At::Time(time));
    }
    let allowed = ["seq:12", "2026-11-23T12:00:00Z", "1.…"].map(str::to_owned);
    let detail = format!("{text:?} is no sequence from 1, no time of RFC 3339, and no consistency token");
    Err(bad(parameter, detail, allowed.into()))
}

/// A moment of what is asked for: how much of each partition has happened.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) cut: Cut,
    /// Of the aggregate that is asked for, exactly so much has happened, wherever its partition is cut.
    pub(crate) sequence: Option<Sequence>,
}

/// For each partition (of a type, by its qualified name) the offset of the first event that has not happened.
pub(crate) type Cut = BTreeMap<(String, i32), i64>;

impl At {
    /// The token that a read has to wait for.
    pub(crate) fn token(&self) -> Option<&str> {
        match self {
            Self::Token(text) => Some(text),
            Self::Sequence(_) | Self::Time(_) => None,
        }
    }

    /// Where it lies in these aggregate types. `time_of` gives the time of a sequence of what is asked for.
    pub(crate) fn resolve(
        &self,
        snapshot: &dyn Snapshot,
        aggregates: &[String],
        time_of: impl FnOnce(Sequence) -> Result<Timestamp, PastError>,
    ) -> Result<Moment, PastError> {
        match self {
            Self::Sequence(sequence) => Ok(Moment {
                cut: cut_at(snapshot, aggregates, time_of(*sequence)?)?,
                sequence: Some(*sequence),
            }),
            Self::Time(time) => {
                let now = now();
                if *time > now {
                    return Err(PastError::Future { at: *time, now });
                }
                let cut = cut_at(snapshot, aggregates, *time)?;
                Ok(Moment { cut, sequence: None })
            }
            Self::Token(text) => {
                // Whether it is one of ours was asked when the read waited for it.
                let token: Token = text.parse().unwrap_or_default();
                let cut = cut_of(snapshot, aggregates, &token)?;
                Ok(Moment { cut, sequence: None })
            }
        }
    }
}

/// All that has happened so far.
pub(crate) fn newest(snapshot: &dyn Snapshot, aggregates: &[String]) -> Result<Moment, PastError> {
    Ok(Moment {
        cut: ends(snapshot, aggregates)?,
        sequence: None,
    })
}

fn ends(snapshot: &dyn Snapshot, aggregates: &[String]) -> Result<Cut, StoreError> {
    let positions = snapshot.positions(HISTORY)?.into_iter();
    let of_these = positions.filter(|(key, _)| aggregates.contains(&key.aggregate));
    Ok(of_these
        .map(|(key, position)| ((key.aggregate, key.partition), position.next_offset))
        .collect())
}

fn cut_at(snapshot: &dyn Snapshot, aggregates: &[String], time: Timestamp) -> Result<Cut, PastError> {
    let mut cut = ends(snapshot, aggregates)?;
    for ((aggregate, partition), end) in &mut cut {
        *end = snapshot
            .first_after_time(aggregate, *partition, time)?
            .unwrap_or(*end);
    }
    Ok(cut)
}

/// A partition that the token does not name has not begun.
fn cut_of(snapshot: &dyn Snapshot, aggregates: &[String], token: &Token) -> Result<Cut, PastError> {
    let ends = ends(snapshot, aggregates)?;
    let mut cut = Cut::new();
    for (aggregate, partition, command) in token.positions() {
        let place = (aggregate.to_owned(), partition);
        if let Some(end) = ends.get(&place) {
            let first = snapshot.first_after_command(aggregate, partition, command)?;
            cut.insert(place, first.unwrap_or(*end));
        }
    }
    if cut.is_empty() {
        let names = aggregates.join(", ");
        return Err(PastError::Meaningless(format!(
            "the token says nothing of {names}"
        )));
    }
    Ok(cut)
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.map(|since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    Timestamp(millis.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use foldline_core::{Timestamp, Token};

    use super::{At, at};

    #[test]
    fn a_moment_is_a_sequence_a_time_or_a_token() {
        let token = Token::at("here", "restaurant.orders", 1, 2).to_string();
        for (text, moment) in [
            ("7", At::Sequence(7)),
            ("seq:12", At::Sequence(12)),
            ("1970-01-01T00:00:01Z", At::Time(Timestamp(1000))),
            ("1970-01-01T01:00:01+01:00", At::Time(Timestamp(1000))),
            ("1970-01-01T01:00:01 01:00", At::Time(Timestamp(1000))),
            ("1970-01-01T00:00:01.0019Z", At::Time(Timestamp(1001))),
            (&token, At::Token(token.clone())),
        ] {
            assert_eq!(at("at", text), Ok(moment), "{text}");
        }
        for bad in ["", "0", "-1", "seq:", "seq:x", "yesterday", "2026-11-23", "2.abc"] {
            assert_eq!(at("from", bad).unwrap_err().parameter, "from", "{bad}");
        }
    }
}

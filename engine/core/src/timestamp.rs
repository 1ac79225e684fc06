use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970, UTC: what Avro's `timestamp-millis` holds. Shown as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            // Outside of the years -9999 to 9999: a producer's nonsense is shown, not hidden.
            Err(_) => write!(f, "{}{SINCE_1970}", self.0),
        }
    }
}

/// What is shown of a time that has no RFC 3339 form.
const SINCE_1970: &str = " ms since 1970";

/// Text that is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of RFC 3339, such as 2017-03-25T11:48:51.250Z")]
pub struct InvalidTimestamp;

/// Reads what is shown, and any other time of RFC 3339; what is finer than a millisecond is left out.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        if let Some(millis) = text.strip_suffix(SINCE_1970) {
            return millis.parse().map(Self).map_err(|_| InvalidTimestamp);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        // Towards the past, before 1970 too: a moment never has what came after it.
        let floor = time.as_nanosecond().div_euclid(1_000_000);
        i64::try_from(floor).map(Self).map_err(|_| InvalidTimestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_time_is_shown_as_rfc_3339_in_utc() {
        assert_eq!(
            Timestamp(1_490_442_531_250).to_string(),
            "2017-03-25T11:48:51.250Z"
        );
        assert_eq!(
            Timestamp(i64::MAX).to_string(),
            "9223372036854775807 ms since 1970"
        );
    }

    #[test]
    fn a_time_is_read_back_and_never_later_than_it_was() {
        for millis in [0, 1_490_442_531_250, -1, i64::MAX, i64::MIN] {
            let time = Timestamp(millis);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for (text, millis) in [
            ("1970-01-01T01:00:00.0019+01:00", 1),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(millis)), "{text}");
        }
        for bad in [
            "",
            "7",
            "yesterday",
            "2017-03-25",
            "2017-03-25T11:48:51",
            "x ms since 1970",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}

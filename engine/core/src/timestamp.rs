use std::fmt;

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
            Err(_) => write!(f, "{} ms since 1970", self.0),
        }
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
}

use std::time::Duration;

/// Reads `10s`, `500ms`, `1m 30s` or `PT10S`; for clap's `value_parser`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = |why: String| format!("{why}; write it as 500ms, 10s or 1m 30s");
    let parsed: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| hint(error.to_string()))?;
    Duration::try_from(parsed).map_err(|_| hint("a duration is not negative".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_duration;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["10", "-1s", "soon", ""] {
            assert!(parse_duration(bad).unwrap_err().contains("10s"), "{bad}");
        }
    }
}

//! In which form a client wants its answer.

use http::HeaderMap;
use http::header::ACCEPT;

/// A form that answers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// One JSON value a line.
    Ndjson,
    Csv,
    /// Server-sent events.
    EventStream,
}

impl Format {
    /// For what is one thing.
    pub(super) const ONE: &'static [Self] = &[Self::Json];
    /// For what is a list.
    pub(super) const TABLE: &'static [Self] = &[Self::Json, Self::Ndjson, Self::Csv];
    /// For what can be followed.
    pub(super) const FOLLOWED: &'static [Self] = &[Self::Json, Self::EventStream];
    /// For a list that can be followed.
    pub(super) const FOLLOWED_TABLE: &'static [Self] =
        &[Self::Json, Self::EventStream, Self::Ndjson, Self::Csv];

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::EventStream => "text/event-stream",
        }
    }

    /// What it is called in the parameter `format`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::EventStream => "event-stream",
        }
    }

    /// The one of `offered` that the client likes best (RFC 9110, 12.5.1), the first of them if it does not care.
    pub(super) fn negotiated(headers: &HeaderMap, offered: &[Self]) -> Option<Self> {
        let ranges: Vec<&str> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|range| !range.is_empty())
            .collect();
        if ranges.is_empty() {
            return offered.first().copied();
        }
        let liked = offered.iter().map(|format| (*format, format.quality(&ranges)));
        let best = liked.filter(|(_, quality)| *quality > 0).rev();
        best.max_by_key(|(_, quality)| *quality).map(|(format, _)| format)
    }

    /// In thousandths, as the most specific range says.
    fn quality(self, ranges: &[&str]) -> u16 {
        let (kind, _) = self.media_type().split_once('/').unwrap_or_default();
        let mut found = (0, 0);
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let specific = match name.as_str() {
                "*/*" => 1,
                name if name.strip_suffix("/*") == Some(kind) => 2,
                name if name == self.media_type() => 3,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let quality = quality.map_or(Some(1.0), |text| text.parse::<f32>().ok());
            if specific > found.0 {
                // What is no number is no wish.
                found = (specific, thousandths(quality.unwrap_or(0.0)));
            }
        }
        found.1
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is from 0 to 1000"
)]
fn thousandths(quality: f32) -> u16 {
    (quality.clamp(0.0, 1.0) * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::ACCEPT;

    use super::Format;

    fn negotiated(accept: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Format::negotiated(&headers, Format::FOLLOWED_TABLE)
    }

    #[test]
    fn the_client_gets_what_it_likes_best() {
        for (accept, format) in [
            ("*/*", Some(Format::Json)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Format::Json)),
            ("text/event-stream", Some(Format::EventStream)),
            ("Text/CSV", Some(Format::Csv)),
            ("text/csv;q=0.5, application/x-ndjson", Some(Format::Ndjson)),
            ("application/*", Some(Format::Json)),
            ("text/csv; header=present; q=0.9, */*; q=0.1", Some(Format::Csv)),
            ("application/json;q=0, */*", Some(Format::EventStream)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("", Some(Format::Json)),
        ] {
            assert_eq!(negotiated(accept), format, "{accept}");
        }
    }
}

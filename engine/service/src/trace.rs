//! Trace context (W3C): every request has one, and what it causes carries it on.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;
use uuid::fmt::Simple;

/// The header, here and on Kafka.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace that a request belongs to. Behind [`app`](crate::app), every request has one.
pub fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| id_in(value)).flatten()
}

/// Of a new trace. Nobody collects it, so it says that it is not sampled.
pub(crate) fn new_traceparent() -> HeaderValue {
    let mut text = *b"00-................................-................-00";
    Uuid::new_v4().simple().encode_lower(&mut text[3..35]);
    let mut span = [0; Simple::LENGTH];
    Uuid::new_v4().simple().encode_lower(&mut span);
    text[36..52].copy_from_slice(&span[..16]);
    HeaderValue::from_bytes(&text).expect("hexadecimal digits")
}

/// The trace in a `traceparent`, as it lies in a Kafka header.
pub fn trace_id_of(traceparent: &str) -> Option<&str> {
    id_in(traceparent)
}

/// The trace in `00-<32 digits>-<16 digits>-<2 digits>`; later versions may append to it.
fn id_in(value: &str) -> Option<&str> {
    let mut parts = value.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        let allowed = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == length && text.bytes().all(allowed)
    };
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let is_whole = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let is_known = version != "ff" && (version != "00" || parts.next().is_none());
    (is_whole && is_known && is_set(trace) && is_set(span)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::{id_in, new_traceparent};

    #[test]
    fn only_a_trace_context_as_w3c_has_it_is_taken_over() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(id_in(&parent), Some(trace));
        assert_eq!(id_in(&format!("cc{}-more", &parent[2..])), Some(trace));
        for bad in [
            String::new(),
            format!("{parent}-more"),
            format!("ff{}", &parent[2..]),
            parent.to_uppercase(),
            parent.replace(trace, &"0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(id_in(&bad), None, "{bad}");
        }
        assert!(id_in(new_traceparent().to_str().unwrap()).is_some());
    }
}

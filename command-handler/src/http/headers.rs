//! What the headers of a request for a command say.

use std::time::Duration;

use foldline_core::{Sequence, Token};
use foldline_service::{Caller, Problem, TRACEPARENT, trace_id};
use http::{HeaderMap, HeaderValue, Uri};
use uuid::Uuid;

use super::{Api, problem};

const TEXT_MAX: usize = 255;

/// Everything besides the body that a client says about a command.
#[derive(Debug)]
pub(super) struct Asked {
    pub command_id: Uuid,
    /// Whether the id comes from the client: the same request may come again.
    pub is_repeatable: bool,
    pub expected_sequence: Option<Sequence>,
    pub consistency_token: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    /// The subject of the caller's token. Where nobody is asked who they are: what the client claims.
    pub actor: Option<String>,
    /// The trace that the request belongs to, as it goes on with the command.
    pub trace: Option<String>,
    pub preference: Preference,
    /// Whether only to say what would become of it: `?dry_run=true`.
    pub dry_run: bool,
}

/// `Prefer` (RFC 7240), as far as we know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Preference {
    pub respond_async: bool,
    pub wait: Option<u64>,
}

impl Asked {
    /// Reads the headers and the query of a request.
    pub(super) fn read(headers: &HeaderMap, uri: &Uri, caller: &Caller, api: &Api) -> Result<Self, Problem> {
        let path = uri.path();
        let key = text(headers, "Idempotency-Key")?.map(|key| unquoted(&key));
        let command_id = key.as_deref().map(|key| command_id_of(path, key)).transpose()?;
        Ok(Self {
            command_id: command_id.unwrap_or_else(Uuid::now_v7),
            is_repeatable: command_id.is_some(),
            expected_sequence: expected_sequence(headers)?,
            consistency_token: seen(headers, api.commands.cluster_id())?,
            correlation_id: text(headers, "Correlation-Id")?,
            causation_id: text(headers, "Causation-Id")?,
            actor: match caller.subject() {
                Some(subject) => Some(subject.to_owned()),
                None => text(headers, "X-Actor")?,
            },
            trace: trace(headers),
            preference: Preference::read(headers),
            dry_run: dry_run(uri)?,
        })
    }
}

impl Preference {
    /// What is not understood is ignored, as RFC 7240 wants it.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        let values = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => found.respond_async = true,
                // The first one counts.
                "wait" => found.wait = found.wait.or_else(|| unquoted(value.trim()).parse().ok()),
                _ => {}
            }
        }
        found
    }

    /// How long to wait for the outcome.
    pub(super) fn wait(self, api: &Api) -> Duration {
        match self.wait {
            Some(seconds) => Duration::from_secs(seconds).min(api.wait_max),
            None if self.respond_async => Duration::ZERO,
            None => api.wait,
        }
    }

    /// What an answer says of the preferences that it follows: `Preference-Applied`.
    pub(super) fn applied(self, is_async: bool, api: &Api) -> Option<String> {
        let wait = self.wait.map(|_| format!("wait={}", self.wait(api).as_secs()));
        let respond_async = (self.respond_async && is_async).then(|| "respond-async".to_owned());
        let applied: Vec<String> = [respond_async, wait].into_iter().flatten().collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

/// What is no trace context is nobody's: it does not go on.
fn trace(headers: &HeaderMap) -> Option<String> {
    trace_id(headers)?;
    text(headers, TRACEPARENT.as_str()).ok().flatten()
}

fn dry_run(uri: &Uri) -> Result<bool, Problem> {
    let mut found = false;
    for parameter in uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|parameter| !parameter.is_empty())
    {
        found = match parameter {
            "dry_run" | "dry_run=true" => true,
            "dry_run=false" => false,
            other => return Err(problem::parameter(other)),
        };
    }
    Ok(found)
}

/// A UUID is the command's id itself, so that HTTP and Kafka clients can speak of the same command; any other key
/// stands for one command of its path.
fn command_id_of(path: &str, key: &str) -> Result<Uuid, Problem> {
    if key.is_empty() {
        return Err(problem::header("Idempotency-Key", "is empty"));
    }
    if let Ok(id) = key.parse() {
        return Ok(id);
    }
    let space = Uuid::new_v5(&Uuid::NAMESPACE_URL, path.as_bytes());
    Ok(Uuid::new_v5(&space, key.as_bytes()))
}

/// `If-Match: "7"` or `If-None-Match: *`.
fn expected_sequence(headers: &HeaderMap) -> Result<Option<Sequence>, Problem> {
    let matches = text(headers, "If-Match")?;
    let none = text(headers, "If-None-Match")?;
    match (matches, none) {
        (None, None) => Ok(None),
        (Some(etag), None) => match sequence_of(&etag) {
            Some(sequence) => Ok(Some(sequence)),
            None => Err(problem::header(
                "If-Match",
                "must be one ETag as this API gives them: \"7\", in quotes",
            )),
        },
        (None, Some(any)) if any.trim() == "*" => Ok(Some(0)),
        (None, Some(_)) => Err(problem::header(
            "If-None-Match",
            "can only be *: the aggregate must not exist yet",
        )),
        (Some(_), Some(_)) => Err(problem::header(
            "If-Match",
            "and If-None-Match contradict each other",
        )),
    }
}

/// The sequence in an ETag: views append to it what else they depend on, `"7-12"`.
fn sequence_of(etag: &str) -> Option<Sequence> {
    let inside = etag.trim().strip_prefix('"')?.strip_suffix('"')?;
    let digits = inside.split('-').next()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// All that the client has seen: it may have a token of each thing, in a header each or in one, as reads take them.
fn seen(headers: &HeaderMap, cluster_id: &str) -> Result<Option<String>, Problem> {
    let mut all: Option<Token> = None;
    for value in headers.get_all("Consistency-Token").iter() {
        let text = utf8("Consistency-Token", value)?;
        for token in text.split(',') {
            let token = Token::parse(token, cluster_id).map_err(|error| problem::token(&error))?;
            match &mut all {
                Some(all) => all.join(&token),
                None => all = Some(token),
            }
        }
    }
    Ok(all.map(|token| token.to_string()))
}

/// A structured string (RFC 9651) without its quotes; what has none is itself.
fn unquoted(text: &str) -> String {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inside) => inside.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(problem::header(name, "stands there twice"));
    }
    let text = utf8(name, value)?.trim();
    if text.len() > TEXT_MAX {
        return Err(problem::header(
            name,
            &format!("is longer than {TEXT_MAX} characters"),
        ));
    }
    Ok(Some(text.to_owned()))
}

fn utf8<'a>(name: &str, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    let text = std::str::from_utf8(value.as_bytes());
    text.map_err(|_| problem::header(name, "is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Preference, command_id_of, sequence_of, unquoted};

    #[test]
    fn a_uuid_as_key_is_the_command_id_and_other_keys_are_one_per_path() {
        let id = "8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11";
        assert_eq!(command_id_of("/orders", id).unwrap().to_string(), id);
        let a = command_id_of("/orders", "key").unwrap();
        assert_eq!(a, command_id_of("/orders", "key").unwrap());
        assert_ne!(a, command_id_of("/orders/1/commands", "key").unwrap());
        assert!(command_id_of("/orders", "").is_err());
    }

    #[test]
    fn a_key_is_quoted_or_bare() {
        assert_eq!(unquoted(r#""a\"b""#), r#"a"b"#);
        assert_eq!(unquoted("ab"), "ab");
        assert_eq!(unquoted("\""), "\"");
    }

    #[test]
    fn an_etag_holds_the_sequence_before_the_dash() {
        assert_eq!(sequence_of("\"7\""), Some(7));
        assert_eq!(sequence_of("\"7-12\""), Some(7));
        for bad in [
            "7",
            "\"\"",
            "\"-7\"",
            "\"x\"",
            "W/\"7\"",
            "*",
            "\"7\", \"8\"",
            "\"9999999999999999999\"",
        ] {
            assert_eq!(sequence_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn preferences_are_a_list_and_unknown_ones_are_ignored() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            let found = Preference::read(&headers);
            (found.respond_async, found.wait)
        };
        assert_eq!(read("respond-async, wait=7"), (true, Some(7)));
        assert_eq!(read("Wait=\"3\"; x=y, return=minimal"), (false, Some(3)));
        assert_eq!(read("wait=soon, wait=5"), (false, Some(5)));
    }
}

use std::time::Duration;

use axum::body::Body;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use foldline_service::Caller;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use super::accept::Format;
use super::failure::Failure;
use crate::api::Api;
use crate::consistency::Asked;
use crate::known::Seen;
use crate::opened::Opened;
use crate::params::{BadParameter, Params, bad};
use crate::past::{At, at};

/// How far a client has seen, and how far an answer has.
pub(super) const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
/// Where a client that follows something was.
const LAST_EVENT_ID: &str = "last-event-id";
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How many headers an answer has, with those that [`foldline_service::app`] adds. A map that has to grow makes its table anew.
const HEADERS_MOST: usize = 12;

/// What every read is asked with.
pub(super) struct Call {
    pub(super) path: String,
    /// The parameters but for the consistency token and the format.
    pub(super) params: Params,
    /// The form that the answer is to have.
    pub(super) format: Format,
    pub(super) asked: Asked,
    pub(super) caller: Caller,
    /// The wait that the client chose, as far as we follow it.
    preferred: Option<Duration>,
    opened: Opened,
    if_none_match: Vec<String>,
    last_event_id: Option<String>,
}

impl Call {
    /// `offered` are the forms that there are, the default first.
    pub(super) fn new(api: &Api, parts: &Parts, offered: &[Format]) -> Result<Self, Failure> {
        let (tokens, params) = parameters(&parts.uri)?;
        let (formats, params): (Params, Params) = params.into_iter().partition(|(name, _)| name == "format");
        let preferred = preferred(api, &parts.headers);
        let last_event_id = parts.headers.get(LAST_EVENT_ID);
        let last_event_id = last_event_id.and_then(|value| value.to_str().ok());
        Ok(Self {
            last_event_id: last_event_id.filter(|id| !id.is_empty()).map(str::to_owned),
            path: parts.uri.path().to_owned(),
            params,
            format: format_of(&formats, &parts.headers, offered)?,
            asked: asked_with(api, &parts.headers, &tokens),
            caller: Caller::of(&parts.extensions),
            preferred,
            opened: api.opened.clone(),
            if_none_match: values(&parts.headers, &IF_NONE_MATCH)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        })
    }

    /// The last value of a parameter.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().rfind(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter that names a moment, if it is there.
    pub(super) fn moment(&self, name: &str) -> Result<Option<At>, BadParameter> {
        self.value(name).map(|text| at(name, text)).transpose()
    }

    /// A parameter that is true or false, and false if it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, BadParameter> {
        match self.value(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => {
                let detail = format!("{text:?} is neither true nor false");
                Err(bad(name, detail, vec!["true".to_owned(), "false".to_owned()]))
            }
        }
    }

    /// Where the client wants to go on, and what says so. A client that comes back by itself has the header; the
    /// parameter is then the one that it began with.
    pub(super) fn goes_on(&self) -> Option<(&'static str, &str)> {
        let of_header = self.last_event_id.as_deref().map(|id| (LAST_EVENT_ID, id));
        let of_query = || self.params.iter().rfind(|(name, _)| name == "after");
        of_header.or_else(|| of_query().map(|(_, value)| ("after", value.as_str())))
    }

    /// What [`goes_on`](Self::goes_on) says cannot be understood.
    pub(super) fn cannot_go_on(&self, error: impl std::fmt::Display) -> Failure {
        match self.goes_on() {
            Some((header, _)) if header == LAST_EVENT_ID => Failure::Header {
                header: "Last-Event-ID",
                detail: error.to_string(),
            },
            _ => bad("after", error.to_string(), Vec::new()).into(),
        }
    }

    /// The answer, with personal values opened: 304 if the client has it already.
    pub(super) async fn respond(
        &self,
        token: &Seen,
        etag: Option<&str>,
        mut body: String,
    ) -> Result<Response, Failure> {
        let is_erased = self.opened.open(&mut body).await?;
        Ok(self.respond_opened(token, etag, body, is_erased))
    }

    /// The same of what is opened already; `is_erased` says whether something in it, or in what it was taken from, is erased.
    pub(super) fn respond_opened(
        &self,
        token: &Seen,
        etag: Option<&str>,
        body: String,
        is_erased: bool,
    ) -> Response {
        // The row is the same, and what a client has of it from before says more.
        let of_the_erased = etag
            .filter(|_| is_erased)
            .map(|etag| format!("{}-erased\"", etag.trim_end_matches('"')));
        let etag = of_the_erased.as_deref().or(etag);
        let mut headers = HeaderMap::with_capacity(HEADERS_MOST);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        set(&mut headers, CONSISTENCY_TOKEN, &token.to_string());
        if let Some(etag) = etag {
            set(&mut headers, ETAG, etag);
        }
        if let Some(preferred) = self.preferred {
            let applied = format!("wait={}", preferred.as_secs());
            set(&mut headers, PREFERENCE_APPLIED, &applied);
        }
        let known = etag.is_some_and(|etag| self.knows(etag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Response::new(Body::from(body))
        };
        *response.headers_mut() = headers;
        response
    }

    fn knows(&self, etag: &str) -> bool {
        let mut known = self.if_none_match.iter();
        known.any(|known| known == "*" || known.trim_start_matches("W/") == etag)
    }
}

/// What the client has seen, and how long it waits.
pub(super) fn asked(api: &Api, headers: &HeaderMap, uri: &Uri) -> Result<Asked, Failure> {
    let (tokens, _) = parameters(uri)?;
    Ok(asked_with(api, headers, &tokens))
}

fn asked_with(api: &Api, headers: &HeaderMap, tokens: &Params) -> Asked {
    let of_header = values(headers, &CONSISTENCY_TOKEN);
    let of_query = tokens.iter().flat_map(|(_, value)| value.split(','));
    let tokens = of_header.into_iter().chain(of_query.map(str::trim));
    Asked {
        tokens: tokens.map(str::to_owned).collect(),
        wait: preferred(api, headers)
            .unwrap_or(api.wait_default)
            .min(api.wait_max),
    }
}

fn preferred(api: &Api, headers: &HeaderMap) -> Option<Duration> {
    wait(headers).map(|wait| wait.min(api.wait_max))
}

/// The consistency tokens among the parameters, and the others.
fn parameters(uri: &Uri) -> Result<(Params, Params), Failure> {
    let Query(all) = Query::<Params>::try_from_uri(uri).map_err(|_| Failure::Query)?;
    Ok(all.into_iter().partition(|(name, _)| name == "consistency_token"))
}

/// What the parameter says, or else the header.
fn format_of(formats: &Params, headers: &HeaderMap, offered: &[Format]) -> Result<Format, Failure> {
    let Some((_, name)) = formats.last() else {
        return Format::negotiated(headers, offered).ok_or_else(|| Failure::NotAcceptable {
            offered: offered.iter().map(|format| format.media_type()).collect(),
        });
    };
    let found = offered.iter().find(|format| format.name() == name).copied();
    found.ok_or_else(|| {
        let names = offered.iter().map(|format| format.name().to_owned());
        let detail = format!("there is no {name:?} of this");
        bad("format", detail, names.collect()).into()
    })
}

/// Sets a header of ours, whose values are ASCII.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The values in all headers of that name.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let texts = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).collect()
}

/// `Prefer: wait=N` in seconds (RFC 7240). Preferences that we do not know, or cannot read, are left aside.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = values(headers, &PREFER).into_iter().find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        value.trim().trim_matches('"').parse().ok().filter(|_| is_wait)
    });
    seconds.map(Duration::from_secs)
}

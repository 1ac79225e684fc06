//! Streams that go on: what there is, and then what comes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderName, HeaderValue};
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, Span};

use super::accept::Format;
use super::call::{CONSISTENCY_TOKEN, set};
use super::failure::Failure;
use super::sse;
use crate::api::Api;
use crate::consistency::{ReadError, Scope};
use crate::known::Seen;
use crate::streams::StreamPlace;
use crate::watcher::Following;

/// When what could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Proxies of the nginx kind pass the stream on as it comes.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What is followed.
pub(super) trait Followed: Send + 'static {
    /// What there is now that has not been told.
    fn next(&mut self) -> impl Future<Output = Result<Step, ReadError>> + Send;

    /// What is said when there has been nothing for a while.
    fn keep_alive(&mut self) -> String {
        sse::KEEP_ALIVE.to_owned()
    }

    /// The one partition that it all comes from, once it is known.
    fn partition(&self) -> Option<i32> {
        None
    }
}

/// What a look has found.
pub(super) enum Step {
    /// This, and perhaps more.
    Send(String),
    /// This, and nothing ever after.
    Last(String),
    /// Nothing here, but there is more to look at.
    Again,
    /// Nothing until something moves.
    Nothing,
    /// What is followed is not here any more: a client that comes again is told why.
    End,
}

struct Live<F> {
    api: Arc<Api>,
    followed: F,
    following: Following,
    is_new: bool,
    has_ended: bool,
    /// What was read, and could not be told yet.
    held: Option<Step>,
    _place: StreamPlace,
}

/// Follows until the client goes, or we do.
pub(super) fn follow<F: Followed>(
    api: &Arc<Api>,
    scope: &Scope,
    followed: F,
    token: &Seen,
) -> Result<Response, Failure> {
    let live = Live {
        _place: api.streams.enter("live")?,
        following: api.consistent.follow(scope),
        api: Arc::clone(api),
        followed,
        is_new: true,
        has_ended: false,
        held: None,
    };
    // Nothing is read before it is asked for: what the client does not take is not in memory.
    let span = Span::current();
    let pages = stream::unfold(live, move |mut live| {
        let page = async {
            let page = live.next().await?;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(page)), live))
        };
        page.instrument(span.clone())
    });
    let kind = Format::EventStream.media_type();
    let mut response = ([(CONTENT_TYPE, kind)], Body::from_stream(pages)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    set(headers, CONSISTENCY_TOKEN, &token.to_string());
    Ok(response)
}

impl<F: Followed> Live<F> {
    async fn next(&mut self) -> Option<String> {
        if self.has_ended {
            return None;
        }
        if std::mem::take(&mut self.is_new) {
            return Some(sse::RETRY.to_owned());
        }
        let api = Arc::clone(&self.api);
        tokio::select! {
            biased;
            () = api.streams.shutdown.wait() => None,
            page = self.page() => page,
        }
    }

    /// What there is, with personal values opened. What they cannot be opened in is held, and comes first the next time:
    /// what is followed has gone on behind it, and the client would never have it.
    async fn step(&mut self) -> Result<Step, ReadError> {
        let mut step = match self.held.take() {
            Some(step) => step,
            None => self.followed.next().await?,
        };
        let opened = match &mut step {
            Step::Send(text) | Step::Last(text) => self.api.opened.open(text).await,
            Step::Again | Step::Nothing | Step::End => Ok(false),
        };
        match opened {
            Ok(_) => Ok(step),
            Err(error) => {
                self.held = Some(step);
                Err(error)
            }
        }
    }

    async fn page(&mut self) -> Option<String> {
        let silence = Instant::now() + self.api.streams.keep_alive;
        loop {
            self.following.mark();
            match self.step().await {
                Ok(Step::Send(text)) => return Some(text),
                Ok(Step::Last(text)) => {
                    self.has_ended = true;
                    return Some(text);
                }
                Ok(Step::Again) if Instant::now() < silence => continue,
                Ok(Step::Again) => return Some(self.followed.keep_alive()),
                Ok(Step::Nothing) => {}
                Ok(Step::End) => return None,
                Err(error) => {
                    // The file is being replaced, most likely, or a key is not known yet. The client need not know.
                    tracing::debug!(%error, "a stream could not read");
                    self.following.forget();
                }
            }
            if let Some(partition) = self.followed.partition() {
                self.following.narrow(partition);
            }
            // Nothing moves when a key comes.
            let open_again = Instant::now() + OPEN_AGAIN;
            tokio::select! {
                () = self.following.moved() => {}
                () = sleep_until(open_again), if self.held.is_some() => {}
                () = sleep_until(silence) => return Some(self.followed.keep_alive()),
            }
        }
    }
}

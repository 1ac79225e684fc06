//! A row, followed: as it is, and at each change. What changes faster than the client takes it is told once.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use foldline_core::{AggregateId, Token, TokenError};
use foldline_views::{Row, Snapshot};
use http::StatusCode;

use super::call::Call;
use super::failure::Failure;
use super::live::{Followed, Step, follow};
use super::rows::{body, version};
use super::sse;
use crate::api::{Api, ViewResource};
use crate::consistency::{Asked, ReadError, Shown};
use crate::known::Seen;
use crate::params::only;

/// The version of a row that is not there any more.
const GONE: &str = "gone";

/// What a client has of a row. As text: the version, `@`, and the consistency token of what the view had seen.
struct Had {
    version: String,
    seen: Seen,
}

impl Had {
    fn read(text: &str, cluster: &str) -> Result<Self, TokenError> {
        let (version, seen) = text.split_once('@').ok_or(TokenError::Malformed)?;
        Ok(Self {
            version: version.to_owned(),
            seen: Seen::from(Token::parse(seen, cluster)?),
        })
    }
}

/// `GET /orders/{id}` with `Accept: text/event-stream`
pub(super) async fn open(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    call: &Call,
    id: &str,
) -> Result<Response, Failure> {
    only(&call.params, &["after"])?;
    let not_found = |seen| {
        Err(Failure::NotFound {
            path: call.path.clone(),
            seen,
        })
    };
    let parsed: Option<AggregateId> = id.parse().ok();
    let (name, wanted) = (view.info.name, parsed.clone());
    let read = move |snapshot: &dyn Snapshot| match &wanted {
        Some(id) => Ok((snapshot.cluster_id()?, snapshot.get(name, id)?.is_some())),
        None => Ok((snapshot.cluster_id()?, false)),
    };
    let Shown { value, token } = api.consistent.read(&view.scope, &call.asked, read).await?;
    let (cluster, is_there) = value;
    let had = call.goes_on().map(|(_, text)| Had::read(text, &cluster));
    let had = had.transpose().map_err(|error| call.cannot_go_on(error))?;
    match (parsed, had) {
        // It has been told that the row is gone, and so it is: nothing to come back for.
        (_, Some(had)) if !is_there && had.version == GONE && token.covers(&had.seen) => {
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (None, _) => not_found(token),
        (_, None) if !is_there => not_found(token),
        (Some(id), had) => {
            let followed = RowStream {
                api: Arc::clone(api),
                view: Arc::clone(view),
                id,
                had: had.unwrap_or_else(|| Had {
                    version: String::new(),
                    seen: token.clone(),
                }),
                cluster,
                partition: None,
            };
            follow(api, &view.scope, followed, &token)
        }
    }
}

struct RowStream {
    api: Arc<Api>,
    view: Arc<ViewResource>,
    id: AggregateId,
    had: Had,
    cluster: String,
    /// Of the aggregate that the row is a fold of.
    partition: Option<i32>,
}

/// A look at it.
struct Look {
    cluster: String,
    row: Option<Row>,
    partition: Option<i32>,
}

impl RowStream {
    async fn look(&self) -> Result<Shown<Look>, ReadError> {
        let (name, id) = (self.view.info.name, self.id.clone());
        // Asked once: an aggregate stays in its partition.
        let subject = self.view.subject.clone().filter(|_| self.partition.is_none());
        let read = move |snapshot: &dyn Snapshot| {
            let first = match &subject {
                Some(aggregate) => snapshot.events(aggregate, &id, 0, 1)?,
                None => Vec::new(),
            };
            Ok(Look {
                cluster: snapshot.cluster_id()?,
                row: snapshot.get(name, &id)?,
                partition: first.first().map(|event| event.partition),
            })
        };
        self.api
            .read_for_stream(&self.view.scope, &Asked::default(), read)
            .await
    }

    fn tell(&mut self, version: String, kind: Option<&str>, data: &str) -> String {
        self.had.version = version;
        let mut text = String::new();
        let id = format!("{}@{}", self.had.version, self.had.seen);
        sse::event(&mut text, &id, kind, data);
        text
    }
}

impl Followed for RowStream {
    async fn next(&mut self) -> Result<Step, ReadError> {
        let Shown { value: look, token } = self.look().await?;
        if look.cluster != self.cluster {
            return Ok(Step::End);
        }
        self.partition = self.partition.or(look.partition);
        // A view that is being built anew has not come as far as the client: it would lead it back.
        if !token.covers(&self.had.seen) {
            return Ok(Step::Nothing);
        }
        self.had.seen = token;
        match look.row {
            None => Ok(Step::Last(self.tell(GONE.to_owned(), Some(GONE), "{}"))),
            Some(row) => {
                let version = version(&self.view, &row);
                if version == self.had.version {
                    return Ok(Step::Nothing);
                }
                let data = body(&self.view, &row);
                Ok(Step::Send(self.tell(version, None, &data)))
            }
        }
    }

    fn partition(&self) -> Option<i32> {
        self.partition
    }
}

//! What a caller may read. Routes below one row or one aggregate are behind [`guarded`], which looks at whose it is
//! before anything is answered, as owners never change. Lists, the feed and conversations leave out what is another's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use foldline_core::{AggregateId, DecodedEvent};
use foldline_service::{Action, Caller, Reach};
use foldline_views::{FieldValue, Filter, HISTORY, ListQuery, Snapshot, StoreError, Test};
use http::request::Parts;
use serde_json::Value;

use super::call::asked;
use super::failure::Failure;
use crate::api::{Api, HistoryResource, ViewResource};
use crate::consistency::{Scope, Shown};

/// What is read, by the name that scopes have for it.
pub(super) fn name_of(view: &ViewResource) -> String {
    format!("{}.{}", view.info.domain, view.info.name)
}

/// Leaves out of a list what the caller may not read.
pub(super) fn restrict(view: &ViewResource, caller: &Caller, query: &mut ListQuery) -> Result<(), Failure> {
    // A view without owners has nothing for who may read own rows only.
    let none = || Failure::Forbidden {
        what: name_of(view),
        action: Action::Read,
    };
    let subject = match caller.reads(&name_of(view)) {
        Reach::All => return Ok(()),
        Reach::Own(subject) => subject,
        Reach::Nothing => return Err(none()),
    };
    let (name, value) = view.past.view.owned(&subject).ok_or_else(none)?;
    let field = view
        .fields
        .iter()
        .find(|field| field.name == name)
        .ok_or_else(none)?;
    query.filters.push(Filter {
        field: *field,
        test: Test::In(vec![FieldValue::Text(value)]),
    });
    Ok(())
}

/// What the routes behind a guard are about.
#[derive(Clone)]
pub(super) enum Guarded {
    Rows(Arc<ViewResource>),
    Aggregates(Arc<HistoryResource>),
}

/// Puts routes with an `{id}` behind a look at whose it is.
pub(super) fn guarded(api: &Arc<Api>, of: Guarded, routes: Router) -> Router {
    let api = Arc::clone(api);
    routes.route_layer(from_fn(move |request: Request, next: Next| {
        let (api, of) = (Arc::clone(&api), of.clone());
        async move {
            let (mut request, body) = request.into_parts();
            match refused(&api, &of, &mut request).await {
                None => next.run(Request::from_parts(request, body)).await,
                Some(refused) => refused,
            }
        }
    }))
}

/// The answer to who may not read what the path is about. Most may read all, so the path is read last.
async fn refused(api: &Arc<Api>, of: &Guarded, request: &mut Parts) -> Option<Response> {
    let subject = match of.only_of(request) {
        Ok(Some(subject)) => subject,
        Ok(None) => return None,
        Err(failure) => return Some(failure.into_response()),
    };
    let path = match RawPathParams::from_request_parts(request, &()).await {
        Ok(path) => path,
        Err(rejection) => return Some(rejection.into_response()),
    };
    let id = path.iter().find(|(name, _)| *name == "id");
    let id = id.map(|(_, id)| id).unwrap_or_default();
    let checked = check_own(api, of, id, subject, request).await;
    checked.err().map(IntoResponse::into_response)
}

/// Who is told by which events a row is as it is must be one who may see them: those of the aggregate that it is about, or,
/// if there is none, any that it is made of. What it is made of besides is left out one by one.
pub(super) async fn check_explained(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    id: &str,
    request: &Parts,
) -> Result<(), Failure> {
    if let Some(history) = Guarded::Rows(Arc::clone(view)).history(api) {
        return check(api, &Guarded::Aggregates(history), id, request).await;
    }
    let sight = Sight::new(api, &Caller::of(&request.extensions));
    let mut sources = view.past.sources.iter();
    if sources.any(|aggregate| sight.has_some(aggregate)) {
        return Ok(());
    }
    let what = explained_by(view).to_owned();
    let action = Action::History;
    Err(Failure::Forbidden { what, action })
}

/// The aggregate whose history is asked for with a row's explanation, by its qualified name.
pub(super) fn explained_by(view: &ViewResource) -> &str {
    let of_row = view.past.subject.as_ref().or(view.past.sources.first());
    of_row.map_or("", String::as_str)
}

/// Whether the caller may read it.
async fn check(api: &Arc<Api>, of: &Guarded, id: &str, request: &Parts) -> Result<(), Failure> {
    match of.only_of(request)? {
        Some(subject) => check_own(api, of, id, subject, request).await,
        None => Ok(()),
    }
}

/// Whether it is the caller's own. Another's is not told from what is not there.
async fn check_own(
    api: &Arc<Api>,
    of: &Guarded,
    id: &str,
    subject: String,
    request: &Parts,
) -> Result<(), Failure> {
    let not_found = |seen| Failure::NotFound {
        path: request.uri.path().to_owned(),
        seen,
    };
    let Ok(id) = id.parse::<AggregateId>() else {
        let path = request.uri.path().to_owned();
        return Err(Failure::NoId { path });
    };
    let asked = asked(api, &request.headers, &request.uri)?;
    let shown = match of.history(api) {
        Some(history) => {
            let of = Arc::clone(&history);
            let read =
                move |snapshot: &dyn Snapshot| Ok(owner_of(snapshot, &of, &id)?.as_ref() == Some(&subject));
            api.consistent.read(&history.scope, &asked, read).await?
        }
        None => is_own_row(api, of, id, subject, &asked).await?,
    };
    let Shown { value: is_own, token } = shown;
    if is_own { Ok(()) } else { Err(not_found(token)) }
}

impl Guarded {
    /// The owner whose own the caller may read, and nothing else; `None` if it may read all.
    fn only_of(&self, request: &Parts) -> Result<Option<String>, Failure> {
        let caller = Caller::of(&request.extensions);
        let (reach, what, action) = match self {
            Self::Rows(view) => {
                let name = name_of(view);
                (caller.reads(&name), name, Action::Read)
            }
            Self::Aggregates(history) => {
                let name = history.aggregate.clone();
                (caller.reads_history(&name), name, Action::History)
            }
        };
        match reach {
            Reach::Own(subject) => Ok(Some(subject)),
            Reach::All => Ok(None),
            Reach::Nothing => Err(Failure::Forbidden { what, action }),
        }
    }

    /// The history of the aggregate that it is about: it knows whose a row is that is not there any more, too.
    fn history(&self, api: &Api) -> Option<Arc<HistoryResource>> {
        match self {
            Self::Aggregates(history) => Some(Arc::clone(history)),
            Self::Rows(view) => {
                let mut histories = api.histories.iter();
                histories.find(|history| history.path == view.info.path).cloned()
            }
        }
    }
}

/// Whether a row that is about no aggregate says itself that it is this owner's.
async fn is_own_row(
    api: &Arc<Api>,
    of: &Guarded,
    id: AggregateId,
    subject: String,
    asked: &crate::consistency::Asked,
) -> Result<Shown<bool>, Failure> {
    let Guarded::Rows(view) = of else {
        unreachable!("what has no history is a row");
    };
    let (name, owned) = (view.info.name, view.past.view.owned(&subject));
    let read = move |snapshot: &dyn Snapshot| {
        let row = snapshot.get(name, &id)?;
        let (Some(row), Some((field, value))) = (row, &owned) else {
            return Ok(false);
        };
        let row: Value =
            serde_json::from_str(&row.doc).map_err(|error| StoreError::Database(error.into()))?;
        let pointer = format!("/{}", field.replace('.', "/"));
        Ok(row.pointer(&pointer).and_then(Value::as_str) == Some(value))
    };
    Ok(api.consistent.read(&view.scope, asked, read).await?)
}

/// Whose an aggregate is: its first event says it, and none after it changes it. None if nothing is known of it.
fn owner_of(
    snapshot: &dyn Snapshot,
    history: &HistoryResource,
    id: &AggregateId,
) -> Result<Option<String>, StoreError> {
    let first = snapshot.events(&history.aggregate, id, 0, 1)?;
    let Some(first) = first.first() else {
        return Ok(None);
    };
    let kind = &*history.kind;
    // What cannot be read is nobody's.
    let Ok(event) = DecodedEvent::from_json(kind, &first.json, first.command_offset) else {
        return Ok(None);
    };
    let mut state = kind.initial();
    kind.evolve(&mut state, &event.event);
    Ok(kind.owner(&state, id))
}

/// What a caller may see of the history of all aggregates.
#[derive(Clone)]
pub(super) struct Sight {
    api: Arc<Api>,
    caller: Caller,
}

/// Whose some aggregates are, as far as somebody has asked, in one snapshot.
pub(super) struct Owners<'a> {
    sight: &'a Sight,
    snapshot: &'a dyn Snapshot,
    known: BTreeMap<(String, AggregateId), Option<String>>,
}

impl Sight {
    pub(super) fn new(api: &Arc<Api>, caller: &Caller) -> Self {
        Self {
            api: Arc::clone(api),
            caller: caller.clone(),
        }
    }

    /// Whether it may see that of any aggregate of this type.
    pub(super) fn has_some(&self, aggregate: &str) -> bool {
        self.caller.reads_history(aggregate).is_something()
    }

    /// Whether it may see all there is.
    pub(super) fn has_all(&self) -> bool {
        self.caller.is_anyone()
    }

    pub(super) fn owners<'a>(&'a self, snapshot: &'a dyn Snapshot) -> Owners<'a> {
        Owners {
            sight: self,
            snapshot,
            known: BTreeMap::new(),
        }
    }
}

impl Owners<'_> {
    /// Whether the caller may see that of this aggregate.
    pub(super) fn may_see(&mut self, aggregate: &str, id: &AggregateId) -> Result<bool, StoreError> {
        let reach = self.sight.caller.reads_history(aggregate);
        if !matches!(reach, Reach::Own(_)) {
            return Ok(reach.is_something());
        }
        let mut histories = self.sight.api.histories.iter();
        let Some(history) = histories.find(|history| history.aggregate == aggregate) else {
            return Ok(false);
        };
        let owner = match self.known.entry((aggregate.to_owned(), id.clone())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(owner_of(self.snapshot, history, id)?),
        };
        Ok(reach.has(owner.as_deref()))
    }

    /// Leaves out what the caller may not see.
    pub(super) fn only_seen<T>(
        &mut self,
        all: Vec<T>,
        of: impl Fn(&T) -> (&str, &AggregateId),
    ) -> Result<Vec<T>, StoreError> {
        let mut seen = Vec::with_capacity(all.len());
        for one in all {
            let (aggregate, id) = of(&one);
            if self.may_see(aggregate, id)? {
                seen.push(one);
            }
        }
        Ok(seen)
    }
}

/// All histories, as what a read of them depends on.
pub(super) fn of_all(api: &Api) -> Scope {
    Scope {
        projection: HISTORY.to_owned(),
        aggregates: api
            .histories
            .iter()
            .map(|history| history.aggregate.clone())
            .collect(),
    }
}

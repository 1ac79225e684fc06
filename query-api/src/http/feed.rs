//! The events of all aggregates, or of some of them. Those of one partition, and so those of one aggregate, come in the
//! order that they have in the log; between partitions there is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use foldline_core::Timestamp;
use foldline_service::Action;
use foldline_views::{FeedPage, FeedPlace, FeedQuery, HISTORY, HistoryEvent, Snapshot, StoreError};
use http::HeaderName;
use http::request::Parts;

use super::accept::Format;
use super::access::Sight;
use super::body::PageLinks;
use super::call::{Call, set};
use super::events;
use super::export::{PAGE, Page, Pages, export};
use super::failure::Failure;
use super::live::{Followed, Step, follow};
use super::sse;
use crate::api::Api;
use crate::columns::Column;
use crate::consistency::{Asked, ReadError, Scope, Shown};
use crate::known::Seen;
use crate::params::{BadParameter, Extent, Params, bad, only};
use crate::position::{PositionError, Whereabouts};

/// Where it is served.
pub(super) const PATH: &str = "/events";

/// The place behind what an answer shows.
const EVENT_POSITION: HeaderName = HeaderName::from_static("event-position");

/// For `after`: behind all that there is.
const NOW: &str = "now";

/// `GET /events`
pub(super) async fn list(State(api): State<Arc<Api>>, parts: Parts) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::FOLLOWED_TABLE)?;
    let known: &[&str] = match call.format {
        Format::EventStream => &["aggregate", "type", "actor", "after"],
        _ => &["aggregate", "type", "actor", "from", "to", "after", "limit"],
    };
    only(&call.params, known)?;
    let extent = if call.format == Format::Json {
        Extent::Page
    } else {
        Extent::Everything
    };
    let limit = extent.limit(&call.params)?;
    let (feed, end, token) = open(&api, &call).await?;
    match call.format {
        Format::EventStream => {
            let scope = feed.scope.clone();
            follow(&api, &scope, feed, &token)
        }
        Format::Json => page(feed, &call, limit).await,
        Format::Ndjson | Format::Csv => {
            let position = feed.here.place(&end);
            let mut pages = Table { feed, left: limit };
            // What comes while it is read is not of it: it has an end, however much is written.
            pages.feed.query.until = Some(end);
            let mut columns = vec![Column::new("aggregate")];
            columns.extend(events::columns());
            let mut response = export(&api, call.format, columns, call.asked, pages).await?;
            if limit == usize::MAX {
                set(response.headers_mut(), EVENT_POSITION, &position);
            }
            Ok(response)
        }
    }
}

async fn page(mut feed: Feed, call: &Call, limit: usize) -> Result<Response, Failure> {
    feed.query.limit = limit;
    let Shown { value, token } = feed.read_now(&call.asked).await?;
    let page = value.unwrap_or_default();
    let position = feed.here.place(&feed.query.after);
    let next = Some(position.clone()).filter(|_| page.more);
    let links = PageLinks::new(&call.path, &call.params, "after", next);
    let items: Vec<String> = page.events.iter().map(json).collect();
    let mut response = call.respond(&token, None, links.body(&items)).await?;
    set(response.headers_mut(), EVENT_POSITION, &position);
    Ok(links.add_to(response))
}

/// The event as the history has it, and which type of aggregate it is of.
fn json(event: &HistoryEvent) -> String {
    let aggregate = serde_json::Value::from(event.aggregate.as_str());
    match event.json.strip_prefix('{') {
        Some(rest) => format!("{{\"aggregate\":{aggregate},{rest}"),
        None => event.json.clone(),
    }
}

/// What is asked for, where all of it ends now, and what the history has seen.
async fn open(api: &Arc<Api>, call: &Call) -> Result<(Feed, FeedPlace, Seen), Failure> {
    let sight = Sight::new(api, &call.caller);
    let (aggregates, types) = filters(api, &call.params, &sight)?;
    let scope = Scope {
        projection: HISTORY.to_owned(),
        aggregates: aggregates.clone(),
    };
    let (from, to) = (time(call, "from")?, time(call, "to")?);
    let of = aggregates.clone();
    let read = move |snapshot: &dyn Snapshot| {
        let (mut begin, mut end) = (FeedPlace::new(), FeedPlace::new());
        for (key, position) in snapshot.positions(HISTORY)? {
            if !of.contains(&key.aggregate) {
                continue;
            }
            let first = |time: Timestamp| snapshot.first_after_time(&key.aggregate, key.partition, time);
            // Both ends are of it: what was recorded in their milliseconds too.
            let from = from
                .map(|from| first(Timestamp(from.0.saturating_sub(1))))
                .transpose()?;
            let to = to.map(first).transpose()?.flatten();
            let next = position.next_offset;
            let place = (key.aggregate, key.partition);
            if let Some(from) = from {
                begin.insert(place.clone(), from.unwrap_or(next));
            }
            end.insert(place, to.unwrap_or(next));
        }
        Ok((snapshot.cluster_id()?, begin, end))
    };
    let Shown { value, token } = api.consistent.read(&scope, &call.asked, read).await?;
    let (cluster, begin, end) = value;
    let here = Whereabouts::feed(&cluster);
    let after = match call.goes_on() {
        None => begin,
        Some(("after", NOW)) => end.clone(),
        Some((_, text)) => here
            .read_place(text)
            .map_err(|error: PositionError| call.cannot_go_on(error))?,
    };
    let feed = Feed {
        api: Arc::clone(api),
        scope,
        sight,
        here,
        cluster,
        // Told at once, so that a client that begins now and is cut off before the first event misses nothing.
        told: FeedPlace::new(),
        is_from_now: matches!(call.goes_on(), Some(("after", NOW))),
        query: FeedQuery {
            aggregates,
            types,
            actor: call.value("actor").map(str::to_owned),
            after,
            until: to.is_some().then(|| end.clone()),
            limit: PAGE,
        },
    };
    Ok((feed, end, token))
}

/// A parameter that is a time.
fn time(call: &Call, name: &str) -> Result<Option<Timestamp>, BadParameter> {
    // A plus that is not escaped is a space; no time has one.
    let read = |text: &str| text.replace(' ', "+").parse();
    let time = call.value(name).map(read).transpose();
    time.map_err(|error: foldline_core::InvalidTimestamp| bad(name, error.to_string(), Vec::new()))
}

/// The aggregate types, all that the caller may see if none is named, and the types of events.
fn filters(api: &Api, params: &Params, sight: &Sight) -> Result<(Vec<String>, Vec<String>), Failure> {
    let named = |name: &str| -> BTreeSet<&String> {
        let values = params.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| value).collect()
    };
    let (aggregates, types) = (named("aggregate"), named("type"));
    let all = || api.histories.iter();
    if let Some(unknown) = aggregates
        .iter()
        .find(|name| all().all(|history| history.aggregate != ***name))
    {
        let names = all().map(|history| history.aggregate.clone()).collect();
        let detail = format!("there is no aggregate {unknown:?}");
        return Err(bad("aggregate", detail, names).into());
    }
    let mut unseen = all().filter(|history| !sight.has_some(&history.aggregate));
    if let Some(history) = unseen.find(|history| aggregates.contains(&history.aggregate)) {
        let what = history.aggregate.clone();
        let action = Action::History;
        return Err(Failure::Forbidden { what, action });
    }
    let chosen: Vec<_> = all()
        .filter(|history| aggregates.is_empty() || aggregates.contains(&history.aggregate))
        .filter(|history| sight.has_some(&history.aggregate))
        .collect();
    if let (true, Some(history)) = (chosen.is_empty(), all().next()) {
        let what = history.aggregate.clone();
        let action = Action::History;
        return Err(Failure::Forbidden { what, action });
    }
    let has = |name: &String| chosen.iter().any(|history| history.types.contains(name));
    if let Some(unknown) = types.iter().find(|name| !has(name)) {
        let names = chosen.iter().flat_map(|history| history.types.clone()).collect();
        let detail = format!("there is no event {unknown:?} in what is asked for");
        return Err(bad("type", detail, names).into());
    }
    let chosen = chosen.iter().map(|history| history.aggregate.clone());
    Ok((chosen.collect(), types.into_iter().cloned().collect()))
}

struct Feed {
    api: Arc<Api>,
    scope: Scope,
    sight: Sight,
    cluster: String,
    here: Whereabouts,
    query: FeedQuery,
    /// The place that the client knows of.
    told: FeedPlace,
    is_from_now: bool,
}

impl Feed {
    /// The next page, when it is a stream's turn; `None` if the store is another cluster's now.
    async fn read(&mut self, asked: &Asked) -> Result<Shown<Option<FeedPage>>, ReadError> {
        let shown = self.api.read_for_stream(&self.scope, asked, self.look());
        Ok(self.behind(shown.await?))
    }

    async fn read_now(&mut self, asked: &Asked) -> Result<Shown<Option<FeedPage>>, ReadError> {
        let shown = self.api.consistent.read(&self.scope, asked, self.look());
        Ok(self.behind(shown.await?))
    }

    fn look(
        &self,
    ) -> impl Fn(&dyn Snapshot) -> Result<Option<FeedPage>, StoreError> + Clone + Send + 'static + use<> {
        let (query, cluster, sight) = (self.query.clone(), self.cluster.clone(), self.sight.clone());
        move |snapshot| {
            if snapshot.cluster_id()? != cluster {
                return Ok(None);
            }
            let mut page = snapshot.feed(&query)?;
            // What is another's is left out, and the place behind it is told.
            let mut owners = sight.owners(snapshot);
            page.events = owners.only_seen(page.events, |event| (&event.aggregate, &event.id))?;
            Ok(Some(page))
        }
    }

    fn behind(&mut self, mut shown: Shown<Option<FeedPage>>) -> Shown<Option<FeedPage>> {
        if let Some(page) = &mut shown.value {
            self.api.today(&mut page.events);
            self.query.after.clone_from(&page.next);
        }
        shown
    }

    /// The events, each with the place behind it; the last with that behind the page.
    fn told(&mut self, mut place: FeedPlace, page: &FeedPage) -> String {
        let mut text = String::new();
        let mut events = page.events.iter().peekable();
        while let Some(event) = events.next() {
            place.insert((event.aggregate.clone(), event.partition), event.offset + 1);
            let at = if events.peek().is_some() {
                &place
            } else {
                &page.next
            };
            sse::event(
                &mut text,
                &self.here.place(at),
                Some(&event.event_type),
                &json(event),
            );
        }
        self.told.clone_from(&page.next);
        text
    }
}

impl Followed for Feed {
    async fn next(&mut self) -> Result<Step, ReadError> {
        if std::mem::take(&mut self.is_from_now) {
            self.told.clone_from(&self.query.after);
            return Ok(Step::Send(sse::place(&self.here.place(&self.told))));
        }
        let before = self.query.after.clone();
        let Some(page) = self.read(&Asked::default()).await?.value else {
            return Ok(Step::End);
        };
        if !page.events.is_empty() {
            return Ok(Step::Send(self.told(before, &page)));
        }
        Ok(if page.more { Step::Again } else { Step::Nothing })
    }

    fn keep_alive(&mut self) -> String {
        // What was left out need not be looked at again when the client comes back.
        if self.told == self.query.after {
            return sse::KEEP_ALIVE.to_owned();
        }
        self.told.clone_from(&self.query.after);
        sse::place(&self.here.place(&self.told))
    }
}

/// All that there was at the beginning, or so many events.
struct Table {
    feed: Feed,
    left: usize,
}

impl Pages for Table {
    async fn next(&mut self, asked: &Asked) -> Result<Option<Page>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.feed.query.limit = self.left.min(PAGE);
        let Shown { value, token } = self.feed.read(asked).await?;
        let page = value.unwrap_or_default();
        let rows: Vec<String> = page.events.iter().map(json).collect();
        self.left = if page.more { self.left - rows.len() } else { 0 };
        Ok(Some(Page { rows, token }))
    }
}

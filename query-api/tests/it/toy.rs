//! A domain with a view of one aggregate and a view of two, and the API over them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use foldline_core::{
    Aggregate, AggregateId, Context, Domain, Domains, Field, Projection, RefusalKind, Rejection, Source,
    Timestamp, Token, from, schemars,
};
use foldline_query_api::{Api, ApiOptions, Openers, PastOptions, StreamOptions, documents, router};
use foldline_service::{Auth, Health, HttpSettings, Shutdown, app};
use foldline_views::{
    Batch, CheckpointKey, CheckpointMove, HistoryEvent, NewRow, Position, RowChange, SqliteStore, ViewStore,
    ViewWriter,
};
use http::{HeaderMap, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

use crate::following::Stream;

pub const CLUSTER: &str = "cluster-a";
pub const COATS: &str = "wardrobe.coats";
pub const TAGS: &str = "wardrobe.tags";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Command {
    /// Hangs it up.
    HangUp {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Event {
    /// It hangs.
    HungUp {},
    /// It hangs no more.
    TookDown {},
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("never")]
pub struct Never;

impl Rejection for Never {
    const CODES: &'static [&'static str] = &["never"];
    fn code(&self) -> &'static str {
        "never"
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

macro_rules! aggregate {
    ($name:ident, $text:literal, $path:literal) => {
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        struct $name {}
        impl Aggregate for $name {
            const NAME: &'static str = $text;
            const PATH: &'static str = $path;
            const CREATE: &'static str = "HangUp";
            type Command = Command;
            type Event = Event;
            type Rejection = Never;
            fn decide(&self, _: &Command, _: &Context<'_>) -> Result<Vec<Event>, Never> {
                Ok(vec![Event::HungUp {}])
            }
            fn evolve(&mut self, _: &Event) {}
            fn possible(&self) -> Vec<&'static str> {
                vec!["HangUp"]
            }
        }
    };
}
aggregate!(Coat, "coats", "/cloakroom/coats");
aggregate!(Tag, "tags", "/tags");
aggregate!(Paper, "papers", "/docs");

#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
struct Row {
    id: String,
    colour: Option<String>,
    price: Option<Price>,
    wet: bool,
    pockets: Vec<Pocket>,
}

#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
struct Price {
    amount: i64,
    currency: String,
}

#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
struct Pocket {
    side: String,
    coins: i64,
}

/// A fold of one aggregate.
struct Coats;
impl Projection for Coats {
    const NAME: &'static str = "coats";
    const PATH: &'static str = "/cloakroom/coats";
    const FIELDS: &'static [Field] = &[
        Field::text("colour"),
        Field::number("price.amount"),
        Field::boolean("wet"),
    ];
    const LISTS: &'static [(&'static str, &'static [Field])] =
        &[("pockets", &[Field::text("side"), Field::number("coins")])];
    type View = Row;
    fn sources() -> Vec<Source<Row>> {
        vec![from::<Coat, _>(|_| vec![], |row, _, _| row)]
    }
}

/// Made of two.
struct Tags;
impl Projection for Tags {
    const NAME: &'static str = "tags";
    const PATH: &'static str = "/tags";
    const FIELDS: &'static [Field] = &[];
    type View = Row;
    fn sources() -> Vec<Source<Row>> {
        vec![
            from::<Tag, _>(|_| vec![], |row, _, _| row),
            from::<Coat, _>(|_| vec![], |row, _, _| row),
        ]
    }
}

pub fn domains() -> Domains {
    let domain = Domain::new("wardrobe")
        .aggregate::<Coat>()
        .aggregate::<Tag>()
        .view::<Coats>()
        .view::<Tags>();
    Domains::new([domain]).unwrap()
}

/// A domain at a path that is the engine's.
pub fn domains_at_docs() -> Domains {
    Domains::new([Domain::new("wardrobe").aggregate::<Paper>()]).unwrap()
}

/// The API over the store in this folder.
pub fn api(folder: &Path, domains: &Domains, streams: StreamOptions, shutdown: &Shutdown) -> Arc<Api> {
    opening_api(folder, domains, streams, None, shutdown)
}

fn opening_api(
    folder: &Path,
    domains: &Domains,
    streams: StreamOptions,
    openers: Option<Openers>,
    shutdown: &Shutdown,
) -> Arc<Api> {
    let options = ApiOptions {
        command_api: "http://commands.example/".to_owned(),
        topic_prefix: "here-".to_owned(),
        wait_default: Duration::from_secs(30),
        wait_max: Duration::from_secs(60),
        readers: 4,
        streams,
        past: PastOptions {
            most: 2,
            bytes_max: 1 << 30,
            age_max: Duration::from_secs(600),
        },
    };
    let store = SqliteStore::new(folder.join("views.db"));
    Api::new(store, domains, &options, openers, shutdown)
}

/// The API over a store that is empty, and may not even be there.
pub struct Fixture {
    pub folder: TempDir,
    pub app: Router,
    /// As they are before `app` is around them.
    pub routes: Router,
    pub shutdown: Shutdown,
}

/// What a client got.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Fixture {
    /// Call it in a runtime.
    pub fn new() -> Self {
        Self::over(&domains())
    }

    /// An empty store for other domains.
    pub fn of(domains: &Domains) -> Self {
        let fixture = Self::over(domains);
        let store = SqliteStore::new(fixture.folder.path().join("views.db"));
        drop(store.writer(domains, CLUSTER).unwrap());
        fixture
    }

    fn over(domains: &Domains) -> Self {
        let streams = StreamOptions {
            most: 100,
            keep_alive: Duration::from_secs(60),
        };
        Self::in_folder(tempfile::tempdir().unwrap(), domains, streams)
    }

    /// With these limits of streams.
    pub fn with_streams(most: usize, keep_alive: Duration) -> Self {
        let streams = StreamOptions { most, keep_alive };
        Self::in_folder(tempfile::tempdir().unwrap(), &domains(), streams)
    }

    /// The process ends, and another one serves the same store.
    pub fn restarted(self) -> Self {
        self.restarted_as(&domains())
    }

    /// The process ends, and one that has these domains serves the same store.
    pub fn restarted_as(self, domains: &Domains) -> Self {
        self.shutdown.trigger();
        let streams = StreamOptions {
            most: 100,
            keep_alive: Duration::from_secs(60),
        };
        Self::in_folder(self.folder, domains, streams)
    }

    /// One that opens personal values, and the writer of its rows.
    pub fn opening(openers: Openers) -> (Self, Box<dyn ViewWriter>) {
        let (folder, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
        let streams = StreamOptions {
            most: 100,
            keep_alive: Duration::from_secs(60),
        };
        let api = opening_api(folder.path(), &domains(), streams, Some(openers), &shutdown);
        let fixture = Self::serving(api, folder, shutdown);
        let writer = fixture.writer();
        (fixture, writer)
    }

    fn in_folder(folder: TempDir, domains: &Domains, streams: StreamOptions) -> Self {
        let shutdown = Shutdown::new();
        let api = api(folder.path(), domains, streams, &shutdown);
        Self::serving(api, folder, shutdown)
    }

    fn serving(api: Arc<Api>, folder: TempDir, shutdown: Shutdown) -> Self {
        let routes = Auth::none().guard(router(&api).unwrap()).merge(documents(&api));
        let health = Health::new(&shutdown, move || api.missing());
        Self {
            routes: routes.clone().merge(health.clone().routes()),
            app: app(routes, health, &HttpSettings::default()),
            folder,
            shutdown,
        }
    }

    pub fn writer(&self) -> Box<dyn ViewWriter> {
        let store = SqliteStore::new(self.folder.path().join("views.db"));
        store.writer(&domains(), CLUSTER).unwrap()
    }

    /// With these rows in the view, and the writer that wrote them.
    pub fn with(view: &str, rows: &[(&str, &str)]) -> (Self, Box<dyn ViewWriter>) {
        let fixture = Self::new();
        let mut writer = fixture.writer();
        let rows = rows.iter().map(|(id, doc)| put(view, id, doc)).collect();
        commit(&mut *writer, rows, vec![]);
        (fixture, writer)
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.get_with(uri, &[]).await
    }

    pub async fn get_with(&self, uri: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", uri, headers).await
    }

    /// Asks, and reads the answer as it comes.
    pub async fn open(&self, uri: &str, headers: &[(&str, &str)]) -> Stream {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        Stream::new(self.app.clone().oneshot(request).await.unwrap())
    }

    /// Follows, from behind this event if there is one.
    pub async fn follow(&self, uri: &str, last: Option<&str>) -> Stream {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.map(|id| ("last-event-id", id)));
        let stream = self.open(uri, &headers).await;
        assert_eq!(stream.status, 200, "{uri}");
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        stream
    }

    pub async fn ask(&self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        ask(self.app.clone(), request).await
    }
}

/// Asks, and reads all of the answer.
pub async fn ask(app: Router, request: Request<Body>) -> Answer {
    let response = app.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["type"], format!("/problems/{code}"), "{}", self.body);
        assert_eq!(self.body["status"], status);
    }

    pub fn ids(&self) -> String {
        let items = self.body["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap()).collect()
    }

    pub fn token(&self) -> Token {
        self.header("consistency-token").parse().unwrap()
    }
}

pub fn id(text: &str) -> AggregateId {
    text.parse().unwrap()
}

/// A row at sequence 3, written for the 5th time.
pub fn put(view: &str, row: &str, doc: &str) -> RowChange {
    RowChange {
        view: view.to_owned(),
        id: id(row),
        row: Some(NewRow {
            doc: doc.to_owned(),
            listed: true,
            sequence: 3,
            version: 5,
        }),
    }
}

pub fn commit(writer: &mut dyn ViewWriter, rows: Vec<RowChange>, moves: Vec<CheckpointMove>) {
    let batch = Batch {
        rows,
        moves,
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
}

/// The projection has applied the command at this offset of partition 2, and nothing before.
pub fn applied(projection: &str, aggregate: &str, command_offset: i64) -> CheckpointMove {
    CheckpointMove {
        key: CheckpointKey {
            projection: projection.to_owned(),
            aggregate: aggregate.to_owned(),
            partition: 2,
        },
        from: Position::START,
        to: Position {
            next_offset: 100,
            command_offset,
        },
    }
}

pub fn event(aggregate: &str, row: &str, sequence: i64) -> HistoryEvent {
    HistoryEvent {
        aggregate: aggregate.to_owned(),
        id: id(row),
        sequence,
        partition: 2,
        offset: sequence,
        event_id: Uuid::from_u128(sequence.unsigned_abs().into()),
        event_type: "HungUp".to_owned(),
        occurred_at: Timestamp(1),
        recorded_at: Timestamp(2),
        command_id: Uuid::nil(),
        command_offset: sequence,
        correlation_id: "c".to_owned(),
        actor: None,
        json: format!("{{\"event_type\":\"HungUp\",\"sequence\":{sequence}}}"),
    }
}

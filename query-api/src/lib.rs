//! The read API: views and histories over HTTP. It reads what the projector writes, and writes nothing.
//!
//! For a view at `/orders`: `/orders` is the list, `/orders/{id}` a row, `/orders/{id}/items` a list within it (and
//! `/orders/{id}/items/{item}` one of its entries), and `/orders/{id}/events` the history of the aggregate behind it. `/` is the index. How a list is asked for
//! stands in `params`, how a read waits for what the client has seen in `consistency`.
//!
//! What was is folded from the history (`past`): `?at=` on rows, `/orders/{id}/diff` between two moments of one,
//! `/orders/{id}/state` the aggregate itself. `?explain=true` names the event behind each field of a row.
//!
//! Personal values are sealed in all that is read. They are opened in what a client is told (`opened`), by keys that are
//! followed in Kafka and kept in memory.
//!
//! `/events` is the feed of all aggregates. What can be followed is answered with server-sent events to whoever asks
//! for them (`http/live`), and what is a table with NDJSON or CSV (`http/export`). A stream is pulled: it reads a page
//! when the client has taken the one before, and holds nothing else.

mod api;
mod columns;
mod consistency;
mod cursor;
mod entries;
mod http;
mod known;
mod links;
mod opened;
mod params;
mod past;
mod position;
mod readers;
mod settings;
mod streams;
mod watcher;

use std::sync::Arc;

use foldline_core::Domains;
use foldline_kafka::Keys;
use foldline_service::{Auth, Health, Shutdown};
use foldline_views::SqliteStore;

pub use api::{Api, ApiOptions};
pub use http::{documents, router};
pub use opened::Openers;
pub use past::PastOptions;
pub use settings::Settings;
pub use streams::StreamOptions;

/// Serves until it is to stop. It needs no projector to start: it is ready when the views are there.
pub async fn run(settings: Settings, domains: Domains, shutdown: Shutdown) -> anyhow::Result<()> {
    let auth = Auth::open(&settings.auth, settings.listen, &settings.http).await?;
    let options = ApiOptions {
        command_api: settings.command_api.clone(),
        topic_prefix: settings.kafka.topic_prefix.clone(),
        wait_default: settings.wait_default,
        wait_max: settings.wait_max,
        readers: settings.readers.into(),
        streams: StreamOptions {
            most: settings.streams_max.into(),
            keep_alive: settings.keep_alive,
        },
        past: PastOptions {
            most: settings.past_lists_max.into(),
            bytes_max: u64::from(settings.past_lists_mib) << 20,
            age_max: settings.past_lists_age,
        },
    };
    let keys = Keys::new(&settings.kafka, &domains);
    let openers = Openers {
        at_once: keys.opener_at_once(),
        looking: keys.opener(),
    };
    let store = SqliteStore::new(&settings.views);
    let api = Api::new(store, &domains, &options, Some(openers), &shutdown);
    // Nothing hangs on when these threads end.
    drop(keys.follow());
    let routes = auth.guard(router(&api)?).merge(documents(&api));
    let listener = foldline_service::bind(settings.listen, &settings.http).await?;
    tracing::info!(address = %listener.local_addr()?, views = %settings.views.display(), "serving");
    let health = Health::new(&shutdown, {
        let api = Arc::clone(&api);
        let keys = keys.clone();
        move || {
            let unread =
                (!keys.are_read()).then(|| "the keys of personal values are not read yet".to_owned());
            api.missing().into_iter().chain(unread).collect()
        }
    });
    let app = foldline_service::app(routes, health, &settings.http);
    foldline_service::serve(listener, app, &shutdown, &settings.http).await;
    keys.stop();
    Ok(())
}

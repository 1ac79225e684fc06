//! The read API: views and histories over HTTP. It reads what the projector writes, and writes nothing.
//!
//! For a view at `/orders`: `/orders` is the list, `/orders/{id}` a row, `/orders/{id}/items` a list within it (and
//! `/orders/{id}/items/{item}` one of its entries), and `/orders/{id}/events` the history of the aggregate behind it. `/` is the index. How a list is asked for
//! stands in `params`, how a read waits for what the client has seen in `consistency`.

mod api;
mod consistency;
mod cursor;
mod entries;
mod http;
mod params;
mod readers;
mod settings;

use std::sync::Arc;

use foldline_core::Domains;
use foldline_service::{Health, Shutdown};
use foldline_views::SqliteStore;

pub use api::{Api, ApiOptions};
pub use http::router;
pub use settings::Settings;

/// Serves until it is to stop. It needs no projector to start: it is ready when the views are there.
pub async fn run(settings: Settings, domains: Domains, shutdown: Shutdown) -> anyhow::Result<()> {
    let options = ApiOptions {
        command_api: settings.command_api.clone(),
        wait_default: settings.wait_default,
        wait_max: settings.wait_max,
        readers: settings.readers.into(),
    };
    let api = Api::new(SqliteStore::new(&settings.views), &domains, &options);
    let listener = foldline_service::bind(settings.listen).await?;
    tracing::info!(address = %listener.local_addr()?, views = %settings.views.display(), "serving");
    let health = Health::new(&shutdown, {
        let api = Arc::clone(&api);
        move || api.missing()
    });
    let app = foldline_service::app(router(&api), health, &settings.http);
    foldline_service::serve(listener, app, &shutdown, &settings.http).await;
    Ok(())
}

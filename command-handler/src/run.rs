use std::sync::{Arc, Weak};

use anyhow::Context;
use foldline_core::Domains;
use foldline_kafka::Engine;
use foldline_service::{Auth, Health, Shutdown, app, bind, serve};
use tracing::info;

use crate::Settings;
use crate::engine::LateGateway;
use crate::http::{Api, documents, routes, when};

/// Runs the command handler until it is to stop, or cannot go on.
///
/// The write API is there at once, and says that it is not ready until the engine is. A stop turns readiness off,
/// finishes the requests that are being answered, and only then ends the engine that answers them.
pub async fn run(settings: Settings, domains: Domains, shutdown: Shutdown) -> anyhow::Result<()> {
    let auth = Auth::open(&settings.auth, settings.listen, &settings.http).await?;
    let listener = bind(settings.listen, &settings.http).await?;
    let address = listener.local_addr()?;
    let gateway = LateGateway::default();
    let api = Api {
        commands: Box::new(gateway.clone()),
        domains: domains.clone(),
        query_api: settings.query_api.clone(),
        wait: settings.wait,
        wait_max: settings.wait_max,
        body_bytes_max: settings.http.body_bytes_max,
        body_timeout: settings.http.body_timeout,
    };
    let started = gateway.clone();
    let routes = auth.guard(when(move || started.has_come(), routes(api)?));
    let documents = documents(&domains, &settings.kafka.topic_prefix);
    let engine = Arc::new(std::sync::OnceLock::new());
    let health = Health::new(&shutdown, {
        let engine = Arc::downgrade(&engine);
        move || missing(&engine)
    });
    let app = app(routes.merge(documents), health, &settings.http);
    info!(%address, "serving the write API");
    let serving = serve(listener, app, &shutdown, &settings.http);
    let working = work(&settings, &domains, &shutdown, &gateway, &engine);
    let ((), worked) = tokio::join!(serving, working);
    stop(engine).await;
    worked
}

type Late<T> = std::sync::OnceLock<T>;

/// Starts the engine, and returns when all is to stop, or with the engine's failure, which stops all.
async fn work(
    settings: &Settings,
    domains: &Domains,
    shutdown: &Shutdown,
    gateway: &LateGateway,
    slot: &Late<Engine>,
) -> anyhow::Result<()> {
    let worked = async {
        let engine = Engine::start(&settings.kafka, &settings.engine, domains).await;
        let engine = engine.context("the engine cannot start")?;
        gateway.comes(engine.gateway());
        let engine = slot.get_or_init(|| engine);
        info!("the engine has started");
        Err(engine.failed().await).context("the engine cannot go on")
    };
    let ended = tokio::select! {
        failure = worked => failure,
        () = shutdown.wait() => Ok(()),
    };
    shutdown.trigger();
    ended
}

fn missing(engine: &Weak<Late<Engine>>) -> Vec<String> {
    let engine = engine.upgrade();
    match engine.as_ref().and_then(|engine| engine.get()) {
        Some(engine) => engine.readiness(),
        None => vec!["the engine is starting".to_owned()],
    }
}

/// Ends the engine, once nobody asks for its readiness.
async fn stop(mut engine: Arc<Late<Engine>>) {
    loop {
        match Arc::try_unwrap(engine) {
            Ok(slot) => {
                if let Some(engine) = slot.into_inner() {
                    engine.stop().await;
                }
                return;
            }
            Err(still_asked) => engine = still_asked,
        }
        tokio::task::yield_now().await;
    }
}

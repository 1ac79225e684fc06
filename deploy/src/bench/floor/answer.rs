use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use http::HeaderMap;
use hyper::body::Bytes;
use tokio::runtime::{Builder, Runtime};

/// A bare axum server that gives the same answer to everything. It has a runtime of its own, as a service has.
pub(crate) struct Server {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Answers with this at this route, as often as it is asked.
    pub(crate) fn start(route: &str, headers: HeaderMap, body: Bytes) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("a port for the floor's server")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let answer = move || std::future::ready((headers.clone(), body.clone()));
        let app = Router::new().route(route, get(answer));
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, app).await
        });
        Ok(Self {
            runtime: Some(runtime),
            address,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not by dropping it, which would wait, and must not in another runtime.
            runtime.shutdown_background();
        }
    }
}

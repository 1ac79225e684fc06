//! The accept loop. axum's own has no limits and waits for ever when it stops (tokio-rs/axum#2673).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;
use tracing::{debug, info, warn};

use crate::rate_limit::Peer;
use crate::sockets;
use crate::tls::{Tls, TlsError};
use crate::{HttpSettings, Shutdown};

/// The HTTP surface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken.
    #[error("{address} is taken: another process listens there; stop it, or choose another address")]
    Taken {
        /// Where.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Where connections come from, and whether they are TLS.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// What it listens with.
    pub fn tcp(&self) -> &TcpListener {
        &self.tcp
    }
}

/// Plain.
impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

/// Listens, with TLS if the settings name a certificate; port 0 is any free one.
pub async fn bind(address: SocketAddr, settings: &HttpSettings) -> Result<Listener, ServeError> {
    let tls = Tls::open(settings)?.map(Arc::new);
    let tcp = TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::Taken { address },
            _ => ServeError::Bind { address, source },
        })?;
    Ok(Listener { tcp, tls })
}

/// How many bytes the head of a request may have; more is a 431. As much is kept of an answer that is not taken.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Serves until it is to stop, then finishes the requests that are being answered, within the drain timeout.
pub async fn serve(listener: impl Into<Listener>, app: Router, shutdown: &Shutdown, settings: &HttpSettings) {
    let Listener { tcp: listener, tls } = listener.into();
    if let Err(error) = sockets::bound(&listener, settings.write_timeout) {
        warn!(%error, "clients that do not read are not bounded by the kernel");
    }
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.connections_max as usize));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    let mut stop = pin!(shutdown.wait());
    loop {
        let (stream, peer, place) = tokio::select! {
            next = accept(&listener, &places) => next,
            () = &mut stop => break,
        };
        let service = OfPeer {
            app: app.clone(),
            peer: Peer(peer.ip()),
        };
        let (http, watcher) = (http.clone(), graceful.watcher());
        let Some(tls) = tls.clone() else {
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::spawn(until_closed(connection, watcher, place));
            continue;
        };
        let within = settings.head_timeout;
        tokio::spawn(async move {
            // Whoever does not shake hands takes a place no longer than who sends no head.
            match tokio::time::timeout(within, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let connection = http.serve_connection(TokioIo::new(stream), service);
                    until_closed(connection, watcher, place).await;
                }
                Ok(Err(error)) => debug!(%error, "a connection did not become TLS"),
                Err(_) => debug!("a connection did not become TLS in time"),
            }
        });
    }
    drop(listener);
    info!(connections = graceful.count(), "draining");
    if tokio::time::timeout(settings.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        warn!("some requests were not finished when the drain timeout ended");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and written at once: waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) if is_of_the_connection(&error) => debug!(%error, "a connection was not accepted"),
            Err(error) => {
                // Out of file descriptors, most likely: some will be closed.
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

/// The service, for one connection: each request says from whom it is.
struct OfPeer {
    app: Router,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for OfPeer {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        // A router is always ready.
        self.app.clone().call(request)
    }
}

async fn until_closed(
    connection: impl GracefulConnection<Error = hyper::Error>,
    watcher: Watcher,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "a connection ended");
    }
    drop(place);
}

//! The HTTP surface as a client sees it, over real connections.

// Everything here is a test.
#![allow(clippy::unwrap_used)]

mod answers;
mod connections;
mod documents;
mod limits;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use foldline_service::{Health, HttpSettings, Shutdown, app, bind, documents, openapi, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A service with a few routes, on a port of its own.
struct Served {
    address: SocketAddr,
    shutdown: Shutdown,
    ready: Arc<AtomicBool>,
    /// Lets `/slow` answer.
    go_on: Arc<Notify>,
    /// Tells that `/slow` was asked.
    asked: Arc<Notify>,
    server: JoinHandle<()>,
}

impl Served {
    async fn start(settings: HttpSettings) -> Self {
        let (shutdown, ready) = (Shutdown::new(), Arc::new(AtomicBool::new(true)));
        let (go_on, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let health = Health::new(&shutdown, {
            let ready = Arc::clone(&ready);
            move || {
                if ready.load(Ordering::SeqCst) {
                    vec![]
                } else {
                    vec!["kafka".to_owned()]
                }
            }
        });
        let slow = {
            let (go_on, asked) = (Arc::clone(&go_on), Arc::clone(&asked));
            get(async move || {
                asked.notify_one();
                go_on.notified().await;
                "done"
            })
        };
        let routes = Router::new()
            .route("/hello", get(async || "hello"))
            .route("/body", post(async |body: Bytes| body.len().to_string()))
            .route(
                "/number/{n}",
                get(async |n: axum::extract::Path<u8>| n.to_string()),
            )
            .route(
                "/panic",
                get(async || {
                    if true {
                        panic!("a bug")
                    }
                }),
            )
            .route("/slow", slow);
        let file = ("/openapi.json", openapi::OpenApi::new("toy", "A toy.").finish());
        let routes = routes.merge(documents(vec![file], vec!["coat-lost".to_owned()]));
        let listener = bind("127.0.0.1:0".parse().unwrap(), &settings).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app(routes, health, &settings);
        let stop = shutdown.clone();
        let server = tokio::spawn(async move { serve(listener, app, &stop, &settings).await });
        Self {
            address,
            shutdown,
            ready,
            go_on,
            asked,
            server,
        }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }
}

/// A connection.
struct Client(TcpStream);

impl Client {
    /// Sends a head as it stands here, with `Host` and the empty line added.
    async fn send(&mut self, head: &str) {
        let (head, body) = head.split_once("\n\n").unwrap_or((head, ""));
        let head = head.replace('\n', "\r\n");
        let request = format!("{head}\r\nHost: test\r\n\r\n{body}");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    /// The next answer: the bodies here have a length.
    async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        Answer {
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// The status of the next answer, whatever follows it.
    async fn status(&mut self) -> u16 {
        let mut start = [0; 12];
        self.0.read_exact(&mut start).await.unwrap();
        std::str::from_utf8(&start[9..]).unwrap().parse().unwrap()
    }

    /// Whether the other side has closed it.
    async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]).await, Ok(0) | Err(_))
    }
}

/// An answer, its head in lower case.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[track_caller]
    fn problem(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.head
        );
        serde_json::from_str(&self.body).unwrap()
    }
}

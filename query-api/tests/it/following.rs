//! Answers that are read as they come.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// An answer that goes on.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: BodyDataStream,
    text: String,
}

/// A server-sent event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    pub id: String,
    pub kind: String,
    pub data: String,
    pub is_comment: bool,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

impl Stream {
    pub fn new(response: axum::response::Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// A part of the body, as it comes; `None` at its end.
    pub async fn part(&mut self) -> Option<Result<String, axum::Error>> {
        let part = tokio::time::timeout(Duration::from_secs(30), self.body.next());
        let part = part.await.expect("something within half a minute")?;
        Some(part.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    /// Whatever comes next, if only an id or a comment.
    pub async fn block(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let told = told(block);
                self.text = rest.to_owned();
                return Some(told);
            }
            let part = self.part().await?.unwrap();
            self.text += &part;
        }
    }

    /// The next event; `None` at the end.
    pub async fn event(&mut self) -> Option<Told> {
        loop {
            let told = self.block().await?;
            if !told.data.is_empty() {
                return Some(told);
            }
        }
    }

    pub async fn events(&mut self, count: usize) -> Vec<Told> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.event().await.expect("it goes on"));
        }
        events
    }

    /// All that is left.
    pub async fn rest(mut self) -> Result<String, axum::Error> {
        let mut text = std::mem::take(&mut self.text);
        while let Some(part) = self.part().await {
            text += &part?;
        }
        Ok(text)
    }
}

fn told(block: &str) -> Told {
    let mut told = Told::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => id.clone_into(&mut told.id),
            Some(("event", kind)) => kind.clone_into(&mut told.kind),
            Some(("data", data)) => told.data += data,
            Some(("", _)) => told.is_comment = true,
            _ => assert!(line.starts_with("retry: "), "{line}"),
        }
    }
    told
}

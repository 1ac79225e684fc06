//! Reading what one has written: a read waits until its view has come as far as the client has seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldline_core::personal::KeyId;
use foldline_core::{Token, TokenError};
use foldline_views::{CheckpointKey, Position, Snapshot, StoreError, is_view};
use tokio::time::{Instant, timeout_at};

use crate::known::{Here, Known, Seen};
use crate::readers::Readers;
use crate::watcher::{Following, Watcher};

/// What a read depends on: a projection, and the aggregate types whose positions count for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) projection: String,
    /// By their qualified names.
    pub(crate) aggregates: Vec<String>,
}

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The tokens, as they came: what is read must have seen all of them.
    pub(crate) tokens: Vec<String>,
    /// How long the client waits for it.
    pub(crate) wait: Duration,
}

/// What a client gets.
pub(crate) struct Shown<T> {
    pub(crate) value: T,
    /// What the view had seen when it was read.
    pub(crate) token: Seen,
}

/// Why it gets nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The history is being read anew: it cannot answer for what views show already.
    #[error("the history has not come as far as the views")]
    Overtaken,
    /// What is read has a value of this key in it.
    #[error("the key {0} of a personal value is not known, and was not erased")]
    UnknownKey(KeyId),
    #[error("the view {projection} has not come as far as the token")]
    Behind {
        projection: String,
        wanted: Token,
        seen: Seen,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads, and waits for what is to be read.
pub(crate) struct Consistent {
    readers: Arc<Readers>,
    watcher: Watcher,
}

/// One attempt.
enum Attempt<T> {
    Shown(Shown<T>),
    Behind { wanted: Token, seen: Seen },
    Overtaken,
    Token(TokenError),
}

impl Consistent {
    /// Call it in a runtime.
    pub(crate) fn new(readers: Arc<Readers>) -> Self {
        Self {
            watcher: Watcher::new(Arc::clone(&readers)),
            readers,
        }
    }

    /// Tells when something of the scope moves.
    pub(crate) fn follow(&self, scope: &Scope) -> Following {
        self.watcher.follow(scope)
    }

    /// Reads, as soon as the projection has seen what is asked for. `read` may take its time: it has a thread for it.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        scope: &Scope,
        asked: &Asked,
        read: impl Fn(&dyn Snapshot) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<Shown<T>, ReadError> {
        let deadline = Instant::now() + asked.wait;
        loop {
            let (at, tokens, read) = (scope.clone(), asked.tokens.clone(), read.clone());
            let attempt = self
                .readers
                .read(move |snapshot, known| attempt(snapshot, known, &at, &tokens, &read));
            if let Some(shown) = self.settle(attempt.await?, scope, deadline).await? {
                return Ok(shown);
            }
        }
    }

    /// The same for what is found by a key. It is read at once: see [`Readers::read_here`].
    pub(crate) async fn look_up<T>(
        &self,
        scope: &Scope,
        asked: &Asked,
        read: impl Fn(&dyn Snapshot) -> Result<T, StoreError>,
    ) -> Result<Shown<T>, ReadError> {
        let deadline = Instant::now() + asked.wait;
        loop {
            let attempt = self
                .readers
                .read_here(|snapshot, known| attempt(snapshot, known, scope, &asked.tokens, &read))?;
            if let Some(shown) = self.settle(attempt, scope, deadline).await? {
                return Ok(shown);
            }
        }
    }

    /// What an attempt has shown; `None` if another one is due now, because the projection has come as far.
    async fn settle<T>(
        &self,
        attempt: Attempt<T>,
        scope: &Scope,
        deadline: Instant,
    ) -> Result<Option<Shown<T>>, ReadError> {
        let (wanted, seen) = match attempt {
            Attempt::Shown(shown) => return Ok(Some(shown)),
            Attempt::Token(error) => return Err(error.into()),
            Attempt::Overtaken => return Err(ReadError::Overtaken),
            Attempt::Behind { wanted, seen } => (wanted, seen),
        };
        if self.reaches(scope, &wanted, deadline).await {
            return Ok(None);
        }
        let projection = scope.projection.clone();
        metrics::counter!("query_reads_behind_total", "projection" => projection.clone()).increment(1);
        Err(ReadError::Behind {
            projection,
            wanted,
            seen,
        })
    }

    /// Waits until the projection has seen it. False if the time is up first.
    async fn reaches(&self, scope: &Scope, wanted: &Token, deadline: Instant) -> bool {
        let mut progress = self.watcher.reads();
        let reached = async {
            // Only news count: what was read before we came may be of a file that is gone.
            while progress.changed().await.is_ok() {
                if scope
                    .seen("", &progress.borrow_and_update().positions)
                    .covers(wanted)
                {
                    return;
                }
            }
        };
        timeout_at(deadline, reached).await.is_ok()
    }
}

fn attempt<T>(
    snapshot: &dyn Snapshot,
    known: &mut Known,
    scope: &Scope,
    tokens: &[String],
    read: impl Fn(&dyn Snapshot) -> Result<T, StoreError>,
) -> Result<Attempt<T>, StoreError> {
    let Here {
        cluster,
        seen,
        is_overtaken,
    } = known.here(snapshot, scope)?;
    let mut wanted = Token::new(&cluster);
    for text in tokens {
        match Token::parse(text, &cluster) {
            Ok(token) => wanted.join(&token),
            Err(error) => return Ok(Attempt::Token(error)),
        }
    }
    let wanted = scope.only(&cluster, &wanted);
    if !seen.covers(&wanted) {
        return Ok(Attempt::Behind { wanted, seen });
    }
    if is_overtaken {
        return Ok(Attempt::Overtaken);
    }
    let value = read(snapshot)?;
    Ok(Attempt::Shown(Shown { value, token: seen }))
}

impl Scope {
    /// Whether the checkpoint is of the projection, and counts.
    pub(crate) fn covers(&self, key: &CheckpointKey) -> bool {
        key.projection == self.projection && self.has(&key.aggregate)
    }

    fn has(&self, aggregate: &str) -> bool {
        self.aggregates.iter().any(|name| name == aggregate)
    }

    /// What the projection has seen.
    pub(crate) fn seen(&self, cluster: &str, positions: &[(CheckpointKey, Position)]) -> Token {
        let mut token = Token::new(cluster);
        for (key, position) in positions {
            // Before its first event, a partition has seen nothing.
            if self.covers(key) && position.command_offset >= 0 {
                token.see(&key.aggregate, key.partition, position.command_offset);
            }
        }
        token
    }

    /// Of the history: whether a view that is served has read more of these aggregates. They are written together, so the
    /// history is then being read anew, and knows less than clients have been shown.
    pub(crate) fn is_overtaken(&self, positions: &[(CheckpointKey, Position)]) -> bool {
        let own = positions.iter().filter(|(key, _)| self.covers(key));
        let read: HashMap<(&str, i32), i64> = own
            .map(|(key, position)| ((key.aggregate.as_str(), key.partition), position.next_offset))
            .collect();
        positions.iter().any(|(key, position)| {
            let place = (key.aggregate.as_str(), key.partition);
            let is_source = is_view(&key.projection) && self.has(&key.aggregate);
            is_source && read.get(&place).copied().unwrap_or_default() < position.next_offset
        })
    }

    /// The part of a token that the projection can have seen.
    fn only(&self, cluster: &str, token: &Token) -> Token {
        let mut part = Token::new(cluster);
        for (aggregate, partition, offset) in token.positions() {
            if self.has(aggregate) {
                part.see(aggregate, partition, offset);
            }
        }
        part
    }
}

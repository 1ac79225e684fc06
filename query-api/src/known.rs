//! What almost every read asks for, made once for each version of the store instead of for each read.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use foldline_core::Token;
use foldline_views::{Snapshot, StoreError, Version};

use crate::consistency::Scope;
use crate::watcher::Positions;

/// What a view had seen when it was read: a token, and its text, which every answer carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<(Token, String)>);

/// What a scope has seen, in which cluster.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) cluster: Arc<str>,
    pub(crate) seen: Seen,
}

/// What is known of the version that a reader showed last. It is never of another one.
#[derive(Default)]
pub(crate) struct Known {
    version: Option<Version>,
    here: HashMap<Scope, Here>,
    positions: Option<Arc<Positions>>,
}

impl Known {
    /// What was known of another version is forgotten.
    pub(crate) fn is_of(&mut self, version: Version) {
        if self.version != Some(version) {
            *self = Self {
                version: Some(version),
                ..Self::default()
            };
        }
    }

    /// What a scope has seen. The snapshot must be of this version.
    pub(crate) fn here(&mut self, snapshot: &dyn Snapshot, scope: &Scope) -> Result<Here, StoreError> {
        if let Some(here) = self.here.get(scope) {
            return Ok(here.clone());
        }
        let cluster = snapshot.cluster_id()?;
        let positions = snapshot.positions(&scope.projection)?;
        let here = Here {
            seen: Seen::from(scope.seen(&cluster, &positions)),
            cluster: cluster.into(),
        };
        self.here.insert(scope.clone(), here.clone());
        Ok(here)
    }

    /// Where all projections stand. The snapshot must be of this version.
    pub(crate) fn positions(&mut self, snapshot: &dyn Snapshot) -> Result<Arc<Positions>, StoreError> {
        let positions = match self.positions.take() {
            Some(positions) => positions,
            None => Arc::new(snapshot.all_positions()?),
        };
        Ok(Arc::clone(self.positions.insert(positions)))
    }
}

impl From<Token> for Seen {
    fn from(token: Token) -> Self {
        let text = token.to_string();
        Self(Arc::new((token, text)))
    }
}

impl Deref for Seen {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.0.0
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.1)
    }
}

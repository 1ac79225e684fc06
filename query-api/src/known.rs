//! What almost every read asks for, made once for each version of the store instead of for each read.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use foldline_core::Token;
use foldline_views::{HISTORY, Snapshot, StoreError, Version};

use crate::consistency::Scope;
use crate::watcher::Standing;

/// What a view had seen when it was read: a token, and its text, which every answer carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<(Token, String)>);

/// What a scope has seen, in which cluster.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) cluster: Arc<str>,
    pub(crate) seen: Seen,
    /// See [`Scope::is_overtaken`]; never of a view.
    pub(crate) is_overtaken: bool,
}

/// What is known of the version that a reader showed last. It is never of another one.
#[derive(Default)]
pub(crate) struct Known {
    version: Option<Version>,
    here: HashMap<Scope, Here>,
    standing: Option<Arc<Standing>>,
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
        let is_history = scope.projection == HISTORY;
        let here = Here {
            seen: Seen::from(scope.seen(&cluster, &positions)),
            cluster: cluster.into(),
            is_overtaken: is_history && scope.is_overtaken(&self.standing(snapshot)?.positions),
        };
        self.here.insert(scope.clone(), here.clone());
        Ok(here)
    }

    /// Where all projections stand, and what is served. The snapshot must be of this version.
    pub(crate) fn standing(&mut self, snapshot: &dyn Snapshot) -> Result<Arc<Standing>, StoreError> {
        let standing = match self.standing.take() {
            Some(standing) => standing,
            None => Arc::new(Standing {
                positions: snapshot.all_positions()?,
                served: snapshot.served_generations()?,
            }),
        };
        Ok(Arc::clone(self.standing.insert(standing)))
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

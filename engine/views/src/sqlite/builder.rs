//! Builds a generation beside the one that is served, and serves it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::Path;

use foldline_core::ViewInfo;
use rusqlite::{Connection, TransactionBehavior};

use super::generations::{self, Targets};
use super::guard::{Built, Guard};
use super::writer::SqliteWriter;
use super::{database, reader, schema};
use crate::{
    Build, CheckpointKey, CommitError, HeldBuilder, OpenError, Position, ServeError, StoreError, ViewBuilder,
};

impl SqliteWriter<Connection> {
    /// A builder of this view.
    pub(super) fn building(
        mut connection: Connection,
        path: &Path,
        view: &ViewInfo,
        build: Build<'_>,
        cluster_id: &str,
    ) -> Result<Self, OpenError> {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(database)?;
        schema::check_owner(&transaction, path, cluster_id)?;
        let generation = chosen(&transaction, view, build)?;
        let epoch = generations::next_epoch(&transaction, view.name, generation).map_err(database)?;
        transaction.commit().map_err(database)?;
        let built = Built {
            view: view.name.to_owned(),
            generation,
            epoch,
        };
        let targets = Targets::only(view, generation);
        Ok(Self::new(connection, path, targets, Guard::Built(built)))
    }

    fn built(&self) -> &Built {
        match &self.guard {
            Guard::Built(built) | Guard::Held { built, .. } => built,
            Guard::Served { .. } => unreachable!("a builder is made with what it builds"),
        }
    }
}

/// The generation to build. What was begun and never served makes room for it.
fn chosen(connection: &Connection, view: &ViewInfo, build: Build<'_>) -> Result<i64, StoreError> {
    let all = generations::all(connection).map_err(database)?;
    let of_view: Vec<_> = all
        .iter()
        .filter(|generation| generation.view == view.name)
        .collect();
    let (wanted, program) = match build {
        Build::Kept(number) => {
            let is_there = of_view.iter().any(|generation| generation.number == number);
            return is_there
                .then_some(number)
                .ok_or_else(|| StoreError::NoGeneration {
                    view: view.name.to_owned(),
                    generation: number,
                });
        }
        Build::Anew { program } => (None, program),
        Build::Resume { program } => {
            let begun = of_view.iter().rfind(|generation| {
                generation.served_at.is_none() && generation.is_made_by(view) && generation.program == program
            });
            (begun.map(|generation| generation.number), program)
        }
    };
    for never_served in of_view.iter().filter(|generation| generation.served_at.is_none()) {
        if wanted != Some(never_served.number) {
            generations::remove(connection, view.name, never_served.number).map_err(database)?;
        }
    }
    match wanted {
        Some(number) => Ok(number),
        None => generations::make(connection, view, program).map_err(database),
    }
}

impl ViewBuilder for SqliteWriter<Connection> {
    fn generation(&self) -> i64 {
        self.built().generation
    }

    fn hold(&mut self) -> Result<Box<dyn HeldBuilder + '_>, StoreError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(database)?;
        let guard = Guard::Held {
            built: self.built().clone(),
            is_open: true,
        };
        Ok(Box::new(SqliteWriter {
            copier: None,
            connection: &mut self.connection,
            place: self.place.clone(),
            targets: self.targets.clone(),
            beside: Vec::new(),
            guard,
        }))
    }
}

impl HeldBuilder for SqliteWriter<&mut Connection> {
    fn served(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError> {
        let Guard::Held { built, .. } = &self.guard else {
            return Ok(HashMap::new());
        };
        served_positions(self.connection, &built.view)
    }

    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let refused = |error| match error {
            CommitError::Store(error) => ServeError::Store(error),
            other => ServeError::Store(StoreError::Database(other.into())),
        };
        self.check_lock().map_err(refused)?;
        self.guard
            .check(self.connection, &self.targets)
            .map_err(refused)?;
        let Guard::Held { built, is_open } = &mut self.guard else {
            return Ok(());
        };
        let own: HashMap<_, _> = reader::positions_of(self.connection, &built.view, built.generation)?
            .into_iter()
            .collect();
        let covers = |(key, position): (CheckpointKey, Position)| {
            own.get(&key)
                .is_some_and(|own| own.next_offset >= position.next_offset)
        };
        if !served_positions(self.connection, &built.view)?
            .into_iter()
            .all(covers)
        {
            return Err(ServeError::Behind {
                view: built.view.clone(),
                generation: built.generation,
            });
        }
        generations::serve(self.connection, &built.view, built.generation).map_err(database)?;
        self.connection.execute_batch("COMMIT").map_err(database)?;
        *is_open = false;
        Ok(())
    }
}

fn served_positions(
    connection: &Connection,
    view: &str,
) -> Result<HashMap<CheckpointKey, Position>, StoreError> {
    match generations::served_number(connection, view).map_err(database)? {
        Some(number) => Ok(reader::positions_of(connection, view, number)?
            .into_iter()
            .collect()),
        None => Ok(HashMap::new()),
    }
}

impl<C: Borrow<Connection>> Drop for SqliteWriter<C> {
    fn drop(&mut self) {
        if let Guard::Held { is_open: true, .. } = self.guard
            && let Err(error) = self.connection.borrow().execute_batch("ROLLBACK")
        {
            // The connection closes, which does the same.
            tracing::warn!(%error, "a transaction could not be given up");
        }
    }
}

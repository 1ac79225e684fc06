//! What a person decides: small changes, each one transaction.

use rusqlite::{Connection, TransactionBehavior, params};

use super::database;
use super::generations;
use crate::{DeskError, ParkedKey, StoreError, ViewDesk};

/// In this file.
pub(super) struct SqliteDesk(pub(super) Connection);

impl SqliteDesk {
    fn change(
        &mut self,
        view: &str,
        generation: i64,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), DeskError> {
        let transaction = self
            .0
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(database)?;
        let (view, is_served) = (view.to_owned(), |served: Option<i64>| served == Some(generation));
        if generations::epoch(&transaction, &view, generation)
            .map_err(database)?
            .is_none()
        {
            return Err(StoreError::NoGeneration { view, generation }.into());
        }
        if is_served(generations::served_number(&transaction, &view).map_err(database)?) {
            return Err(DeskError::Served { view, generation });
        }
        change(&transaction).map_err(database)?;
        transaction.commit().map_err(database)?;
        Ok(())
    }

    /// Of the generation that is served, or of the history.
    fn mark(&mut self, key: &ParkedKey, set: &str, value: Option<&str>) -> Result<(), DeskError> {
        let sql = format!(
            "UPDATE parked SET {set} WHERE projection = ?1 AND aggregate = ?2 AND id = ?3 AND generation =
             ifnull((SELECT generation FROM served WHERE view = ?1), 0)"
        );
        let found = match value {
            Some(value) => self.0.execute(
                &sql,
                params![key.projection, key.aggregate, key.id.as_str(), value],
            ),
            None => self
                .0
                .execute(&sql, params![key.projection, key.aggregate, key.id.as_str()]),
        };
        if found.map_err(database)? == 0 {
            return Err(DeskError::NotParked(key.clone()));
        }
        Ok(())
    }
}

impl ViewDesk for SqliteDesk {
    fn serve(&mut self, view: &str, generation: i64) -> Result<(), DeskError> {
        self.change(view, generation, |connection| {
            generations::serve(connection, view, generation)
        })
    }

    fn remove(&mut self, view: &str, generation: i64) -> Result<(), DeskError> {
        self.change(view, generation, |connection| {
            generations::remove(connection, view, generation)
        })
    }

    fn retry(&mut self, parked: &ParkedKey) -> Result<(), DeskError> {
        self.mark(parked, "retry = 1", None)
    }

    fn drop_parked(&mut self, parked: &ParkedKey, reason: &str) -> Result<(), DeskError> {
        self.mark(parked, "dropped = ?4, retry = 0", Some(reason))
    }
}

//! The embedded store: one SQLite file in WAL mode, one writer, any number of readers.

mod builder;
mod columns;
mod commands;
mod desk;
mod feed;
mod generations;
mod guard;
mod history;
mod list;
mod parked;
mod reader;
mod rows;
mod schema;
mod served;
mod upgrade;
mod wal;
mod writer;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foldline_core::{Domains, ViewInfo};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{Build, OpenError, StoreError, ViewBuilder, ViewDesk, ViewReader, ViewStore, ViewWriter};
use desk::SqliteDesk;
use guard::Guard;
use reader::SqliteReader;
use wal::Copier;
use writer::SqliteWriter;

/// Views and history in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
}

/// How long one connection waits for another one's lock. Commits take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a connection keeps compiled: lists have one for each combination of filters and order.
const STATEMENTS_MAX: usize = 256;

/// What the writer keeps of the file in memory, in KiB. Ids are spread over the indexes: with less, it reads pages
/// again and again that it has just written.
const WRITER_CACHE_KIB: i64 = 24 * 1024;

/// How many pages the log may have before it is copied into the file. A page that many commits touch is then copied
/// once; more would only make the log long.
const WAL_PAGES: i32 = 8 * 1024;

impl SqliteStore {
    /// The store in this file. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl ViewStore for SqliteStore {
    fn writer(&self, domains: &Domains, cluster_id: &str) -> Result<Box<dyn ViewWriter>, OpenError> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|error| StoreError::Database(error.into()))?;
        }
        let mut connection = self.connect_to_write(OpenFlags::default())?;
        let prepared = schema::prepare(&mut connection, &self.path, domains, cluster_id)?;
        let guard = Guard::Served {
            epoch: prepared.epoch,
        };
        let copier = Copier::start(
            &connection,
            self.connect_to_write(OpenFlags::default())?,
            WAL_PAGES,
        );
        let mut writer = SqliteWriter::new(connection, &self.path, prepared.targets, guard);
        writer.beside = prepared.beside;
        writer.copier = Some(copier.map_err(|error| StoreError::Database(error.into()))?);
        Ok(Box::new(writer))
    }

    fn builder(
        &self,
        view: &ViewInfo,
        build: Build<'_>,
        cluster_id: &str,
    ) -> Result<Box<dyn ViewBuilder>, OpenError> {
        let connection = self.connect_to_existing()?;
        let builder = SqliteWriter::building(connection, &self.path, view, build, cluster_id)?;
        Ok(Box::new(builder))
    }

    fn desk(&self) -> Result<Box<dyn ViewDesk>, StoreError> {
        Ok(Box::new(SqliteDesk(self.connect_to_existing()?)))
    }

    fn reader(&self) -> Result<Box<dyn ViewReader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }
}

impl SqliteStore {
    /// A file that the projector has made.
    fn connect_to_existing(&self) -> Result<Connection, StoreError> {
        drop(SqliteReader::open(&self.path)?);
        self.connect_to_write(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
    }

    fn connect_to_write(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        let connection = connect(&self.path, flags).map_err(database)?;
        connection
            .pragma_update(None, "journal_mode", "wal")
            .and_then(|()| connection.pragma_update(None, "synchronous", "normal"))
            .and_then(|()| connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB))
            .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES))
            .map_err(database)?;
        Ok(connection)
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A column that is not there is an error, not the text of its name.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // Else a statement is compiled again for each new value that it is asked with, because a partial index might suit that.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// What projectors call the file. An error of SQLite does not say which one it is about.
const NAME: &str = "views.db";

fn database(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
            what: format!("what SQLite cannot read ({error})"),
            place: NAME.to_owned(),
        },
        _ => StoreError::Database(error.into()),
    }
}

/// Whether an error of the database is that what was to be written breaks a rule of the tables.
pub(crate) fn breaks_a_rule(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<rusqlite::Error>();
    let code = error.and_then(rusqlite::Error::sqlite_error_code);
    code == Some(ErrorCode::ConstraintViolation)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use crate::conformance::toy::event;
    use crate::conformance::{Fixture, view_store_suite};
    use crate::{Batch, CommitError, OpenError, StoreError, ViewStore};

    use super::SqliteStore;

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(folder.path().join("data").join("views.db"));
        Fixture::new(store, folder)
    }

    view_store_suite!(super::fixture);

    #[test]
    fn a_reader_follows_when_the_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(folder.path().join("views.db"));
        let domains = foldline_core::Domains::new([]).unwrap();
        drop(store.writer(&domains, "before").unwrap());
        let mut reader = store.reader().unwrap();
        assert_eq!(reader.snapshot().unwrap().cluster_id().unwrap(), "before");
        let before = reader.snapshot().unwrap().version();

        for file in fs::read_dir(folder.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        until(|| matches!(reader.snapshot().err(), Some(StoreError::NotThere(_))));
        let _writer = store.writer(&domains, "after").unwrap();
        until(|| reader.snapshot().unwrap().cluster_id().unwrap() == "after");
        assert_ne!(reader.snapshot().unwrap().version(), before);
    }

    /// A reader looks from time to time.
    fn until(mut is_so: impl FnMut() -> bool) {
        let began_at = Instant::now();
        while !is_so() {
            assert!(began_at.elapsed() < Duration::from_secs(10));
        }
    }

    /// That it does not pass, and what is to be removed.
    fn is_told(error: &StoreError) {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(!error.may_pass());
        let text = error.to_string();
        for file in [
            "remove views.db, ",
            "views.db-wal",
            "views.db-shm",
            "stop the query API",
        ] {
            assert!(text.contains(file), "{text}");
        }
    }

    #[test]
    fn what_is_no_database_any_more_is_told_with_what_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        fs::write(&path, "this is no database".repeat(1000)).unwrap();
        let store = SqliteStore::new(&path);
        let domains = foldline_core::Domains::new([]).unwrap();
        let Err(OpenError::Store(error)) = store.writer(&domains, "cluster") else {
            panic!("it is written to");
        };
        is_told(&error);
        is_told(&store.reader().err().expect("it is read"));
    }

    #[test]
    fn a_database_with_damaged_pages_is_told_with_what_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let store = SqliteStore::new(&path);
        let domains = foldline_core::Domains::new([]).unwrap();
        drop(store.writer(&domains, "cluster").unwrap());
        let mut bytes = fs::read(&path).unwrap();
        // All but the file's header.
        bytes[100..].fill(0xff);
        fs::write(&path, bytes).unwrap();
        let Err(OpenError::Store(error)) = store.writer(&domains, "cluster") else {
            panic!("it is written to");
        };
        is_told(&error);
        is_told(&store.reader().err().expect("it is read"));
    }

    #[test]
    fn a_lock_may_pass_and_a_broken_rule_does_not() {
        let fixture = fixture();
        let twice = Batch {
            history: vec![event("a", 1), event("a", 1)],
            ..Batch::default()
        };
        let Err(CommitError::Store(error)) = fixture.writer().commit(&twice) else {
            panic!("an event is there twice");
        };
        assert!(!error.may_pass(), "{error}");
        assert!(StoreError::Database("database is locked".into()).may_pass());
    }
}

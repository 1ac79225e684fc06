//! The write-ahead log, copied into the file by a thread of its own while commits go on.
//!
//! SQLite has it done by whichever commit makes the log too long, which then waits for the disk. The log begins anew only once
//! all of it is copied, and by the time that the thread has copied what there was, there may be more: a commit or two. It is
//! asked again for those, and has time for it until the next commit is written to the log, which is the last thing that a commit does. If
//! it is late each time, or not there any more, a commit copies.

use std::cell::Cell;
use std::ffi::c_int;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

/// How often the thread is asked before a commit copies what the thread has left.
const TRIES_MAX: u32 = 3;

thread_local! {
    /// How many pages the log had after this thread's last commit: SQLite tells it during the commit, and to a plain function.
    static PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// Who copies. The thread ends with it.
pub(super) struct Copier {
    pages_max: c_int,
    is_copying: Arc<AtomicBool>,
    /// How often the thread was asked since the log was short.
    tries: Cell<u32>,
    ask: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// From now on `writer` copies nothing by itself; `copier` is a connection of its own to the same file. The log may have so
    /// many pages before it is copied.
    pub(super) fn start(writer: &Connection, copier: Connection, pages_max: c_int) -> io::Result<Self> {
        // In the place of SQLite's own, which copies.
        writer.wal_hook(Some(note));
        let is_copying = Arc::new(AtomicBool::new(false));
        let (ask, asked) = channel();
        let of_thread = Arc::clone(&is_copying);
        let thread = thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || copy_when_asked(&copier, &asked, &of_thread))?;
        Ok(Self {
            pages_max,
            is_copying,
            tries: Cell::new(0),
            ask: Some(ask),
            thread: Some(thread),
        })
    }

    /// `writer` has just committed, on this thread.
    pub(super) fn committed(&self, writer: &Connection) {
        if PAGES.get() < self.pages_max {
            self.tries.set(0);
            return;
        }
        let is_alive = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if is_alive && self.is_copying.load(Ordering::SeqCst) {
            return;
        }
        if is_alive && self.tries.get() < TRIES_MAX {
            self.tries.set(self.tries.get() + 1);
            self.is_copying.store(true, Ordering::SeqCst);
            // It fails only if the thread has ended just now, which the next commit finds.
            let _ = self.ask.as_ref().map(|ask| ask.send(()));
            return;
        }
        copy(writer);
        self.tries.set(0);
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn note(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    PAGES.set(pages);
    Ok(())
}

fn copy_when_asked(connection: &Connection, asked: &Receiver<()>, is_copying: &AtomicBool) {
    while asked.recv().is_ok() {
        copy(connection);
        is_copying.store(false, Ordering::SeqCst);
    }
}

/// As much as can be, without waiting for readers or for the writer. What fails now, as on a full disk, is done by a later one.
fn copy(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::debug!(%error, "the write-ahead log is not copied yet");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::Ordering;
    use std::sync::mpsc::channel;

    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::{Copier, copy};

    const PAGES: i32 = 20;
    /// KB of a log that begins anew: some 4,000 are written to it.
    const SHORT: u64 = 400;

    fn open(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection
    }

    fn database() -> (TempDir, PathBuf, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let writer = open(&file);
        writer.execute_batch("CREATE TABLE big (bytes)").unwrap();
        (folder, file, writer)
    }

    /// Adds two pages or so.
    fn write(connection: &Connection) {
        connection
            .execute("INSERT INTO big VALUES (zeroblob(4096))", [])
            .unwrap();
    }

    fn kilobytes(path: &Path) -> u64 {
        fs::metadata(path).unwrap().len() / 1024
    }

    #[test]
    fn a_log_begins_anew_though_more_is_committed_each_time_while_it_is_copied() {
        let (folder, file, writer) = database();
        let log = folder.path().join("a.db-wal");
        let mut copier = Copier::start(&writer, open(&file), PAGES).unwrap();
        // This one in the thread's place, which waits.
        let (ask, asked) = channel();
        let _waits = copier.ask.replace(ask);
        let (thread, reader) = (open(&file), open(&file));
        for _ in 0..500 {
            write(&writer);
            copier.committed(&writer);
            if asked.try_recv().is_ok() {
                // What this reader does not see yet is not copied, as if it came later.
                reader.execute_batch("BEGIN; SELECT * FROM big LIMIT 1").unwrap();
                write(&writer);
                copy(&thread);
                reader.execute_batch("ROLLBACK").unwrap();
                copier.is_copying.store(false, Ordering::SeqCst);
            }
        }
        assert!(kilobytes(&log) < SHORT, "{} KB", kilobytes(&log));
    }

    #[test]
    fn the_rest_is_copied_by_the_thread_too_if_no_commit_comes_between() {
        let (folder, file, writer) = database();
        let mut copier = Copier::start(&writer, open(&file), PAGES).unwrap();
        let (ask, asked) = channel();
        let _waits = copier.ask.replace(ask);
        let thread = open(&file);
        let mut asks = 0;
        for _ in 0..500 {
            write(&writer);
            copier.committed(&writer);
            if asked.try_recv().is_ok() {
                asks += 1;
                copy(&thread);
                copier.is_copying.store(false, Ordering::SeqCst);
                assert!(copier.tries.get() <= 1, "the log has begun anew each time");
            }
        }
        assert!(asks > 500 * 2 / PAGES / 2, "{asks}");
        assert!(kilobytes(&folder.path().join("a.db-wal")) < SHORT);
    }

    #[test]
    fn nothing_is_lost_while_two_copy() {
        let (_folder, file, writer) = database();
        let copier = Copier::start(&writer, open(&file), PAGES).unwrap();
        for _ in 0..1_000 {
            write(&writer);
            copier.committed(&writer);
        }
        drop((copier, writer));
        assert!(kilobytes(&file) > 1_000 * 4, "{} KB", kilobytes(&file));
        let found = open(&file);
        let one = |sql| found.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(
            one("SELECT count(*) || '' FROM big WHERE length(bytes) = 4096"),
            "1000"
        );
        assert_eq!(one("PRAGMA integrity_check"), "ok");
    }

    #[test]
    fn a_log_is_copied_by_commits_when_the_thread_has_ended() {
        let (folder, file, writer) = database();
        let log = folder.path().join("a.db-wal");
        let mut copier = Copier::start(&writer, open(&file), PAGES).unwrap();
        // As if it were copying.
        copier.is_copying.store(true, Ordering::SeqCst);
        copier.ask = None;
        copier.thread.take().unwrap().join().unwrap();
        for _ in 0..1_000 {
            write(&writer);
            copier.committed(&writer);
        }
        assert!(kilobytes(&log) < SHORT, "{} KB", kilobytes(&log));
    }
}

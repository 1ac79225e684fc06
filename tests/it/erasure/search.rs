use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use fjall::{Database, KeyspaceCreateOptions};

/// The files that hold one of these texts, each with the text. By grep, because a build for tests would take minutes.
pub(super) fn hits(folders: &[PathBuf], texts: &[String]) -> Vec<(PathBuf, String)> {
    let mut patterns = tempfile::NamedTempFile::new().expect("a file");
    patterns.write_all(texts.join("\n").as_bytes()).expect("a file");
    let mut grep = Command::new("grep");
    // Indexes hold offsets and times, in files of megabytes. What goes while it is looked at is not there.
    grep.args(["-r", "-a", "-o", "-s", "-F", "--exclude=*index", "-f"]);
    let output = grep
        .arg(patterns.path())
        .args(folders)
        .output()
        .expect("grep runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<(PathBuf, String)> = said.lines().filter_map(hit).collect();
    found.dedup();
    found
}

/// `path:text`
fn hit(line: &str) -> Option<(PathBuf, String)> {
    let (path, text) = line.rsplit_once(':')?;
    Some((path.into(), text.to_owned()))
}

/// Panics unless each of the texts is in a file, and all of those files are in folders that are called so.
#[track_caller]
pub(super) fn the_only_hits(folders: &[PathBuf], texts: &[String], allowed: &[&str]) {
    let found = hits(folders, texts);
    for text in texts {
        assert!(
            found.iter().any(|(_, hit)| hit == text),
            "{text} was not found, so the search is blind"
        );
    }
    let is_allowed = |path: &Path| {
        let folder = path
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        allowed.iter().any(|allowed| folder.contains(allowed))
    };
    let wrong: Vec<_> = found.iter().filter(|(path, _)| !is_allowed(path)).collect();
    assert!(wrong.is_empty(), "in the clear: {wrong:?}");
}

/// All values of a state store that nobody has open: its files are compressed.
pub(super) fn values_of(store: &Path) -> Vec<u8> {
    let copy = tempfile::tempdir().expect("a folder");
    copy_all(store, copy.path());
    let database = Database::builder(copy.path()).open().expect("a state store");
    let mut values = Vec::new();
    for name in ["states", "results", "unread", "positions", "meta"] {
        let keyspace = database
            .keyspace(name, KeyspaceCreateOptions::default)
            .expect("a keyspace");
        for entry in keyspace.prefix([]) {
            values.extend_from_slice(&entry.value().expect("a value"));
        }
    }
    values
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}

use std::fs;
use std::path::{Path, PathBuf};

/// The files that hold one of these texts, each with the text.
pub(super) fn hits(folders: &[PathBuf], texts: &[String]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    folders
        .iter()
        .for_each(|folder| search(folder, texts, &mut found));
    found
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

fn search(path: &Path, texts: &[String], found: &mut Vec<(PathBuf, String)>) {
    // What goes while it is looked at is not there.
    let Ok(entries) = fs::read_dir(path) else {
        let bytes = fs::read(path).unwrap_or_default();
        let holds = |text: &&String| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
        found.extend(
            texts
                .iter()
                .filter(holds)
                .map(|text| (path.to_owned(), text.clone())),
        );
        return;
    };
    for entry in entries.flatten() {
        search(&entry.path(), texts, found);
    }
}

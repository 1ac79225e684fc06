//! Code and `schemas/` agree, and every version that was ever kept still fits.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use foldline_core::{ASYNC_API_FILE, async_api_text, contracts, next_schema_files};
use foldline_domains::installed;

use crate::folder;

fn read(file: &Path) -> Option<String> {
    fs::read_to_string(folder("schemas").join(file)).ok()
}

#[test]
fn the_newest_kept_schemas_are_those_of_the_code() {
    let missing = next_schema_files(&installed(), read);
    if std::env::var_os("FOLDLINE_WRITE_SCHEMAS").is_some() {
        for (file, schema) in &missing {
            let file = folder("schemas").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, schema).unwrap();
        }
        return;
    }
    let missing: Vec<&PathBuf> = missing.iter().map(|(file, _)| file).collect();
    assert!(
        missing.is_empty(),
        "{missing:?} would differ from what is kept in schemas/: if that is meant, run `cargo run -- schemas write`"
    );
}

#[test]
fn the_kept_document_of_the_topics_is_that_of_the_code() {
    if std::env::var_os("FOLDLINE_WRITE_SCHEMAS").is_some() {
        fs::write(
            folder("schemas").join(ASYNC_API_FILE),
            async_api_text(&installed()),
        )
        .unwrap();
        return;
    }
    assert!(
        read(Path::new(ASYNC_API_FILE)) == Some(async_api_text(&installed())),
        "schemas/{ASYNC_API_FILE} differs from what the code says: run `cargo run -- schemas write`"
    );
}

#[test]
fn every_version_fits_all_before_it() {
    let conflicts: Vec<String> = contracts(&installed())
        .iter()
        .flat_map(|contract| contract.conflicts(&contract.kept(read)))
        .collect();
    assert_eq!(
        conflicts, [""; 0],
        "a new version must be readable beside the old ones"
    );
}

#[test]
fn no_schema_is_an_orphan() {
    let known: BTreeSet<PathBuf> = contracts(&installed())
        .iter()
        .flat_map(|contract| (1..=contract.kept(read).len()).map(|version| contract.file(version)))
        .collect();
    let mut found = BTreeSet::new();
    files_below(&folder("schemas"), Path::new(""), &mut found);
    assert_eq!(
        found, known,
        "schemas/ holds what no installed domain has, or lacks a version"
    );
}

fn files_below(root: &Path, path: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(root.join(path)).unwrap() {
        let path = path.join(entry.unwrap().file_name());
        if root.join(&path).is_dir() {
            files_below(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "avsc") {
            found.insert(path);
        }
    }
}

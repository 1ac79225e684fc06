//! Lists the pages of `docs/errors/`, so that a new page needs no line anywhere else.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let folder = folder.canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|end| end == "md") {
            pages.push(file);
        }
    }
    pages.sort();
    let mut list = String::from("&[\n");
    for file in pages {
        let code = file.file_stem().unwrap_or_default().display().to_string();
        // Writing to a string does not fail.
        let _ = writeln!(list, "    ({code:?}, include_str!({file:?})),");
    }
    list.push(']');
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("pages.rs"), list)
}

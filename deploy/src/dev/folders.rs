use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use super::DevOptions;

const HOME: &str = ".foldline";

/// Where things are kept.
pub(crate) struct Folders {
    cache: PathBuf,
    data: PathBuf,
    /// Removed when this is dropped.
    ephemeral: Option<TempDir>,
}

impl Folders {
    /// Makes what is not there.
    pub(crate) fn open(options: &DevOptions) -> anyhow::Result<Self> {
        let home = home()?;
        let cache = options.cache.clone().unwrap_or_else(|| home.join("cache"));
        let (data, ephemeral) = if options.ephemeral {
            let folder = tempfile::Builder::new().prefix("foldline-").tempdir();
            let folder = folder.context("cannot make a temporary folder")?;
            (folder.path().to_owned(), Some(folder))
        } else {
            (options.data.clone().unwrap_or_else(|| home.join("data")), None)
        };
        fs::create_dir_all(&data).with_context(|| format!("cannot make the folder {}", data.display()))?;
        Ok(Self {
            cache,
            data: data.canonicalize()?,
            ephemeral,
        })
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral.is_some()
    }
}

/// `.foldline` of the current folder, or of the nearest one above that has it: `cargo run` in a folder of the
/// workspace goes on with the workspace's data.
fn home() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let known = here
        .ancestors()
        .map(|folder| folder.join(HOME))
        .find(|home| home.is_dir());
    Ok(known.unwrap_or_else(|| here.join(HOME)))
}

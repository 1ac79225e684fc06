//! What Java makes of the programs' classes, kept in files for the next starts: they need not be
//! read and checked again, which is much of a start (class data sharing, <https://openjdk.org/jeps/350>).
//!
//! There is one for each program and each Java, made by a run that serves nobody. Java looks by itself whether one is its
//! own and of the same jars, and goes on without if it is not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::{Programs, fnv1a, lock};
use crate::server::Kind;
use crate::tools::Java;
use crate::{Port, Progress, Server, StackError, StackOptions, Step};

/// Where the programs run that write the files.
const RUNS: &str = "recording";

/// What a start has to do with the file of its program.
#[derive(Debug, Clone, Default)]
pub(crate) enum ClassData {
    /// There is none.
    #[default]
    None,
    /// Reads it.
    Read(PathBuf),
    /// Writes it at its end.
    Write(PathBuf),
}

impl ClassData {
    /// That of the program, if it has been made.
    pub(crate) fn of(kind: Kind, programs: &Programs, java: &Java) -> Self {
        let file = file(kind, programs, java);
        // An empty one says that this Java could not make it.
        match fs::metadata(&file) {
            Ok(found) if found.len() > 0 => Self::Read(file),
            _ => Self::None,
        }
    }

    /// For the program itself.
    pub(crate) fn flag(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Read(file) => Some(format!("-XX:SharedArchiveFile={}", file.display())),
            Self::Write(file) => Some(format!("-XX:ArchiveClassesAtExit={}", file.display())),
        }
    }

    /// For another program of the same jars, which only reads.
    pub(crate) fn flag_to_read(&self) -> Option<String> {
        match self {
            Self::Read(_) => self.flag(),
            Self::None | Self::Write(_) => None,
        }
    }
}

fn file(kind: Kind, programs: &Programs, java: &Java) -> PathBuf {
    let folder = format!("classes-{:016x}", fnv1a(java.version.as_bytes()));
    programs
        .folder()
        .join(folder)
        .join(format!("{}.jsa", kind.folder()))
}

/// Makes those files that are not there. A program for which that fails starts without, as slowly as it does.
pub(crate) async fn make_missing(
    options: &StackOptions,
    programs: &Programs,
    progress: &dyn Progress,
) -> Result<(), StackError> {
    let java = options.tools.java().await?;
    let missing = |kind: &Kind| !file(*kind, programs, &java).exists();
    let all = [Kind::Broker, Kind::Registry];
    if !all.iter().any(missing) {
        return Ok(());
    }
    let cache = programs.cache();
    let _lock = lock(cache, progress).await?;
    // Whoever had the lock before us may have made them.
    let missing: Vec<Kind> = all.into_iter().filter(missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress.step(&Step::Recording);
    for kind in missing {
        make(kind, options, programs, &java).await?;
    }
    let _ = fs::remove_dir(programs.cache().join(RUNS));
    Ok(())
}

async fn make(
    kind: Kind,
    options: &StackOptions,
    programs: &Programs,
    java: &Java,
) -> Result<(), StackError> {
    let doing = || format!("prepare {} in the cache", kind.name());
    let file = file(kind, programs, java);
    let folder = file.parent().expect("it lies in a folder");
    fs::create_dir_all(folder).map_err(StackError::io(doing()))?;
    let run = programs.cache().join(RUNS).join(kind.folder());
    // Left by one that was interrupted.
    let written = file.with_extension("part");
    let _ = (fs::remove_dir_all(&run), fs::remove_file(&written));
    if let Err(error) = run_once(kind, options, programs, &run, &written).await {
        tracing::warn!(%error, "{} will start slowly", kind.name());
    }
    let _ = fs::remove_dir_all(&run);
    if written.exists() {
        return fs::rename(&written, &file).map_err(StackError::io(doing()));
    }
    fs::write(&file, "").map_err(StackError::io(doing()))
}

/// Starts the program on data of its own, and ends it in an orderly way, which is when Java writes the file.
async fn run_once(
    kind: Kind,
    options: &StackOptions,
    programs: &Programs,
    folder: &Path,
    written: &Path,
) -> Result<(), StackError> {
    let options = StackOptions {
        kafka_port: Port::any(),
        registry_port: Port::any(),
        more_brokers: Vec::new(),
        broker_config: Vec::new(),
        broker_java: Vec::new(),
        ..options.clone()
    };
    let mut server = Server::open_in(kind, folder, &options, &crate::Quiet).await?;
    let data = ClassData::Write(written.to_owned());
    server.start_with(programs, data, &crate::Quiet).await?;
    server.stop_in_its_time().await;
    Ok(())
}

//! The programs on disk: fetched once, as `deploy/pom.xml` names them.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::process::{Launch, Process};
use crate::{Progress, StackError, Step, Tools};

/// The version of Apache Kafka that is fetched.
pub const KAFKA_VERSION: &str = "4.3.0";
/// The version of the Apicurio Registry that is fetched.
pub const REGISTRY_VERSION: &str = "3.0.9";

/// Compiled in, so that the program works from anywhere.
const POM: &str = include_str!("../../pom.xml");

/// 150 MB over a slow line.
const FETCH_MAX: Duration = Duration::from_mins(30);

/// The fetched programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds the programs in the cache, and fetches them first if they are not all there.
    ///
    /// A folder of the cache is named after the pom, and gets its name when it is complete. So an interrupted
    /// fetch is begun again (Maven keeps the files that it has), and a changed pom is fetched beside what
    /// older programs still use.
    pub(crate) async fn provide(
        cache: &Path,
        tools: &Tools,
        progress: &dyn Progress,
    ) -> Result<Self, StackError> {
        let doing = || format!("open the cache {}", cache.display());
        fs::create_dir_all(cache).map_err(StackError::io(doing()))?;
        let cache = cache.canonicalize().map_err(StackError::io(doing()))?;
        let programs = Self {
            folder: cache.join(format!("stack-{:016x}", fnv1a(POM.as_bytes()))),
        };
        if programs.folder.is_dir() {
            return Ok(programs);
        }
        let maven = tools.maven()?;
        let _lock = lock(&cache, progress).await?;
        // Whoever had the lock before us may have fetched them.
        if !programs.folder.is_dir() {
            progress.step(&Step::Fetching);
            let fetching = cache.join("fetching");
            fetch(&maven, tools, &fetching).await?;
            fs::rename(&fetching, &programs.folder).map_err(StackError::io(doing()))?;
        }
        Ok(programs)
    }

    /// Where they lie, with what is made of them.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cache itself.
    pub(crate) fn cache(&self) -> &Path {
        self.folder.parent().expect("it was made by a join")
    }

    /// Every jar of Kafka, as a class path.
    pub(crate) fn kafka_class_path(&self) -> PathBuf {
        self.folder.join("kafka/*")
    }

    /// The registry's jar, whose manifest names the others.
    pub(crate) fn registry_jar(&self) -> PathBuf {
        self.folder.join(format!(
            "registry/apicurio-registry-app-{REGISTRY_VERSION}-runner.jar"
        ))
    }
}

/// Two processes that start for the first time together: one fetches or prepares, the other one waits.
pub(crate) async fn lock(cache: &Path, progress: &dyn Progress) -> Result<File, StackError> {
    let doing = || format!("lock the cache {}", cache.display());
    let file = File::create(cache.join("lock")).map_err(StackError::io(doing()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => progress.step(&Step::WaitingForFetch),
        Err(TryLockError::Error(error)) => return Err(StackError::io(doing())(error)),
    }
    let locked = spawn_blocking(move || file.lock().map(|()| file)).await;
    locked
        .expect("locking a file does not panic")
        .map_err(StackError::io(doing()))
}

async fn fetch(maven: &Path, tools: &Tools, folder: &Path) -> Result<(), StackError> {
    let doing = || format!("prepare {}", folder.display());
    // Left by a fetch that was interrupted.
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(StackError::io(doing()))?;
    }
    fs::create_dir_all(folder).map_err(StackError::io(doing()))?;
    let pom = folder.join("pom.xml");
    fs::write(&pom, POM).map_err(StackError::io(doing()))?;

    let mut command = Command::new(maven);
    command
        .args(["--batch-mode", "--no-transfer-progress", "--file"])
        .arg(&pom)
        .arg(format!("-Dfoldline.out={}", folder.display()))
        .arg("package")
        .current_dir(folder)
        .env("PATH", &tools.path);
    let log = folder.with_file_name("maven.log");
    let process = Process::spawn(Launch {
        name: "maven",
        command,
        output: log.clone(),
        log,
        pid_file: None,
    })?;
    match timeout(FETCH_MAX, process.wait()).await {
        Ok(status) if status.success() => Ok(()),
        _ => {
            let what = format!("Apache Kafka {KAFKA_VERSION} and Apicurio Registry {REGISTRY_VERSION}");
            let (log, tail) = process.last_lines();
            Err(StackError::Fetch { what, log, tail })
        }
    }
}

/// A hash that is the same in every build, which the standard library's is not promised to be.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::{KAFKA_VERSION, POM, Programs, REGISTRY_VERSION, fnv1a};
    use crate::{Quiet, StackError, Tools};

    #[test]
    fn the_pom_names_the_versions_that_we_run() {
        assert!(POM.contains(&format!("<kafka.version>{KAFKA_VERSION}</kafka.version>")));
        assert!(POM.contains(&format!(
            "<registry.version>{REGISTRY_VERSION}</registry.version>"
        )));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    /// Tools with a Maven that runs `script` in the folder it is to fill. Not written by this process: a child that
    /// another test starts meanwhile would hold the file open for writing, and such a file cannot be run.
    fn maven(folder: &Path, script: &str) -> Tools {
        let text = format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n");
        let write = "printf %s \"$0\" > \"$1/mvn\" && chmod +x \"$1/mvn\"";
        let written = Command::new("sh").args(["-c", write, &text]).arg(folder).status();
        assert!(written.unwrap().success());
        Tools {
            path: OsString::from(folder),
            java_home: None,
        }
    }

    #[tokio::test]
    async fn two_first_starts_fetch_once() {
        let folder = tempfile::tempdir().unwrap();
        let tools = maven(
            folder.path(),
            "sleep 0.2; echo fetched >> ../../calls; mkdir kafka registry",
        );
        let cache = folder.path().join("cache");

        let (first, second) = tokio::join!(
            Programs::provide(&cache, &tools, &Quiet),
            Programs::provide(&cache, &tools, &Quiet)
        );

        let (first, second) = (first.unwrap().folder, second.unwrap().folder);
        assert_eq!(first, second);
        assert!(first.join("kafka").is_dir());
        assert_eq!(
            fs::read_to_string(folder.path().join("calls")).unwrap(),
            "fetched\n"
        );
    }

    #[tokio::test]
    async fn what_an_interrupted_fetch_left_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let tools = maven(folder.path(), "mkdir kafka registry");
        let cache = folder.path().join("cache");
        fs::create_dir_all(cache.join("fetching/kafka")).unwrap();
        fs::write(cache.join("fetching/kafka/half.jar"), "").unwrap();

        let programs = Programs::provide(&cache, &tools, &Quiet).await.unwrap();

        assert!(programs.folder.join("kafka").is_dir());
        assert!(!programs.folder.join("kafka/half.jar").exists());
    }

    #[tokio::test]
    async fn a_failed_fetch_shows_what_maven_said_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");

        let tools = maven(folder.path(), "echo 'Unknown host repo.maven.apache.org'; exit 1");
        let error = Programs::provide(&cache, &tools, &Quiet).await.unwrap_err();
        assert!(
            matches!(&error, StackError::Fetch { tail, .. } if tail.contains("Unknown host")),
            "{error}"
        );

        let tools = maven(folder.path(), "mkdir kafka registry");
        Programs::provide(&cache, &tools, &Quiet).await.unwrap();
    }
}

//! What a stack refuses before it starts anything, and what it says then.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use foldline_stack::{Kind, Port, Quiet, Server, Stack, StackError, Tools};

use crate::options;

#[tokio::test]
async fn a_taken_port_is_named_with_the_option_that_changes_it() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut options = options(data.path());
    options.registry_port = Port::fixed(port, "--registry-port");

    let error = Stack::start(options, &Quiet).await.unwrap_err();

    assert!(matches!(&error, StackError::PortTaken { port: named, .. } if *named == port));
    assert_eq!(
        error.to_string(),
        format!(
            "port {port}, which Apicurio Registry needs, is taken: free it, or choose another one with --registry-port"
        )
    );
}

#[tokio::test]
async fn data_in_use_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let options = options(data.path());
    let first = Server::open(Kind::Broker, &options, &Quiet).await.unwrap();

    let second = Server::open(Kind::Broker, &options, &Quiet).await;

    assert!(matches!(second, Err(StackError::DataInUse { .. })), "{second:?}");
    drop(first);
    Server::open(Kind::Broker, &options, &Quiet).await.unwrap();
}

#[tokio::test]
async fn a_missing_java_is_named_with_the_command_that_installs_it() {
    let data = tempfile::tempdir().unwrap();
    let mut options = options(data.path());
    options.tools = Tools {
        path: data.path().into(),
        java_home: None,
    };

    let error = Stack::start(options, &Quiet).await.unwrap_err().to_string();

    assert!(
        error.starts_with("java 17 or newer is needed to run Apache Kafka"),
        "{error}"
    );
    assert!(error.contains("none was found"), "{error}");
    assert!(
        error.contains("install it with `") && error.contains("maven"),
        "{error}"
    );
}

#[tokio::test]
async fn an_old_java_is_named_with_its_version() {
    let data = tempfile::tempdir().unwrap();
    let java = data.path().join("java");
    write_script(
        &java,
        "#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n",
    );
    let mut options = options(data.path());
    options.tools = Tools {
        path: data.path().into(),
        java_home: None,
    };

    let error = Stack::start(options, &Quiet).await.unwrap_err().to_string();

    assert!(
        error.contains(&format!("but {} is version 11", java.display())),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_maven_is_named_if_the_cache_is_empty() {
    let data = tempfile::tempdir().unwrap();
    let mut options = options(data.path());
    let java = options
        .tools
        .java_home
        .clone()
        .map_or_else(|| find(&options.tools, "java"), |home| home.join("bin/java"));
    let bin = data.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(java, bin.join("java")).unwrap();
    options.tools = Tools {
        path: bin.into(),
        java_home: None,
    };
    options.cache = data.path().join("cache");

    let error = Stack::start(options, &Quiet).await.unwrap_err().to_string();

    assert!(
        error.starts_with("mvn (Apache Maven) is needed to fetch Apache Kafka"),
        "{error}"
    );
    assert!(error.contains("install it with `"), "{error}");
}

#[tokio::test]
async fn a_broker_that_ends_while_it_starts_shows_the_end_of_its_log() {
    let data = tempfile::tempdir().unwrap();
    let mut options = options(data.path());
    options.start_max = Duration::from_secs(30);
    // The storage tool is content with it, the broker is not.
    options.broker_config = vec![("log.cleaner.dedupe.buffer.size".to_owned(), "1".to_owned())];
    let mut broker = Server::open(Kind::Broker, &options, &Quiet).await.unwrap();

    let error = broker.start(&Quiet).await.unwrap_err();

    assert!(matches!(&error, StackError::Exited { .. }), "{error:?}");
    assert!(error.to_string().contains("dedupe"), "{error}");
    assert_eq!(broker.pid(), None);
}

fn find(tools: &Tools, name: &str) -> std::path::PathBuf {
    std::env::split_paths(&tools.path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap()
}

/// Not written by this process: a child that another test starts meanwhile would hold the file open for writing, and a
/// file that is open for writing cannot be run.
fn write_script(path: &Path, text: &str) {
    let written = Command::new("sh")
        .args(["-c", "printf %s \"$0\" > \"$1\" && chmod +x \"$1\"", text])
        .arg(path)
        .status();
    assert!(written.unwrap().success());
}

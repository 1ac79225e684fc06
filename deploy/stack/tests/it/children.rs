//! Any other program as a child.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use foldline_stack::{Child, Port, Quiet, StackError};

async fn open(folder: &Path) -> Child {
    let folder = folder.join("worker");
    Child::open("worker", &folder, &Port::any(), &Quiet)
        .await
        .unwrap()
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[tokio::test]
async fn it_can_be_started_again_and_the_log_of_the_run_before_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = open(folder.path()).await;
    for said in ["first", "second"] {
        child.start(shell(&format!("echo {said}; exit 3"))).unwrap();
        assert_eq!(child.ended().await.code(), Some(3));
        assert_eq!(child.last_line().as_deref(), Some(said));
    }
    let previous = child.log().with_extension("log.previous");
    assert_eq!(std::fs::read_to_string(previous).unwrap(), "first\n");
}

#[tokio::test]
async fn one_that_ends_before_it_is_ready_is_an_error_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = open(folder.path()).await;
    child.start(shell("echo no such thing >&2; exit 1")).unwrap();
    let error = child
        .ready(Duration::from_secs(30), || async { false })
        .await
        .unwrap_err();
    assert!(matches!(error, StackError::Exited { .. }), "{error:?}");
    assert!(error.to_string().ends_with("no such thing"), "{error}");
}

#[tokio::test]
async fn its_folder_is_its_own_and_its_port_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).await;
    let home = folder.path().join("worker");
    let second = Child::open("worker", &home, &Port::any(), &Quiet).await;
    assert!(matches!(second, Err(StackError::DataInUse { .. })), "{second:?}");
    drop(first);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Port::fixed(taken.local_addr().unwrap().port(), "--port-worker");
    let refused = Child::open("worker", &home, &port, &Quiet).await.unwrap_err();
    assert!(refused.to_string().contains("--port-worker"), "{refused}");
}

#[tokio::test]
async fn one_left_over_from_an_earlier_run_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap().join("worker");
    std::fs::create_dir(&home).unwrap();
    let settings = home.join("settings.toml");
    std::fs::write(&settings, "").unwrap();
    let mut leftover = Command::new("tail")
        .arg("-f")
        .arg(&settings)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_named(leftover.id(), &settings);
    std::fs::write(home.join("pid"), leftover.id().to_string()).unwrap();

    open(folder.path()).await;

    assert!(!leftover.wait().unwrap().success());
}

/// A process that was just started has no command line for a moment.
fn wait_until_named(pid: u32, by: &Path) {
    let named = || {
        let shown = match std::fs::read(format!("/proc/{pid}/cmdline")) {
            Ok(shown) => shown,
            // Not Linux.
            Err(_) => {
                let mut ps = Command::new("ps");
                ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()])
                    .output()
                    .unwrap()
                    .stdout
            }
        };
        String::from_utf8_lossy(&shown).contains(&by.display().to_string())
    };
    while !named() {
        std::thread::yield_now();
    }
}

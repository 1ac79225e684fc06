//! Nothing of ours outlives us.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use foldline_stack::{Kind, Quiet, Server, Step};

use crate::options;

/// Set for the copy of this test program that is killed.
const VICTIM_DATA: &str = "FOLDLINE_STACK_TEST_VICTIM";

/// Not a test: what the victim of the next one does.
#[tokio::test]
async fn a_victim_runs_a_broker_until_it_is_killed() {
    let Some(data) = std::env::var_os(VICTIM_DATA) else {
        return;
    };
    let mut broker = Server::open(Kind::Broker, &options(Path::new(&data)), &Quiet)
        .await
        .unwrap();
    broker.start(&Quiet).await.unwrap();
    std::fs::write(Path::new(&data).join("victim"), broker.pid().unwrap().to_string()).unwrap();
    std::future::pending().await
}

#[tokio::test]
async fn a_killed_parent_leaves_no_broker_behind() {
    let data = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survivors::a_victim_runs_a_broker_until_it_is_killed"])
        .env(VICTIM_DATA, data.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = data.path().join("victim");
    wait_until("the victim's broker runs", || ready.exists()).await;
    let broker = std::fs::read_to_string(ready).unwrap();
    assert!(is_alive(&broker));

    victim.kill().unwrap();
    victim.wait().unwrap();

    wait_until("its broker is gone", || !is_alive(&broker)).await;
}

#[tokio::test]
async fn a_process_left_over_from_an_earlier_run_is_stopped() {
    let data = tempfile::tempdir().unwrap();
    let home = data.path().canonicalize().unwrap().join("broker");
    std::fs::create_dir(&home).unwrap();
    let config = home.join("server.properties");
    std::fs::write(&config, "").unwrap();
    let mut leftover = sleeper(&config);
    std::fs::write(home.join("pid"), leftover.id().to_string()).unwrap();
    let steps = std::sync::Mutex::new(Vec::new());

    let record = |step: &Step| steps.lock().unwrap().push(step.clone());

    Server::open(Kind::Broker, &options(data.path()), &record)
        .await
        .unwrap();

    assert_eq!(
        *steps.lock().unwrap(),
        [Step::StoppingLeftover { pid: leftover.id() }]
    );
    assert!(!leftover.wait().unwrap().success());
}

#[tokio::test]
async fn a_stranger_with_a_used_process_id_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let home = data.path().join("broker");
    std::fs::create_dir(&home).unwrap();
    let mut stranger = sleeper(Path::new("/dev/null"));
    std::fs::write(home.join("pid"), stranger.id().to_string()).unwrap();

    Server::open(Kind::Broker, &options(data.path()), &Quiet)
        .await
        .unwrap();

    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// A process that does nothing, with this file in its command line.
fn sleeper(file: &Path) -> Child {
    Command::new("tail")
        .arg("-f")
        .arg(file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A dead process that nobody has reaped yet, as in a container without an init, is not alive.
fn is_alive(pid: &str) -> bool {
    let ps = Command::new("ps")
        .args(["-o", "stat=", "-p", pid])
        .output()
        .unwrap();
    let state = String::from_utf8(ps.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}

async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let started_at = Instant::now();
    while !holds() {
        assert!(
            started_at.elapsed() < Duration::from_secs(30),
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

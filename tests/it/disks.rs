//! A disk that is full: nothing wrong is said, and all goes on with another one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::system::{Service, System};
use foldline_tests::{skip, stack};

use crate::PROGRAM;

/// The store asks for its first journal at once; what is left is full soon.
const DISK_MB: usize = 96;
const EVENING: restaurant::Size = restaurant::Size {
    clients: 16,
    menu: 5,
    customers: 20,
    orders: 200,
};
const FULL_AFTER: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that runs `foldline` with a small disk of its own where its state is. The disk is in a mount namespace of
/// the process and goes with it.
fn on_a_small_disk() -> Option<PathBuf> {
    let can = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output()
        .is_ok_and(|tried| tried.status.success());
    if !can {
        return None;
    }
    let path = stack::folder().join("on-a-small-disk");
    let script = format!(
        "#!/bin/sh\n\
         for word; do [ \"$before\" = --state-dir ] && state=$word; before=$word; done\n\
         mkdir -p \"$state\"\n\
         exec unshare --mount sh -c 'mount -t tmpfs -o size={DISK_MB}m none \"$0\" && exec {PROGRAM} \"$@\"' \"$state\" \"$@\"\n"
    );
    fs::write(&path, script).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    Some(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_handler_whose_disk_is_full_ends_has_told_nothing_wrong_and_goes_on_with_another_disk() {
    let Some(program) = on_a_small_disk() else {
        return skip::because("a full disk, because only root can make a small one");
    };
    let mut chance = Chance::of_this_run("disks");
    // The views are read at the end; the commands go to a handler with a disk that is too small.
    let mut system = System::start("disks", PROGRAM).await;
    system.stop(Service::CommandHandler).await;
    let mut handler = Handler::launch(&system.kafka, "small", program.to_str().expect("a path")).await;
    handler.wait_until_ready().await;
    let load = Arc::new(Load::new(handler.write()));
    let is_over = AtomicBool::new(false);

    let mut evening = chance.fork();
    let run = async {
        restaurant::run(&load, EVENING, &mut evening).await;
        is_over.store(true, Ordering::SeqCst);
    };
    let fill = async {
        eventually("the load is under way", PATIENCE, async || {
            (load.answered() > FULL_AFTER).then_some(())
        })
        .await;
        handler.fill_its_disk();
        // It cannot know what of the store is on the disk; whoever runs it starts it again.
        let ended = tokio::time::timeout(PATIENCE, handler.ended()).await;
        assert!(!ended.expect("it ends").success());
        assert!(
            handler.log().contains("No space left on device"),
            "{}",
            handler.log()
        );
        assert!(!is_over.load(Ordering::SeqCst), "no result: all was done before");
        handler.start_again();
        handler.wait_until_ready().await;
    };
    tokio::join!(run, fill);
    system.restart(Service::CommandHandler).await;
    check::all(&system, &load.history()).await;
}

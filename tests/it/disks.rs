//! Disks that are full, fail, or have something else on them: nothing wrong is said, and all goes on with a good one.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::client::eventually;
use foldline_tests::disk::Disk;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::system::{Service, System};
use foldline_tests::{skip, stack};
use serde_json::json;
use tokio::time::timeout;

use crate::PROGRAM;

/// The store asks for its first journal at once; what is left is full soon.
const STATE_MIB: usize = 96;
/// SQLite's log alone may have 32 before it is copied into the file: on a smaller disk it is full again by itself.
const VIEWS_MIB: usize = 64;
const BOTH_MIB: u64 = 256;
const EVENING: restaurant::Size = restaurant::Size {
    clients: 16,
    menu: 5,
    customers: 20,
    orders: 200,
};
const UNTIL_ANSWERED: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than it takes until somebody has made room.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(240);
const TRY_MAX: Duration = Duration::from_secs(30);

/// A system that keeps these of its folders on the disk.
async fn on(disk: &Disk, test: &str, folders: &[&str]) -> System {
    let data = stack::folder().join(stack::unique_name("data"));
    fs::create_dir_all(&data).expect("a folder");
    for name in folders {
        fs::create_dir(disk.seen_from_here().join(name)).expect("a folder on the disk");
        symlink(disk.folder().join(name), data.join(name)).expect("a link to it");
    }
    System::start_in(data, test, &disk.sees_it(PROGRAM).display().to_string()).await
}

fn load_of(system: &System) -> Arc<Load> {
    Arc::new(Load::among(vec![system.write()], TRY_MAX, CLIENTS_PATIENCE))
}

async fn until_under_way(load: &Load) {
    eventually("the load is under way", PATIENCE, async || {
        (load.answered() > UNTIL_ANSWERED).then_some(())
    })
    .await;
}

/// Of a service whose folder is on a disk that becomes full, and which says so.
async fn is_full_under(service: Service, folder: &str, mib: usize, says: &str) {
    let Some(disk) = Disk::of_memory(mib) else {
        return skip::because("a full disk, because only root can make a small one");
    };
    let test = format!("full-{folder}");
    let mut chance = Chance::of_this_run(&test);
    let mut system = on(&disk, &test, &[folder]).await;
    let (load, read) = (load_of(&system), system.read());
    let mut evening = chance.fork();
    let run = restaurant::run(&load, EVENING, &mut evening);
    let fill = async {
        until_under_way(&load).await;
        disk.fill();
        // It cannot know what of its folder is on the disk; whoever runs it starts it again.
        let ended = timeout(PATIENCE, system.ended(service)).await;
        assert!(!ended.expect("it ends").success());
        let log = system.log_of(service);
        assert!(log.contains(says), "{log}");
        read.get("/menu/items").await.expect(200);
        disk.make_room();
        system.restart(service).await;
    };
    tokio::join!(run, fill);
    check::all(&system, &load.history()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_handler_whose_disk_is_full_ends_has_told_nothing_wrong_and_goes_on_when_there_is_room() {
    let says = "No space left on device";
    is_full_under(Service::CommandHandler, "state", STATE_MIB, says).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_whose_disk_is_full_ends_while_reads_go_on_and_goes_on_when_there_is_room() {
    is_full_under(Service::Projector, "views", VIEWS_MIB, "database or disk is full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_failed_services_go_on_from_what_is_on_it() {
    let Some(disk) = Disk::of_a_file(BOTH_MIB) else {
        return skip::for_want_of("file systems in files, or not for us");
    };
    let mut chance = Chance::of_this_run("failed-disk");
    let mut system = on(&disk, "failed-disk", &["state", "views"]).await;
    let load = load_of(&system);
    let mut evening = chance.fork();
    let run = restaurant::run(&load, EVENING, &mut evening);
    let fail = async {
        until_under_way(&load).await;
        disk.fail();
        let ended = timeout(PATIENCE, system.ended(Service::CommandHandler)).await;
        assert!(!ended.expect("it ends").success());
        // The others may have had nothing more to write.
        for service in [Service::Projector, Service::QueryApi] {
            system.stop(service).await;
        }
        disk.mend();
        for service in Service::ALL {
            system.restart(service).await;
        }
    };
    tokio::join!(run, fail);
    check::all(&system, &load.history()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_database_that_is_none_is_named_and_is_made_again_once_it_is_removed() {
    let mut system = System::start("damaged-views", PROGRAM).await;
    let item = json!({"description": "tea", "price": {"amount": 2, "currency": "EUR"}});
    let made = system.write().post("/menu/items", &item).await.expect(201);
    let (path, token) = (made.text("/aggregate"), made.text("/consistency_token"));
    system.read().get_after(path, token).await.expect(200);
    // The projector last: it puts all into the one file then.
    system.stop(Service::QueryApi).await;
    system.stop(Service::Projector).await;
    let database = system.views_folder().join("views.db");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(&database)
        .expect("it is there");
    file.seek(SeekFrom::Start(0)).expect("it begins");
    file.write_all(b"This was a database.")
        .expect("it can be written");
    drop(file);

    system.launch(Service::Projector);
    let ended = timeout(PATIENCE, system.ended(Service::Projector)).await;
    assert!(!ended.expect("it ends").success());
    let log = system.log_of(Service::Projector);
    assert!(log.contains("views.db") && log.contains("remove"), "{log}");

    fs::remove_dir_all(system.views_folder()).expect("whoever runs it removes it");
    system.restart(Service::Projector).await;
    system.restart(Service::QueryApi).await;
    system.read().get_after(path, token).await.expect(200);
}

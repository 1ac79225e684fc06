use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use foldline_tests::skip;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::json;

use crate::PROGRAM;

/// Who owns nothing: `nobody`, on most systems.
const NOBODY: u32 = 65_534;

#[tokio::test(flavor = "multi_thread")]
async fn services_need_no_right_but_to_write_to_their_own_folders() {
    if !rustix::process::geteuid().is_root() {
        skip::because("only root can start a service as somebody else");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(), readable).unwrap();
    // Where tests are built, nobody may have no right to look.
    let program = place.path().join("foldline");
    std::fs::copy(PROGRAM, &program).unwrap();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let program = program.display().to_string();
    let mut system = System::start_as(NOBODY, data.clone(), "unprivileged", &program).await;

    for service in Service::ALL {
        let uids = uids(&system, service);
        assert!(uids.iter().all(|uid| *uid == NOBODY), "{service:?} has {uids:?}");
        assert!(!system.log_of(service).contains("runs as root"), "{service:?}");
    }
    let started = system
        .write()
        .post("/counters/one/commands", &json!({"type": "StartCounter"}))
        .await;
    let token = started
        .expect(201)
        .header("consistency-token")
        .unwrap()
        .to_owned();
    let get = system.read().request(Method::GET, "/counters/one");
    let get = get.header("Consistency-Token", token).header("Prefer", "wait=30");
    system.read().send(get).await.expect(200);
    assert!(is_all_of(NOBODY, &data));

    // The other way round, it is said.
    system.stop(Service::QueryApi).await;
    system.user = None;
    system.restart(Service::QueryApi).await;
    assert!(system.log_of(Service::QueryApi).contains("runs as root"));
}

/// Real, effective, saved, and that of file systems.
fn uids(system: &System, service: Service) -> Vec<u32> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", system.pid(service))).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().map(|uid| uid.parse().unwrap()).collect()
}

fn is_all_of(user: u32, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let mut entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries.all(|path| {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        metadata.uid() == user && (!metadata.is_dir() || is_all_of(user, &path))
    })
}

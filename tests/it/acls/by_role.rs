use foldline_kafka::Role;
use foldline_tests::log;
use foldline_tests::producer::{Raw, Upstream, id_in, meta};
use foldline_tests::records::aggregate;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::json;
use tokio::task::block_in_place;
use uuid::Uuid;

use super::{Guarded, appoint_all, said};
use crate::PROGRAM;

fn role(service: Service) -> Role {
    match service {
        Service::CommandHandler => Role::CommandHandler,
        Service::Projector => Role::Projector,
        Service::QueryApi => Role::QueryApi,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_works_with_each_service_and_each_person_under_a_name_of_its_own() {
    let guarded = Guarded::start("by-role").await;
    appoint_all(&guarded).await;
    let kafka = guarded.as_seen_by(Role::CommandHandler);
    let auth = vec!["--auth".to_owned(), "none".to_owned()];
    let identity = |service: Service| guarded.identity(role(service));
    let mut system = System::start_secured(kafka, "by-role", PROGRAM, auth, identity).await;

    // Over HTTP, with a unique value and a reference, and read back by its token.
    let post = async |path: &str, body| system.write().post(path, &body).await;
    let id = Uuid::now_v7();
    let signed = post(
        &format!("/customers/{id}/commands"),
        json!({"type": "SignUp", "email": "ada@example.org"}),
    )
    .await;
    signed.expect(201);
    let changed = json!({"type": "ChangeEmail", "email": "lovelace@example.org"});
    post(&format!("/customers/{id}/commands"), changed)
        .await
        .expect(200);
    let open = json!({"type": "OpenOrder", "customer": format!("/customers/{id}")});
    let opened = post("/orders/first/commands", open).await.expect(201);
    let token = opened.header("consistency-token").unwrap().to_owned();
    let get = system.read().request(Method::GET, "/orders/first");
    let get = get.header("Consistency-Token", token).header("Prefer", "wait=30");
    system.read().send(get).await.expect(200);

    // A producer's command, and its outcome; and what is none.
    let upstream = Upstream::to(&guarded.as_seen_by(Role::Producer), "counter.counters").await;
    let start = upstream.command(&json!({"type": "StartCounter"}));
    let counter = id_in(2, "counter");
    let outcome = upstream.ask(meta(&counter, Uuid::now_v7()), &start).await;
    assert!(outcome.refusal.is_none(), "{outcome:?}");
    let garbage = Raw {
        partition: 2,
        value: Some(b"garbage".to_vec()),
        ..Raw::default()
    };
    upstream.send_raw(garbage).await;
    let behind = id_in(2, "behind");
    upstream.ask(meta(&behind, Uuid::now_v7()), &start).await;

    // To say that a command is nowhere, its topic and the dead letters are read.
    let nowhere = system.write().get(&format!("/commands/{}", Uuid::now_v7())).await;
    nowhere.expect_problem(404, "unknown-command");

    // An analyst's reading.
    let analyst = guarded.as_seen_by(Role::Analyst);
    let events = analyst.topics().events(aggregate("counter.counters").info());
    assert_eq!(block_in_place(|| log::read(&analyst, &events).len()), 2);

    // An operator's day.
    let views = system.views_folder().display().to_string();
    let operate = |words: &[&str]| block_in_place(|| said(&guarded.run(Role::Operator, words), true));
    let listed = operate(&["dlq", "list", "--data-dir", &views]);
    let letter = listed
        .split_whitespace()
        .find(|word| word.starts_with("counter.counters/2/"));
    let letter = letter.unwrap_or_else(|| panic!("{listed}"));
    operate(&["dlq", "show", letter, "--data-dir", &views]);
    operate(&["dlq", "retry", letter, "--data-dir", &views]);
    operate(&["verify"]);
    let file = guarded.folder().join("recorded").display().to_string();
    operate(&["evolve", "record", "--out", &file]);
    operate(&["evolve", "check", "--against", &file]);
    operate(&["views", "rebuild", "orders", "--data-dir", &views]);
    operate(&["topics", "apply", "--partitions", "4"]);
    operate(&["topics", "check"]);

    // A stop writes snapshots; a start without disk reads them, and what came since.
    system.stop(Service::CommandHandler).await;
    std::fs::remove_dir_all(system.state_folder()).unwrap();
    system.restart(Service::CommandHandler).await;
    let again = system
        .write()
        .post("/orders/first/commands", &json!({"type": "CancelOrder"}))
        .await;
    again.expect(200);
}

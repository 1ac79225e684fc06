//! A commit that does not come back.

use std::time::{Duration, Instant};

use foldline_tests::client::eventually;
use foldline_tests::stack;
use foldline_tests::system::{HandlerOptions, Service, System};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

/// The commit is given up after 6 s, and the worker begins again with what the log says.
const AGAIN_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_does_not_come_back_holds_a_command_up_for_seconds_and_it_is_decided_once() {
    let (_stack, kafka, proxy, before) = stack::proxied("stuck-commits", 1, 0).await;
    let handler = HandlerOptions {
        bootstrap_servers: Some(before),
        arguments: vec![],
    };
    let system = System::start_with(kafka, "stuck-commits", PROGRAM, handler).await;
    let write = system.write();
    let item = |name: &str| json!({"description": name, "price": {"amount": 7, "currency": "EUR"}});
    write.post("/menu/items", &item("before")).await.expect(201);

    // The client asks again after 5 s; that is lost too, and a second later it is given up.
    proxy.lose_offsets_once();
    proxy.lose_offsets_once();
    let key = Uuid::now_v7().to_string();
    let asked_at = Instant::now();
    let answer = eventually("the command is answered", AGAIN_WITHIN, async || {
        let request = write
            .request(Method::POST, "/menu/items")
            .json(&item("meanwhile"));
        let answer = write.send(request.header("Idempotency-Key", &key)).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    println!("answered after {:?}", asked_at.elapsed());
    assert!(!proxy.is_to_lose_offsets(), "no result: nothing was lost");
    assert!(
        system
            .log_of(Service::CommandHandler)
            .contains("a commit does not come back")
    );
    let row = system
        .read()
        .get_after(answer.text("/aggregate"), answer.text("/consistency_token"))
        .await
        .expect(200);
    let etag = row.header("etag").expect("an ETag");
    assert!(etag.starts_with("\"1-"), "decided more than once: {etag}");
    write.post("/menu/items", &item("after")).await.expect(201);
}

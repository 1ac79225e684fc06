//! Two command handlers at a time.

use std::time::{Duration, Instant};

use foldline_tests::client::{Client, eventually};
use foldline_tests::handler::Handler;
use foldline_tests::metrics;
use foldline_tests::producer::id_in;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

/// Signs customers up, one in each partition, through this front. An email each: claims are decided too.
async fn sign_up_everywhere(write: &Client) {
    for partition in 0..PARTITIONS {
        let id = id_in(partition, &Uuid::now_v7().to_string());
        let body = json!({"type": "SignUp", "email": format!("{id}@example.org")});
        let request = write.request(Method::POST, &format!("/customers/{id}/commands"));
        let request = request.header("Prefer", "wait=60").json(&body);
        write.send(request).await.expect(201);
    }
}

async fn decided(write: &Client) -> u64 {
    metrics::sum(write, "foldline_commands_total", "restaurant.customers\"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_command_handlers_share_the_partitions_and_one_takes_all_over() {
    let mut system = System::start("two", PROGRAM).await;
    sign_up_everywhere(&system.write()).await;
    let second = Handler::launch(&system.kafka, "1", PROGRAM).await;
    second.wait_until_ready().await;
    let (before, first_write, second_write) =
        (decided(&system.write()).await, system.write(), second.write());
    let share = || async {
        sign_up_everywhere(&first_write).await;
        sign_up_everywhere(&second_write).await;
        let both = decided(&first_write).await > before && decided(&second_write).await > 0;
        both.then_some(())
    };
    eventually("both decide", Duration::from_secs(60), share).await;

    system.stop(Service::CommandHandler).await;
    let alone_since = Instant::now();
    sign_up_everywhere(&second.write()).await;
    // A static member is waited for as long as a restart may take, and no longer.
    assert!(
        alone_since.elapsed() < Duration::from_secs(30),
        "{:?}",
        alone_since.elapsed()
    );
    system.restart(Service::CommandHandler).await;
    sign_up_everywhere(&system.write()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_command_handlers_with_one_name_the_later_one_goes_on_and_the_other_says_why() {
    let system = System::start("namesakes", PROGRAM).await;
    sign_up_everywhere(&system.write()).await;
    let namesake = Handler::launch(&system.kafka, "0", PROGRAM).await;
    namesake.wait_until_ready().await;
    let said = "each needs an --instance of its own";
    eventually(
        "the earlier one says why it ends",
        Duration::from_secs(30),
        || async {
            system
                .log_of(Service::CommandHandler)
                .contains(said)
                .then_some(())
        },
    )
    .await;
    eventually("the earlier one is gone", Duration::from_secs(30), || async {
        let request = system.write().request(Method::GET, "/livez");
        system.write().try_send(request).await.is_err().then_some(())
    })
    .await;
    sign_up_everywhere(&namesake.write()).await;
    assert!(!namesake.log().contains(said));
}

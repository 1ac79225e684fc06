//! What was made a moment ago is never unknown to who says that he has seen it, whichever instance decides.

use std::collections::BTreeMap;

use foldline_tests::client::{Answer, Client};
use foldline_tests::handler::Handler;
use foldline_tests::producer::id_in;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::System;
use reqwest::Method;
use serde_json::{Value, json};

use crate::PROGRAM;

/// How often one of the two begins anew: just then it hears late of what the other one does.
const ROUNDS: usize = 8;

async fn send(write: &Client, path: &str, body: &Value, token: Option<&str>) -> Answer {
    let request = write.request(Method::POST, path).json(body);
    let request = token.into_iter().fold(request, |request, token| {
        request.header("Consistency-Token", token)
    });
    write.send(request).await
}

/// Signs a customer up in each partition, and opens an order in each partition for each at once. What became of the
/// orders.
async fn guests(write: &Client, round: usize) -> Vec<String> {
    let mut told = Vec::new();
    for of in 0..PARTITIONS {
        let customer = id_in(of, &format!("guest-{round}"));
        let sign_up = json!({"type": "SignUp", "email": format!("{customer}@example.org")});
        let signed_up = send(write, &format!("/customers/{customer}/commands"), &sign_up, None).await;
        let signed_up = signed_up.expect(201);
        let open = json!({"type": "OpenOrder", "customer": format!("/customers/{customer}")});
        for partition in 0..PARTITIONS {
            let order = id_in(partition, &format!("order-of-{customer}"));
            let token = signed_up.text("/consistency_token");
            let answer = send(write, &format!("/orders/{order}/commands"), &open, Some(token)).await;
            told.push(match answer.status {
                201 => "accepted".to_owned(),
                _ => answer.text("/code").to_owned(),
            });
        }
    }
    told
}

/// The two share the customers' partitions and the orders': one decides on what the other has made.
#[tokio::test(flavor = "multi_thread")]
async fn who_signed_up_a_moment_ago_is_never_unknown_to_who_has_the_token() {
    let system = System::start("references", PROGRAM).await;
    let mut second = Handler::launch(&system.kafka, "1", PROGRAM).await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        second.wait_until_ready().await;
        for outcome in guests(&second.write(), round).await {
            *told.entry(outcome).or_default() += 1;
        }
        second.kill().await;
        second.start_again();
    }
    let partitions = usize::try_from(PARTITIONS).unwrap();
    let orders = ROUNDS * partitions * partitions;
    assert_eq!(told, BTreeMap::from([("accepted".to_owned(), orders)]));
}

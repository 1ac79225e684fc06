//! The parts of a system come in any order: whoever is early waits.

use std::time::Duration;

use foldline_stack::{Quiet, Stack};
use foldline_tests::chance::Chance;
use foldline_tests::client::{Client, eventually};
use foldline_tests::stack;
use foldline_tests::system::{Service, System};
use serde_json::json;

use crate::PROGRAM;

/// Of 120.
const ORDERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
enum Part {
    Broker,
    Registry,
    Service(Service),
}

/// All of them, in an order by chance.
fn drawn(chance: &mut Chance) -> Vec<Part> {
    let mut rest = vec![Part::Broker, Part::Registry];
    rest.extend(Service::ALL.map(Part::Service));
    let mut order = Vec::new();
    while !rest.is_empty() {
        order.push(rest.swap_remove(chance.below(rest.len())));
    }
    order
}

async fn start(part: Part, stack: &mut Stack, system: &mut System) {
    match part {
        Part::Broker => stack.broker_mut().start(&Quiet).await.expect("the broker starts"),
        Part::Registry => stack
            .registry_mut()
            .start(&Quiet)
            .await
            .expect("the registry starts"),
        Part::Service(service) => {
            system.launch(service);
            // It is up before the next part is: else it would hardly have been early.
            let client = Client::new(&system.url(service));
            eventually("it answers", PATIENCE, async || {
                let asked = client
                    .try_send(client.request(reqwest::Method::GET, "/livez"))
                    .await;
                asked.ok().filter(|answer| answer.status == 200)
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_whatever_order_the_parts_are_started_all_serve_in_the_end() {
    let mut chance = Chance::of_this_run("start-order");
    let (mut stack, kafka) = stack::own("start-order", |_| ()).await;
    let mut system = System::start_on(kafka, "start-order", PROGRAM).await;
    for number in 0..ORDERS {
        // The writers first: a broker that stops in the middle of a transaction is another test's matter.
        for service in Service::ALL {
            system.stop(service).await;
        }
        stack.registry_mut().stop().await;
        stack.broker_mut().stop().await;

        let order = drawn(&mut chance);
        println!("{order:?}");
        for part in order {
            start(part, &mut stack, &mut system).await;
        }
        for service in Service::ALL {
            system.wait_until_ready(service).await;
        }
        let item = json!({"description": format!("{number}"), "price": {"amount": 2, "currency": "EUR"}});
        let made = system.write().post("/menu/items", &item).await.expect(201);
        let read = system.read();
        let (path, token) = (made.text("/aggregate"), made.text("/consistency_token"));
        read.get_after(path, token).await.expect(200);
    }
}

//! Commands that are decided together, of a customer and of who refers to that customer.

use foldline_core::Outcome;
use foldline_tests::log;
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::system::{Service, System};
use serde_json::json;
use uuid::Uuid;

use super::guests::canary;
use crate::PROGRAM;

const CUSTOMERS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_decided_in_one_batch_with_its_customer_is_sealed_as_well() {
    let mut system = System::start("one-batch", PROGRAM).await;
    let customers = Upstream::to(&system.kafka, "restaurant.customers").await;
    let orders = Upstream::to(&system.kafka, "restaurant.orders").await;
    system.stop(Service::CommandHandler).await;
    let (mut canaries, mut places) = (Vec::new(), Vec::new());
    for _ in 0..CUSTOMERS {
        let (id, order, nickname) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string(), canary("home"));
        let customer = format!("/customers/{id}");
        for body in [
            json!({"type": "SignUp", "email": format!("{nickname}@example.org")}),
            json!({"type": "AddAddress", "nickname": nickname, "location": format!("1 {nickname} St")}),
        ] {
            customers.send(meta(&id, Uuid::new_v4()), &customers.command(&body)).await;
        }
        let address = format!("{customer}/addresses/{nickname}");
        let open = orders.command(&json!({"type": "OpenOrder", "customer": customer}));
        let set = orders.command(&json!({"type": "SetDeliveryAddress", "address": address}));
        orders.send(meta(&order, Uuid::new_v4()), &open).await;
        places.push(orders.send(meta(&order, Uuid::new_v4()), &set).await);
        canaries.push(nickname);
    }
    system.restart(Service::CommandHandler).await;
    let mut accepted = 0;
    for place in places {
        accepted += usize::from(matches!(orders.outcome(place).await.decided(), Outcome::Accepted(_)));
    }
    assert!(accepted > 0, "no order was decided after its customer");
    for topic in ["restaurant.orders.events", "restaurant.customers.events"] {
        let records = log::read(&system.kafka, &format!("{}{topic}", system.kafka.topic_prefix));
        for canary in &canaries {
            let says = |record: &log::Record| memchr::memmem::find(&record.value, canary.as_bytes()).is_some();
            assert!(!records.iter().any(says), "{topic} has {canary} in the clear");
        }
    }
}

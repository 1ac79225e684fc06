//! A start finds what its earlier self has left open when it was killed.

use std::time::Duration;

use foldline_tests::system::{Service, System};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::busy::Busy;
use crate::PROGRAM;

/// As the command handler names its transactions, and the topic. A prefix comes before either.
const NAME: &str = "foldline-commands-0-0";
const KEYS: &str = "restaurant.keys";
/// The most that Kafka allows: nobody who waits for Kafka to end it will see the end of this test.
const OPEN_FOR: Duration = Duration::from_secs(15 * 60);
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_start_ends_the_transaction_in_which_its_earlier_self_made_a_key() {
    let mut system = System::start("left-open", PROGRAM).await;
    system.kill(Service::CommandHandler).await;
    let dead = die_with_a_key(&system);
    system.restart(Service::CommandHandler).await;
    let busy = Busy::begin(system.write());
    busy.more(10).await;
    busy.end().await;
    drop(dead);
}

/// Writes into the key topic under the name of the command handler, and goes no further.
fn die_with_a_key(system: &System) -> BaseProducer {
    let of_this_test = |name: &str| format!("{}{name}", system.kafka.topic_prefix);
    let mut config = system.kafka.client();
    config
        .set("transactional.id", of_this_test(NAME))
        .set("transaction.timeout.ms", OPEN_FOR.as_millis().to_string());
    let producer: BaseProducer = config.create().expect("a producer");
    producer
        .init_transactions(PATIENCE)
        .expect("Kafka takes it for the command handler");
    producer.begin_transaction().expect("a transaction");
    let topic = of_this_test(KEYS);
    let key = BaseRecord::to(&topic)
        .partition(0)
        .key("/customers/nobody")
        .payload("");
    producer.send(key).expect("a record");
    // The record is at the broker, which is to keep it from all who read committed ones.
    producer.flush(PATIENCE).expect("the record is there");
    producer
}

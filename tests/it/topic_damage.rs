//! Topics that somebody has changed: a service says which and how, and does not start on them.

use std::time::Duration;

use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::{Service, System};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::json;
use tokio::time::timeout;

use crate::PROGRAM;

const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: [Service; 2] = [Service::CommandHandler, Service::Projector];
const HOUR_MS: &str = "3600000";

/// Whoever may administer the cluster.
struct Operator(AdminClient<DefaultClientContext>);

impl Operator {
    /// Sets all settings of a topic that is kept for ever.
    async fn set(&self, topic: &str, cleanup: &str, retention_ms: &str) {
        let settings = AlterConfig::new(ResourceSpecifier::Topic(topic))
            .set("cleanup.policy", cleanup)
            .set("retention.ms", retention_ms)
            .set("retention.bytes", "-1");
        let set = self.0.alter_configs([&settings], &AdminOptions::new()).await;
        set.expect("Kafka answers");
    }

    async fn repair(&self, topic: &str) {
        self.set(topic, "delete", "-1").await;
    }

    async fn add_a_partition(&self, topic: &str) {
        let count = usize::try_from(PARTITIONS).expect("a few") + 1;
        let more = NewPartitions::new(topic, count);
        let made = self.0.create_partitions([&more], &AdminOptions::new()).await;
        made.expect("Kafka answers")
            .pop()
            .expect("one answer")
            .expect("it is made");
    }
}

/// Both writers are started, and end with this in what they say.
async fn assert_refused(system: &mut System, says: &[&str]) {
    for service in WRITERS {
        system.launch(service);
        let ended = timeout(PATIENCE, system.ended(service)).await;
        assert!(!ended.expect("it ends").success(), "{service:?}");
        let log = system.log_of(service);
        for word in says {
            assert!(log.contains(word), "{service:?} does not say {word}: {log}");
        }
    }
}

async fn start_again(system: &mut System) {
    for service in WRITERS {
        system.restart(service).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_topics_that_would_lose_or_mix_records_no_service_starts_and_on_mended_ones_all_is_there() {
    let mut system = System::start("topic-damage", PROGRAM).await;
    let item = json!({"description": "tea", "price": {"amount": 2, "currency": "EUR"}});
    let made = system.write().post("/menu/items", &item).await.expect(201);
    let (path, token) = (
        made.text("/aggregate").to_owned(),
        made.text("/consistency_token").to_owned(),
    );
    let name = |kind: &str| format!("{}restaurant.menu.{kind}", system.kafka.topic_prefix);
    let (events, results) = (name("events"), name("results"));
    let operator = Operator(system.kafka.client().create().expect("a client"));
    for service in WRITERS {
        system.stop(service).await;
    }

    operator.set(&events, "delete", HOUR_MS).await;
    assert_refused(&mut system, &[&events, "retention.ms=3600000", "must be -1"]).await;
    operator.repair(&events).await;
    operator.set(&results, "compact", "-1").await;
    assert_refused(
        &mut system,
        &[&results, "cleanup.policy=compact", "must be delete"],
    )
    .await;
    operator.repair(&results).await;
    start_again(&mut system).await;
    system.read().get_after(&path, &token).await.expect(200);
    system.write().post("/menu/items", &item).await.expect(201);

    for service in WRITERS {
        system.stop(service).await;
    }
    // Nobody can take that back: the number is fixed when a topic is made.
    operator.add_a_partition(&events).await;
    assert_refused(&mut system, &[&events, "has 5 partitions", "equally many"]).await;
}

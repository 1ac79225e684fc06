//! A registry that is ill, slow or wrong: nothing is decided by what it says then.

use std::time::Duration;

use foldline_kafka::{Compatibility, KafkaSettings, Registry, Subject, wire_format};
use foldline_tests::client::eventually;
use foldline_tests::producer::{Raw, Upstream, id_in, meta};
use foldline_tests::records::dead_letters;
use foldline_tests::registry_proxy::{Mood, RegistryProxy};
use foldline_tests::system::{Service, System};
use foldline_tests::{domains, stack};
use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::timeout;
use uuid::Uuid;

use crate::PROGRAM;

const NAME: &str = "counter.counters";
const WRITERS: [Service; 2] = [Service::CommandHandler, Service::Projector];
const PATIENCE: Duration = Duration::from_secs(90);
/// A little more than a service waits for an answer.
const TOO_SLOW: Mood = Mood::Slow(Duration::from_secs(11));

/// The id of a schema that no service has met.
async fn new_schema(kafka: &KafkaSettings, upstream: &Upstream) -> u32 {
    let mut schema = upstream.aggregate.command_codec().schema().clone();
    schema["doc"] = format!("As a producer has it, {}.", Uuid::now_v7()).into();
    let subject = Subject {
        name: format!("nobody-{}", Uuid::now_v7()),
        schema,
        compatibility: Compatibility::FullTransitive,
    };
    let registry = Registry::new(kafka).expect("a client");
    registry.register(&subject).await.expect("it registers").id
}

/// A good command, written by this schema.
fn written_by(upstream: &Upstream, schema_id: u32) -> Raw {
    let command = upstream.command(&json!({"type": "StartCounter"}));
    let id = id_in(0, &Uuid::now_v7().to_string());
    let good = upstream.record(meta(&id, Uuid::now_v7()), &command);
    let datum = good.value.as_deref().expect("a value")[5..].to_vec();
    Raw {
        value: Some(wire_format(schema_id, &datum)),
        ..good
    }
}

async fn until_asked_twice(proxy: &RegistryProxy) {
    let before = proxy.asked();
    eventually("it is asked again", PATIENCE, async || {
        (proxy.asked() >= before + 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_ill_registry_says_of_a_schema_is_no_verdict_on_a_command() {
    let kafka = stack::kafka("registry", &domains()).await;
    let proxy = RegistryProxy::start(&kafka.schema_registry).await;
    let through = KafkaSettings {
        schema_registry: proxy.url().to_owned(),
        ..kafka.clone()
    };
    let _system = System::start_on(through, "registry", PROGRAM).await;
    let upstream = Upstream::to(&kafka, NAME).await;
    for mood in [Mood::Ill, Mood::Closed, Mood::Astray, Mood::Empty, TOO_SLOW] {
        let raw = written_by(&upstream, new_schema(&kafka, &upstream).await);
        proxy.be(mood);
        let place = upstream.send_raw(raw).await;
        until_asked_twice(&proxy).await;
        proxy.be(Mood::Well);
        let result = upstream.outcome(place).await;
        assert!(result.refusal.is_none(), "{mood:?}: {result:?}");
    }
    let letters = block_in_place(|| dead_letters(&kafka, NAME));
    assert!(letters.is_empty(), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_waits_for_a_registry_that_is_ill_and_does_not_start_on_one_that_contradicts_itself() {
    let kafka = stack::kafka("registry-at-start", &domains()).await;
    let proxy = RegistryProxy::start(&kafka.schema_registry).await;
    let through = KafkaSettings {
        schema_registry: proxy.url().to_owned(),
        ..kafka
    };
    let mut system = System::start_on(through, "registry-at-start", PROGRAM).await;
    for mood in [Mood::Ill, Mood::Empty, Mood::Astray] {
        for service in WRITERS {
            system.stop(service).await;
            proxy.be(mood);
            system.launch(service);
            until_asked_twice(&proxy).await;
            assert!(system.has_ended(service).await.is_none(), "{service:?} {mood:?}");
            proxy.be(Mood::Well);
            system.wait_until_ready(service).await;
        }
    }

    for service in WRITERS {
        system.stop(service).await;
        proxy.be(Mood::Lying);
        system.launch(service);
        let ended = timeout(PATIENCE, system.ended(service)).await;
        assert!(!ended.expect("it ends").success(), "{service:?}");
        let log = system.log_of(service);
        assert!(
            log.contains("nothing is read or written by its answers"),
            "{service:?}: {log}"
        );
        proxy.be(Mood::Well);
        system.restart(service).await;
    }
    let item = json!({"description": "tea", "price": {"amount": 2, "currency": "EUR"}});
    system.write().post("/menu/items", &item).await.expect(201);
}

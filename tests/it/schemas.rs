//! `foldline schemas check --online`: what the registry would say, before anything is deployed.

use std::process::{Command, Output};

use foldline_domains::installed;
use foldline_kafka::{Compatibility, KafkaSettings, Registry, Subject, subjects};
use foldline_tests::{domains, stack};
use serde_json::{Value, json};

use crate::PROGRAM;

/// The schemas of `domains()` are kept in a folder of the test: the workspace has not that one from outside.
fn check(kafka: &KafkaSettings, folder: &str) -> Output {
    let options = [
        "schemas",
        "check",
        "--online",
        "--dir",
        folder,
        "--schema-registry",
        &kafka.schema_registry,
        "--topic-prefix",
        &kafka.topic_prefix,
    ];
    Command::new(PROGRAM).args(options).output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|said| String::from_utf8_lossy(said))
        .join("\n")
}

fn events_of_orders(kafka: &KafkaSettings) -> Subject {
    let all = subjects(&kafka.topics(), &installed());
    all.into_iter()
        .find(|subject| subject.name.ends_with("restaurant.orders.events-value"))
        .unwrap()
}

fn with_field(subject: &Subject, field: &Value) -> Subject {
    let mut other = subject.clone();
    other.schema["fields"].as_array_mut().unwrap().push(field.clone());
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_registry_has_and_would_refuse_is_said_before_a_deployment() {
    let kafka = stack::kafka("registry", &domains()).await;
    let folder = stack::folder().join(stack::unique_name("schemas"));
    let folder = folder.to_str().unwrap();
    let written = Command::new(PROGRAM)
        .args(["schemas", "write", "--dir", folder])
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", said(&written));

    let fine = check(&kafka, folder);
    assert!(fine.status.success(), "{}", said(&fine));
    let has = "restaurant.orders.events-value: version 1, FULL_TRANSITIVE; the code's schema is version 1";
    assert!(said(&fine).contains(has), "{}", said(&fine));

    // Somebody adds a field by hand, and lets everything in from then on.
    let registry = Registry::new(&kafka).unwrap();
    let orders = events_of_orders(&kafka);
    let by_hand = json!({"name": "tenant", "type": ["null", "string"], "default": null});
    registry.register(&with_field(&orders, &by_hand)).await.unwrap();
    let setting = format!("{}/config/{}", kafka.schema_registry, orders.name);
    let set = reqwest::Client::new()
        .put(setting)
        .json(&json!({"compatibility": "NONE"}))
        .send()
        .await
        .unwrap();
    assert!(set.status().is_success(), "{set:?}");
    let output = check(&kafka, folder);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("allows NONE, and must allow FULL_TRANSITIVE"),
        "{told}"
    );
    assert!(
        told.contains("version 2 of") && told.contains("is none of those that are kept"),
        "{told}"
    );

    // Where nothing is registered, anything would be accepted; where something else is, it may not.
    let empty = KafkaSettings {
        topic_prefix: format!("{}-", stack::unique_name("unregistered")),
        ..kafka.clone()
    };
    let output = check(&empty, folder);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("restaurant.orders.events-value: not registered"),
        "{}",
        said(&output)
    );
    let mut other = events_of_orders(&empty);
    let fields = other.schema["fields"].as_array_mut().unwrap();
    fields
        .iter_mut()
        .find(|field| field["name"] == "sequence")
        .unwrap()["type"] = json!("string");
    other.compatibility = Compatibility::FullTransitive;
    registry.register(&other).await.unwrap();
    let output = check(&empty, folder);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("restaurant.orders.events-value would refuse the code's schema: "),
        "{}",
        said(&output)
    );
}

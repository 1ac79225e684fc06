//! A broker that knows its clients by their passwords, and secrets that nobody reads in a log.

use std::time::Duration;

use foldline_kafka::KafkaSettings;
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::issuer::Issuer;
use foldline_tests::system::{Service, System};
use foldline_tests::{secured, stack};
use reqwest::Method;
use serde_json::json;

use crate::PROGRAM;

/// Secrets that stand nowhere else.
const KAFKA_SECRET: &str = "kestrel-canary-4711";
const REGISTRY_SECRET: &str = "wagtail-canary-4712";
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_knows_services_by_their_passwords_which_are_in_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let port = stack::free_port();
    let listener = secured::with_passwords(port, &[("foldline", KAFKA_SECRET)]);
    let (_stack, kafka) = stack::own("secured", |options| options.broker_config.extend(listener)).await;
    let behind = KafkaSettings {
        bootstrap_servers: format!("127.0.0.1:{port}"),
        ..kafka
    };
    let file = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, secret).unwrap();
        path.display().to_string()
    };
    let identity = |password: &str| {
        let arguments = [
            ["--kafka-protocol", "sasl_plaintext"],
            ["--kafka-mechanism", "PLAIN"],
            ["--kafka-username", "foldline"],
            ["--kafka-password-file", password],
            ["--registry-username", "foldline"],
            ["--registry-password-file", &file("registry", REGISTRY_SECRET)],
            ["--kafka", "debug=all"],
        ];
        let arguments = arguments.as_flattened().iter();
        arguments.map(|text| (*text).to_owned()).collect::<Vec<_>>()
    };
    let issuer = Issuer::new(folder.path());
    let token = issuer.token("chef", "restaurant.menu:write restaurant.menu:read");
    let (right, wrong) = (file("right", KAFKA_SECRET), file("wrong", "siskin-canary-4713"));
    let system = System::start_secured(behind.clone(), "secured", PROGRAM, issuer.arguments(), |_| {
        identity(&right)
    })
    .await;

    let soup =
        json!({"type": "AddMenuItem", "description": "Soup", "price": {"amount": 5, "currency": "EUR"}});
    let write = system.write();
    let add = write
        .request(Method::POST, "/menu/items/soup/commands")
        .bearer_auth(&token);
    let added = write.send(add.json(&soup)).await.expect(201);
    let seen = added.header("consistency-token").unwrap().to_owned();
    let read = system.read();
    let get = read
        .request(Method::GET, "/menu/items/soup")
        .header("Consistency-Token", seen);
    read.send(get.header("Prefer", "wait=30").bearer_auth(&token))
        .await
        .expect(200);

    let identity = identity(&wrong);
    let more = identity.iter().map(String::as_str);
    let more: Vec<&str> = more.chain(["--log-level", "trace"]).collect();
    let refused = Handler::launch_with(&behind, "refused", PROGRAM, &more).await;
    let said = async || refused.log().contains("cannot start yet").then_some(());
    eventually("who has the wrong password comes to nothing", PATIENCE, said).await;
    assert!(!refused.write().is_ready().await);

    let basic = "Zm9sZGxpbmU6d2FndGFpbC1jYW5hcnktNDcxMg";
    let signature = token.rsplit('.').next().unwrap();
    let logs = Service::ALL.map(|service| system.log_of(service));
    for log in logs.iter().chain([&refused.log()]) {
        assert!(log.contains("TRACE") || log.contains("DEBUG"), "it says little");
        for secret in ["canary-471", basic, signature] {
            assert!(!log.contains(secret), "{secret} is in a log");
        }
    }
}

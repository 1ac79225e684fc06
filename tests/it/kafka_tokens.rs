//! OAUTHBEARER, for a program that was built with OpenSSL (`--features kafka-tls`): a broker that checks tokens of an
//! issuer, and services whose tokens are good for seconds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::issuer::{AUDIENCE, ISSUER, Issuer, claims, in_seconds};
use foldline_tests::system::{Service, System};
use foldline_tests::{secured, stack};
use reqwest::Method;
use serde_json::json;

use crate::PROGRAM;

/// How long a token is good for, in seconds.
const LIFE: i64 = 8;
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that knows its clients by tokens of this issuer, and lets none stay that shows no fresh one.
fn listener(port: u16, keys: &Path) -> Vec<(String, String)> {
    let name = |class: &str| format!("org.apache.kafka.common.security.oauthbearer.{class}");
    let more = vec![
        ("sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
        (
            "oauthbearer.sasl.jaas.config",
            format!("{} required;", name("OAuthBearerLoginModule")),
        ),
        (
            "oauthbearer.sasl.server.callback.handler.class",
            name("OAuthBearerValidatorCallbackHandler"),
        ),
        ("oauthbearer.connections.max.reauth.ms", "60000".to_owned()),
        (
            "sasl.oauthbearer.jwks.endpoint.url",
            format!("file://{}", keys.display()),
        ),
        ("sasl.oauthbearer.expected.audience", AUDIENCE.to_owned()),
        ("sasl.oauthbearer.expected.issuer", ISSUER.to_owned()),
    ];
    secured::listener(port, "SASL_PLAINTEXT", more)
}

/// Keeps a token fresh in a file, as an agent beside a service does, until it is to stop.
struct Agent {
    is_at_work: Arc<AtomicBool>,
}

impl Agent {
    fn start(issuer: Issuer, file: PathBuf) -> Self {
        let is_at_work = Arc::new(AtomicBool::new(true));
        let goes_on = Arc::clone(&is_at_work);
        write(&file, &token(&issuer, LIFE));
        std::thread::spawn(move || {
            while goes_on.load(Ordering::SeqCst) {
                // What it does is to come back after a time.
                std::thread::sleep(Duration::from_secs(1));
                write(&file, &token(&issuer, LIFE));
            }
        });
        Self { is_at_work }
    }

    fn stop(&self) {
        self.is_at_work.store(false, Ordering::SeqCst);
    }
}

fn token(issuer: &Issuer, seconds: i64) -> String {
    let mut claims = claims("foldline", "kafka");
    claims["exp"] = in_seconds(seconds).into();
    claims["iat"] = in_seconds(0).into();
    issuer.sign(&claims)
}

/// Whoever reads meanwhile finds the old one or the new one.
fn write(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

fn identity(file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    let arguments = [
        ["--kafka-protocol", "sasl_plaintext"],
        ["--kafka-token-file", &file],
    ];
    let arguments = arguments.as_flattened().iter();
    arguments.map(|text| (*text).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_outlive_their_tokens_for_as_long_as_somebody_keeps_them_fresh() {
    let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (issuer, other) = (Issuer::new(folder.path()), Issuer::new(elsewhere.path()));
    let keys = folder.path().join("jwks.json");
    let port = stack::free_port();
    let (_stack, kafka) = stack::own("tokens", |options| {
        options.broker_config.extend(listener(port, &keys));
        let allowed = format!(
            "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{}",
            keys.display()
        );
        options.broker_java.push(allowed);
    })
    .await;
    let stale = folder.path().join("stale");
    write(&stale, &token(&issuer, -5));
    let foreign = folder.path().join("foreign");
    write(&foreign, &token(&other, 600));
    let file = folder.path().join("token");
    let agent = Agent::start(issuer, file.clone());
    let behind = secured::settings(&kafka, port, &identity(&file));
    let auth = vec!["--auth".to_owned(), "none".to_owned()];
    let system = System::start_secured(behind.clone(), "tokens", PROGRAM, auth, |_| identity(&file)).await;

    // For several lives of a token, with a command and a read each.
    let until = in_seconds(3 * LIFE);
    let mut count = 0;
    while in_seconds(0) < until {
        count += 1;
        let path = format!("/counters/{count}/commands");
        let started = system.write().post(&path, &json!({"type": "StartCounter"})).await;
        let token = started
            .expect(201)
            .header("consistency-token")
            .unwrap()
            .to_owned();
        let get = system.read().request(Method::GET, &format!("/counters/{count}"));
        let get = get.header("Consistency-Token", token).header("Prefer", "wait=30");
        system.read().send(get).await.expect(200);
    }
    assert!(count > 20, "{count}");

    for (name, file) in [("stale", &stale), ("foreign", &foreign)] {
        let more = identity(file);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let refused = Handler::launch_with(&behind, name, PROGRAM, &more).await;
        let said = async || refused.log().contains("cannot start yet").then_some(());
        eventually(name, PATIENCE, said).await;
        assert!(!refused.write().is_ready().await, "{name}");
    }

    // With nobody to keep it fresh, Kafka shows them out when it has expired.
    agent.stop();
    let lost = async || (!system.write().is_ready().await).then_some(());
    eventually("a command handler without a token", PATIENCE, lost).await;
    let log = system.log_of(Service::CommandHandler);
    let secret = std::fs::read_to_string(&file).unwrap();
    let signature = secret.rsplit('.').next().unwrap();
    assert!(!log.contains(signature), "a token is in a log");
}

use std::time::Duration;

use foldline_service::HttpSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Served;

/// A service with a certificate of its own, and what a client must trust.
async fn served(settings: HttpSettings) -> (Served, reqwest::Certificate) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let settings = HttpSettings {
        tls_cert: Some(cert),
        tls_key: Some(key),
        ..settings
    };
    let trusted = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    (Served::start(settings).await, trusted)
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy()
}

#[tokio::test]
async fn a_listener_with_a_certificate_is_https_and_nothing_else() {
    let (served, trusted) = served(HttpSettings::default()).await;
    let port = served.address.port();
    let url = format!("https://localhost:{port}/hello");
    let knows = client().tls_certs_only([trusted]).build().unwrap();
    let answer = knows.get(&url).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    let other_name = knows.get(format!("https://127.0.0.1:{port}/hello")).send().await;
    assert!(other_name.is_err(), "the certificate is for another name");
    assert!(
        client().build().unwrap().get(&url).send().await.is_err(),
        "nobody vouches for it"
    );
    let plain = client()
        .build()
        .unwrap()
        .get(format!("http://localhost:{port}/hello"));
    assert!(plain.send().await.is_err());
    assert_eq!(knows.get(&url).send().await.unwrap().status(), 200, "it goes on");
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut() {
    let settings = HttpSettings {
        head_timeout: Duration::from_millis(200),
        connections_max: 1,
        ..HttpSettings::default()
    };
    let (served, trusted) = served(settings).await;
    let mut silent = served.connect().await;
    silent.0.write_all(&[0x16]).await.unwrap();
    let mut end = Vec::new();
    silent.0.read_to_end(&mut end).await.unwrap();
    // And the only place is free again.
    let knows = client().tls_certs_only([trusted]).build().unwrap();
    let url = format!("https://localhost:{}/hello", served.address.port());
    assert_eq!(knows.get(&url).send().await.unwrap().status(), 200);
}

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::routing::get;
use futures_util::future::join_all;
use http::Request;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::keys::NoKey;
use super::*;

const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "foldline";

/// A key of an issuer.
struct Signer {
    id: String,
    key: EncodingKey,
}

impl Signer {
    fn new(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        Self {
            id: id.to_owned(),
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
        }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        encode(&header, claims, &self.key).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now() + 600, "scope": "r.o:read r.o:write" })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn write(file: &Path, signers: &[&Signer]) {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    std::fs::write(file, json!({ "keys": keys }).to_string()).unwrap();
}

fn settings(jwks: &Path) -> AuthSettings {
    AuthSettings {
        auth: Some(AuthMode::Jwt),
        auth_issuer: Some(ISSUER.to_owned()),
        auth_audience: Some(AUDIENCE.to_owned()),
        auth_jwks: Some(jwks.display().to_string()),
        auth_algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        auth_leeway: Duration::from_secs(30),
    }
}

async fn open(settings: &AuthSettings) -> Result<Auth, AuthError> {
    Auth::open(settings, "127.0.0.1:0".parse().unwrap(), &HttpSettings::default()).await
}

/// What a route behind the guard answers to a request with these headers.
async fn asked(auth: &Auth, headers: &[(&str, &str)]) -> Response {
    let who = async |request: Request<Body>| {
        let caller = Caller::of(request.extensions());
        format!("{:?} {:?}", caller.subject(), caller.reads("r.o"))
    };
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let routes = auth.guard(Router::new().route("/", get(who)));
    routes
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn answer(auth: &Auth, token: &str) -> (u16, String) {
    let response = asked(auth, &[("authorization", &format!("Bearer {token}"))]).await;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let detail = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|problem| problem["detail"].as_str().map(str::to_owned));
    (status, detail.unwrap_or(text))
}

#[tokio::test]
async fn a_token_is_taken_only_if_everything_about_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let (known, other) = (Signer::new("a"), Signer::new("a"));
    write(&jwks, &[&known]);
    let auth = open(&settings(&jwks)).await.unwrap();
    let sign = |claims: Value| known.sign(&claims);

    let good = sign(claims());
    assert_eq!(answer(&auth, &good).await, (200, "Some(\"ada\") All".to_owned()));
    let in_a_list = sign(with("aud", json!(["x", AUDIENCE])));
    assert_eq!(answer(&auth, &in_a_list).await.0, 200);
    let as_a_list = sign(json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "exp": now() + 60, "scp": ["r.o:read-own"]
    }));
    assert_eq!(answer(&auth, &as_a_list).await.1, "Some(\"bob\") Own(\"bob\")");
    let within_leeway = sign(with("exp", json!(now() - 10)));
    assert_eq!(answer(&auth, &within_leeway).await.0, 200);

    let mut parts = good.split('.');
    let mut part = || parts.next().unwrap();
    let (head, body, signature) = (part(), part(), part());
    // {"alg":"none","kid":"a"}, without and with a signature of another algorithm.
    let none = "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9";
    let secret = encode(
        &Header {
            kid: Some("a".to_owned()),
            ..Header::new(Algorithm::HS256)
        },
        &claims(),
        &EncodingKey::from_secret(known.jwk()["x"].as_str().unwrap().as_bytes()),
    )
    .unwrap();
    let refused = [
        (sign(with("exp", json!(now() - 31))), "the token has expired"),
        (sign(with("nbf", json!(now() + 60))), "the token is not valid yet"),
        (
            sign(with("iss", json!("https://other.test"))),
            "the token is of another issuer",
        ),
        (
            sign(with("aud", json!("other"))),
            "the token is for somebody else",
        ),
        (
            sign(with("sub", json!(""))),
            "the token lacks a claim, or has one that cannot be understood",
        ),
        (
            sign(json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ada" })),
            "the token lacks a claim, or has one that cannot be understood",
        ),
        (other.sign(&claims()), "the token is not signed by the issuer"),
        (format!("{none}.{body}."), "the token is no JWT"),
        (format!("{none}.{body}.{signature}"), "the token is no JWT"),
        (
            secret,
            "the token is signed with an algorithm that is not allowed",
        ),
        (
            format!(
                "{head}.{}.{signature}",
                sign(with("sub", json!("eve"))).split('.').nth(1).unwrap()
            ),
            "the token is not signed by the issuer",
        ),
        ("a".repeat(20_000), "the token is no JWT"),
        (String::new(), "the token is no JWT"),
    ];
    for (token, why) in refused {
        assert_eq!(answer(&auth, &token).await, (401, why.to_owned()), "{token}");
    }
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let signer = Signer::new("a");
    write(&jwks, &[&signer]);
    let auth = open(&settings(&jwks)).await.unwrap();
    let challenge = |response: &Response| response.headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    let response = asked(&auth, &[]).await;
    assert_eq!(response.status(), 401);
    assert_eq!(challenge(&response), "Bearer realm=\"foldline\"");
    let good = format!("Bearer {}", signer.sign(&claims()));
    for bad in [
        vec![("authorization", "Basic YTpi")],
        vec![("authorization", "Bearer")],
        vec![("authorization", &*good), ("authorization", &*good)],
    ] {
        let response = asked(&auth, &bad).await;
        assert_eq!(response.status(), 401, "{bad:?}");
        assert!(
            challenge(&response).contains("error=\"invalid_token\""),
            "{bad:?}"
        );
    }
    let scheme_in_small = good.replacen("Bearer", "bearer", 1);
    assert_eq!(
        asked(&auth, &[("authorization", &scheme_in_small)])
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn an_unknown_key_has_the_keys_read_again_but_not_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let [a, b, c] = ["a", "b", "c"].map(Signer::new);
    let keys = |apart, age| Keys::new(Source::File(jwks.clone())).read_at_most(apart, age);
    let (moment, long) = (Duration::ZERO, Duration::from_secs(600));

    write(&jwks, &[&a]);
    let often = keys(moment, long);
    assert!(often.get(Some("a")).await.is_ok() && often.get(None).await.is_ok());
    write(&jwks, &[&a, &b]);
    assert!(often.get(Some("b")).await.is_ok());
    assert!(
        matches!(often.get(None).await, Err(NoKey::Unknown)),
        "there are two"
    );

    let seldom = keys(long, long);
    assert!(matches!(seldom.get(Some("c")).await, Err(NoKey::Unknown)));
    write(&jwks, &[&a, &b, &c]);
    assert!(
        matches!(seldom.get(Some("c")).await, Err(NoKey::Unknown)),
        "read a moment ago"
    );
    assert!(seldom.get(Some("a")).await.is_ok());

    // What the issuer has withdrawn is gone with the age of the reading.
    let old = keys(moment, moment);
    assert!(old.get(Some("a")).await.is_ok());
    write(&jwks, &[&b]);
    assert!(matches!(old.get(Some("a")).await, Err(NoKey::Unknown)));
    // What cannot be read takes nothing from what is known.
    std::fs::write(&jwks, "{").unwrap();
    assert!(old.get(Some("b")).await.is_ok());
    assert!(matches!(
        keys(moment, moment).get(Some("b")).await,
        Err(NoKey::Away(_))
    ));
}

#[tokio::test]
async fn an_issuer_that_withdraws_its_last_key_is_not_believed_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let signer = Signer::new("a");
    write(&jwks, &[&signer]);
    let moment = Duration::ZERO;
    let keys = Keys::new(Source::File(jwks.clone())).read_at_most(moment, moment);
    assert!(keys.get(Some("a")).await.is_ok());
    write(&jwks, &[]);
    assert!(matches!(keys.get(Some("a")).await, Err(NoKey::Unknown)));
    // Nor is it when it cannot be asked again.
    std::fs::remove_file(&jwks).unwrap();
    assert!(matches!(keys.get(Some("a")).await, Err(NoKey::Unknown)));
    write(&jwks, &[&signer]);
    assert!(keys.get(Some("a")).await.is_ok());
}

#[tokio::test]
async fn who_waits_behind_a_reading_that_fails_is_told_with_it() {
    // The kernel takes connections to it, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", silent.local_addr().unwrap());
    let patience = Duration::from_millis(500);
    let client = reqwest::Client::builder().timeout(patience).build().unwrap();
    let keys = Keys::new(Source::Url { client, url }).read_at_most(patience, patience);
    let start = Instant::now();
    let told = join_all((0..20).map(|_| keys.get(Some("a")))).await;
    assert!(told.iter().all(|told| matches!(told, Err(NoKey::Away(_)))));
    // One after the other, they would have taken 20 times its patience.
    assert!(start.elapsed() < 10 * patience, "{:?}", start.elapsed());
}

#[tokio::test]
async fn keys_come_over_a_plain_connection_from_this_machine_alone() {
    for taken in [
        "https://id.example.org/jwks.json",
        "http://127.0.0.1:8000/jwks.json",
        "http://[::1]:8000/jwks.json",
        "http://localhost/jwks.json",
    ] {
        assert!(Source::url(taken).is_ok(), "{taken}");
    }
    for refused in [
        "http://id.example.org/jwks.json",
        "http://10.0.0.1/jwks.json",
        "http://localhost.example.org/jwks.json",
        "http://127.0.0.1.example.org/jwks.json",
        "http://127.0.0.1@example.org/jwks.json",
        "http://",
    ] {
        let error = Source::url(refused).err();
        assert!(matches!(error, Some(KeysError::PlainUrl)), "{refused}");
    }
}

#[tokio::test]
async fn a_secret_or_a_key_for_encryption_checks_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let signer = Signer::new("a");
    let mut encrypts = signer.jwk();
    encrypts["use"] = "enc".into();
    let secret = json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "HS256" });
    std::fs::write(
        &jwks,
        json!({ "keys": [encrypts, secret, { "kty": "new" }] }).to_string(),
    )
    .unwrap();
    let error = open(&settings(&jwks)).await.err().unwrap();
    assert!(matches!(error, AuthError::Keys(KeysError::NoKey)), "{error}");
    // A key that is for another algorithm is for no other.
    let mut other = signer.jwk();
    other["alg"] = "RS256".into();
    std::fs::write(&jwks, json!({ "keys": [other] }).to_string()).unwrap();
    let auth = open(&settings(&jwks)).await.unwrap();
    assert_eq!(answer(&auth, &signer.sign(&claims())).await.0, 401);
}

#[tokio::test]
async fn a_service_that_does_not_say_who_may_ask_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let whole = settings(&jwks);
    let error = |settings: AuthSettings| async move { open(&settings).await.err().unwrap().to_string() };
    let nothing = error(AuthSettings::default()).await;
    assert!(
        nothing.contains("--auth none") && nothing.contains("--auth-issuer"),
        "{nothing}"
    );
    let without = |change: fn(&mut AuthSettings)| {
        let mut settings = whole.clone();
        change(&mut settings);
        settings
    };
    let issuer = error(without(|settings| settings.auth_issuer = None)).await;
    assert_eq!(issuer, "--auth jwt needs --auth-issuer");
    let audience = error(without(|settings| settings.auth_audience = None)).await;
    assert_eq!(audience, "--auth jwt needs --auth-audience");
    let keys = error(without(|settings| settings.auth_jwks = None)).await;
    assert_eq!(keys, "--auth jwt needs --auth-jwks");
    let no_file = error(whole.clone()).await;
    assert!(no_file.contains("jwks.json"), "{no_file}");
    write(&jwks, &[&Signer::new("a")]);
    assert!(open(&whole).await.is_ok());
    let anywhere = "0.0.0.0:80".parse().unwrap();
    let http = HttpSettings::default();
    let error = Auth::open(&whole, anywhere, &http)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("--tls-cert") && error.contains("0.0.0.0:80"),
        "{error}"
    );
    let behind = HttpSettings {
        behind_tls_proxy: true,
        ..http
    };
    assert!(Auth::open(&whole, anywhere, &behind).await.is_ok());
    assert!(asymmetric("HS256").is_err() && asymmetric("none").is_err() && asymmetric("PS256").is_ok());
}

#[tokio::test]
async fn where_nobody_is_asked_everybody_may_do_everything() {
    let response = asked(&Auth::none(), &[]).await;
    let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
    assert_eq!(body, "None All");
}

#[tokio::test]
async fn a_live_stream_ends_when_its_token_does() {
    let stream = |kind: &'static str| {
        let endless = futures_util::stream::repeat(Ok::<_, std::convert::Infallible>("data: x\n\n"));
        let endless = endless.then(async |text| {
            tokio::task::yield_now().await;
            text
        });
        ([(CONTENT_TYPE, kind)], Body::from_stream(endless)).into_response()
    };
    let lives_for = Duration::from_millis(50);
    let ends = until(lives_for, stream("text/event-stream")).into_body();
    let read = axum::body::to_bytes(ends, usize::MAX);
    assert!(tokio::time::timeout(Duration::from_secs(20), read).await.is_ok());
    // Anything else is one answer, and is finished.
    let goes_on = until(Duration::ZERO, stream("text/csv")).into_body();
    let mut goes_on = goes_on.into_data_stream();
    for _ in 0..3 {
        assert!(goes_on.next().await.is_some());
    }
}

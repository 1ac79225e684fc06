//! What is sealed by a key that is not known is told to nobody: not opened, and not as if it were erased.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::body::Body;
use foldline_core::personal::{KeyId, Opener, Opening, Sealed, SubjectKey};
use foldline_query_api::Openers;
use foldline_views::{Batch, HISTORY, HistoryEvent};
use http::Request;
use serde_json::json;

use crate::toy::{COATS, Fixture, applied, ask, commit, event, put};

/// Keys that come while somebody reads; `None` in place of one that was thrown away.
#[derive(Default)]
struct Keys(Mutex<HashMap<KeyId, Option<SubjectKey>>>);

impl Keys {
    fn make(&self, key: &SubjectKey) {
        self.0.lock().unwrap().insert(key.id(), Some(key.clone()));
    }

    fn erase(&self, key: &SubjectKey) {
        self.0.lock().unwrap().insert(key.id(), None);
    }
}

impl Opener for Keys {
    fn open(&self, sealed: &Sealed<'_>) -> Opening {
        match self.0.lock().unwrap().get(&sealed.key) {
            None => Opening::Unknown,
            Some(None) => Opening::Erased,
            Some(Some(key)) => key.open(sealed).map_or(Opening::Erased, Opening::Says),
        }
    }
}

/// Looks for a key until it is told that it has looked long enough.
struct Slow {
    keys: Arc<Keys>,
    enough: Mutex<mpsc::Receiver<()>>,
}

impl Opener for Slow {
    fn open(&self, sealed: &Sealed<'_>) -> Opening {
        let _ = self.enough.lock().unwrap().recv_timeout(Duration::from_secs(30));
        self.keys.open(sealed)
    }
}

fn key(number: u8) -> SubjectKey {
    SubjectKey::new(KeyId::new([number; 12]), [number; SubjectKey::LENGTH])
}

fn by(keys: &Arc<Keys>) -> Openers {
    Openers {
        at_once: keys.clone(),
        looking: keys.clone(),
    }
}

/// A coat whose colour and pocket only the key can tell.
fn coat(key: &SubjectKey) -> String {
    let (colour, side) = (key.seal("red"), key.seal("left"));
    json!({ "id": "7", "colour": colour, "pockets": [{ "id": "l", "side": side, "coins": 1 }] }).to_string()
}

const COAT: &str = "/cloakroom/coats/7";
const POCKETS: &str = "/cloakroom/coats/7/pockets";

#[tokio::test]
async fn what_is_sealed_by_an_unknown_key_is_no_answer_and_not_erased() {
    let (keys, key) = (Arc::<Keys>::default(), key(1));
    let (fixture, mut writer) = Fixture::opening(by(&keys));
    commit(&mut *writer, vec![put("coats", "7", &coat(&key))], vec![]);
    for uri in [
        COAT,
        "/cloakroom/coats",
        "/cloakroom/coats?format=ndjson",
        POCKETS,
        "/cloakroom/coats/7/pockets?format=csv",
    ] {
        let answer = fixture.get(uri).await;
        answer.is_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1", "{uri}");
        assert!(!answer.body.to_string().contains("erased"), "{}", answer.body);
    }
    keys.make(&key);
    assert_eq!(fixture.get(COAT).await.body["colour"], "red");
    assert_eq!(
        fixture.get("/cloakroom/coats/7/pockets?side=left").await.ids(),
        "l"
    );
}

#[tokio::test]
async fn whoever_has_something_from_before_an_erasure_is_told_that_it_has_changed() {
    let (keys, key) = (Arc::<Keys>::default(), key(1));
    let (fixture, mut writer) = Fixture::opening(by(&keys));
    let pocket = format!("{POCKETS}/1");
    let doc = json!({ "pockets": [{ "id": "l", "side": key.seal("left"), "pocket": pocket }] });
    commit(&mut *writer, vec![put("coats", "7", &doc.to_string())], vec![]);
    keys.make(&key);
    for uri in [COAT, POCKETS, pocket.as_str()] {
        assert_eq!(fixture.get(uri).await.header("etag"), "\"3\"", "{uri}");
    }
    keys.erase(&key);
    for uri in [COAT, POCKETS, pocket.as_str()] {
        let answer = fixture.get_with(uri, &[("if-none-match", "\"3\"")]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("etag")),
            (200, "\"3-erased\""),
            "{uri}"
        );
        assert!(answer.body.to_string().contains("erased"), "{uri}");
    }
}

#[tokio::test]
async fn a_table_that_comes_to_an_unknown_key_breaks_off() {
    let (keys, known, unknown) = (Arc::<Keys>::default(), key(1), key(2));
    keys.make(&known);
    let (fixture, mut writer) = Fixture::opening(by(&keys));
    let rows = (0..300).map(|n| {
        let key = if n < 250 { &known } else { &unknown };
        put("coats", &format!("{n:03}"), &coat(key))
    });
    commit(&mut *writer, rows.collect(), vec![]);
    let mut stream = fixture.open("/cloakroom/coats?format=ndjson", &[]).await;
    assert!(stream.part().await.unwrap().unwrap().contains("red"));
    assert!(stream.rest().await.is_err(), "nobody takes a part for the whole");
}

#[tokio::test]
async fn a_follower_is_told_all_of_it_in_order_when_the_key_is_known() {
    let (keys, key) = (Arc::<Keys>::default(), key(1));
    let (fixture, mut writer) = Fixture::opening(by(&keys));
    let sealed = json!({ "event_type": "HungUp", "sequence": 1, "colour": key.seal("red") });
    let first = HistoryEvent {
        json: sealed.to_string(),
        ..event(COATS, "7", 1)
    };
    let batch = Batch {
        history: vec![first, event(COATS, "7", 2)],
        moves: vec![applied(HISTORY, COATS, 2)],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    let mut stream = fixture.follow("/cloakroom/coats/7/events", None).await;
    let early = tokio::time::timeout(Duration::from_millis(100), stream.event());
    assert!(early.await.is_err(), "it was told what nobody knows");
    keys.make(&key);
    let told = stream.events(2).await;
    assert_eq!(told[0].json()["colour"], "red");
    assert_eq!(told[1].json()["sequence"], 2);
}

#[tokio::test]
async fn a_key_that_is_looked_for_keeps_nobody_else_waiting() {
    let (keys, key) = (Arc::<Keys>::default(), key(1));
    let (enough, wait) = mpsc::channel::<()>();
    let looking = Slow {
        keys: Arc::clone(&keys),
        enough: Mutex::new(wait),
    };
    let openers = Openers {
        at_once: keys.clone(),
        looking: Arc::new(looking),
    };
    let (fixture, mut writer) = Fixture::opening(openers);
    let rows = vec![put("coats", "7", &coat(&key)), put("coats", "8", "{}")];
    commit(&mut *writer, rows, vec![]);

    let request = Request::get(COAT).body(Body::empty()).unwrap();
    let waiting = tokio::spawn(ask(fixture.app.clone(), request));
    tokio::task::yield_now().await;
    assert_eq!(fixture.get("/cloakroom/coats/8").await.status, 200);
    assert!(!waiting.is_finished());
    // Somebody has made it.
    keys.make(&key);
    drop(enough);
    assert_eq!(waiting.await.unwrap().body["colour"], "red");
}

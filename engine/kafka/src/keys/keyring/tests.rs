use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use foldline_core::Timestamp;
use foldline_core::personal::{KeyId, Opening, Sealed};

use super::{Held, Keyring, LOOK_AGAIN, LOOK_FOR_MAX, PARTITION};
use crate::KafkaSettings;
use crate::broker::{Broker, KafkaBroker, Record, Seat};
use crate::follower::FollowError;
use crate::keys::record::KeyRecord;
use crate::runtime::{Runtime, Threads};
use crate::sim::alone;

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    kafka: KafkaSettings,
}

fn kafka() -> KafkaSettings {
    Settings::parse_from(["test"]).kafka
}

/// One that is told what the topic says, and asks nobody.
fn keyring() -> Keyring {
    let seam: (Arc<dyn Broker>, Arc<dyn Runtime>) =
        (Arc::new(KafkaBroker::new(&kafka())), Arc::new(Threads::current()));
    Keyring::new(&kafka(), seam, "test.keys".to_owned(), Arc::default())
}

/// Runs it on a cluster on which somebody has a transaction open that makes the key of customer 7.
fn beside_an_open_transaction(run: impl FnOnce(Keyring, Arc<AtomicBool>) + Send + 'static) {
    alone(move |broker, runtime| {
        let mut member = broker
            .join(Seat {
                group: "commands",
                member: "another",
                topics: &["counter.counters.commands"],
            })
            .unwrap();
        member.begin().unwrap();
        let key = KeyRecord::Key(Keyring::new_key()).encode(Timestamp(0));
        member
            .send(Record {
                topic: "test.keys",
                partition: PARTITION,
                key: Some(b"customers/7".as_slice().into()),
                value: Some(key.into()),
                headers: Vec::new(),
                number: 0,
            })
            .unwrap();
        let is_stopped = Arc::<AtomicBool>::default();
        let ring = Keyring::new(
            &kafka(),
            (broker, runtime),
            "test.keys".to_owned(),
            Arc::clone(&is_stopped),
        );
        run(ring, is_stopped);
    });
}

fn mark<const N: usize>(ids: [KeyId; N]) -> KeyRecord {
    KeyRecord::Erased {
        key: ids[0],
        others: ids[1..].to_vec(),
    }
}

#[test]
fn a_transaction_that_does_not_end_in_time_is_an_error_that_passes() {
    beside_an_open_transaction(|ring, _| {
        let late = ring.catch_up_within(Duration::from_secs(5)).unwrap_err();
        assert!(
            matches!(&late, FollowError::Unsettled { topic } if topic == "test.keys"),
            "{late}"
        );
        assert!(late.is_passing());
        // By then the cluster has given it up, and nothing of it counts.
        ring.catch_up().unwrap();
        assert!(matches!(ring.held("customers/7"), Held::Nothing));
    });
}

#[test]
fn who_is_to_stop_waits_for_no_transaction() {
    beside_an_open_transaction(|ring, is_stopped| {
        is_stopped.store(true, Ordering::SeqCst);
        assert!(matches!(ring.catch_up(), Err(FollowError::Stopped)));
    });
}

#[test]
fn a_key_that_was_looked_for_in_vain_is_not_looked_for_again_at_once_however_long_the_look_took() {
    beside_an_open_transaction(|ring, _| {
        let (key, began_at) = (Keyring::new_key().id(), ring.runtime.now());
        assert!(!ring.look_for(key));
        let looked_at = ring.runtime.now();
        assert!(looked_at - began_at >= LOOK_FOR_MAX);
        assert!(!ring.look_for(key));
        assert!(ring.runtime.now() - looked_at < LOOK_AGAIN);
    });
}

#[tokio::test]
async fn what_is_erased_stays_erased_whatever_comes_later() {
    let (ring, key) = (keyring(), Keyring::new_key());
    ring.note("customers/7", KeyRecord::Key(key.clone()));
    let text = key.seal("ada@example.org");
    let sealed = Sealed::parse(&text).unwrap();
    assert_eq!(
        ring.known(&sealed),
        Some(Opening::Says("ada@example.org".to_owned()))
    );
    ring.note("customers/7", mark([key.id()]));
    ring.note("customers/7", KeyRecord::Key(key.clone()));
    assert_eq!(ring.known(&sealed), Some(Opening::Erased));
    assert!(matches!(ring.held("customers/7"), Held::Erased(id) if id == key.id()));
    assert_eq!(ring.erasures(), 1);
}

#[tokio::test]
async fn a_key_that_is_made_while_its_subject_is_marked_is_gone_whichever_is_read_first() {
    let (made, marked) = (Keyring::new_key(), Keyring::new_key().id());
    let text = made.seal("ada@example.org");
    let sealed = Sealed::parse(&text).unwrap();
    for is_first in [true, false] {
        let ring = keyring();
        let read_mark = || ring.note("customers/7", mark([marked]));
        if is_first {
            read_mark();
        }
        ring.note("customers/7", KeyRecord::Key(made.clone()));
        if !is_first {
            read_mark();
        }
        assert_eq!(
            ring.known(&sealed),
            Some(Opening::Erased),
            "the mark first: {is_first}"
        );
        assert!(matches!(ring.held("customers/7"), Held::Erased(_)));
    }
}

#[tokio::test]
async fn all_that_a_mark_names_is_gone() {
    let keys = [Keyring::new_key(), Keyring::new_key()];
    let texts = keys.clone().map(|key| key.seal("ada@example.org"));
    let [made, marked] = keys.map(|key| key.id());
    let are_gone = |ring: &Keyring| {
        let known = texts.iter().map(|text| ring.known(&Sealed::parse(text).unwrap()));
        known.for_each(|known| assert_eq!(known, Some(Opening::Erased)));
        assert_eq!(ring.erasures(), 1);
    };
    // Kafka has kept nothing else.
    let ring = keyring();
    ring.note("customers/7", mark([made, marked]));
    are_gone(&ring);

    let ring = keyring();
    ring.note("customers/7", mark([marked]));
    ring.note("customers/7", mark([made, marked]));
    are_gone(&ring);
    assert!(matches!(ring.held("customers/7"), Held::Erased(id) if id == marked));
}

#[tokio::test]
async fn the_first_key_of_a_subject_is_its_key() {
    let (ring, first) = (keyring(), Keyring::new_key());
    ring.note("customers/7", KeyRecord::Key(first.clone()));
    ring.note("customers/7", KeyRecord::Key(Keyring::new_key()));
    assert!(matches!(ring.held("customers/7"), Held::Key(key) if key.id() == first.id()));
    assert!(matches!(ring.held("customers/8"), Held::Nothing));
}

#[tokio::test]
async fn a_claimed_value_is_the_same_each_time_and_another_one_for_each_secret() {
    let [one, other] = [[1; 32], [2; 32]].map(|secret| {
        let ring = keyring();
        ring.note("#secret", KeyRecord::Secret(secret));
        ring
    });
    let digest = |ring: &Keyring, email: &str| ring.digest("customers", "email", email);
    assert_eq!(digest(&one, "ada@x"), digest(&one, "ada@x"));
    assert_ne!(digest(&one, "ada@x"), digest(&one, "bea@x"));
    assert_ne!(digest(&one, "ada@x"), digest(&other, "ada@x"));
}

use std::sync::Arc;

use clap::Parser;
use foldline_core::personal::{Opening, Sealed};

use super::{Held, Keyring};
use crate::KafkaSettings;
use crate::broker::KafkaBroker;
use crate::keys::record::KeyRecord;

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    kafka: KafkaSettings,
}

/// One that is told what the topic says, and asks nobody.
fn keyring() -> Keyring {
    let kafka = Settings::parse_from(["test"]).kafka;
    Keyring::new(&kafka, Arc::new(KafkaBroker::new(&kafka)), "test.keys".to_owned())
}

#[test]
fn what_is_erased_stays_erased_whatever_comes_later() {
    let (ring, key) = (keyring(), Keyring::new_key());
    ring.note("customers/7", KeyRecord::Key(key.clone()));
    let text = key.seal("ada@example.org");
    let sealed = Sealed::parse(&text).unwrap();
    assert_eq!(
        ring.known(&sealed),
        Some(Opening::Says("ada@example.org".to_owned()))
    );
    ring.note("customers/7", KeyRecord::Erased { key: key.id() });
    ring.note("customers/7", KeyRecord::Key(key.clone()));
    assert_eq!(ring.known(&sealed), Some(Opening::Erased));
    assert!(matches!(ring.held("customers/7"), Held::Erased(id) if id == key.id()));
    assert_eq!(ring.erasures(), 1);
}

#[test]
fn the_first_key_of_a_subject_is_its_key() {
    let (ring, first) = (keyring(), Keyring::new_key());
    ring.note("customers/7", KeyRecord::Key(first.clone()));
    ring.note("customers/7", KeyRecord::Key(Keyring::new_key()));
    assert!(matches!(ring.held("customers/7"), Held::Key(key) if key.id() == first.id()));
    assert!(matches!(ring.held("customers/8"), Held::Nothing));
}

#[test]
fn a_claimed_value_is_the_same_each_time_and_another_one_for_each_secret() {
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

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use foldline_core::personal::{Opener, Opening, Sealed, SubjectKey};
use foldline_core::{Domain, Domains, Timestamp};
use foldline_domains::restaurant::customers::Customer;
use futures_util::FutureExt;

use super::mark::{Marked, append, noted};
use super::{Person, STEP_MAX, Work};
use crate::Cluster;
use crate::broker::{Broker, Member, Record, Seat};
use crate::follower::FollowError;
use crate::keys::{KeyRecord, Keyring, PARTITION};
use crate::runtime::Runtime;
use crate::sim::{alone, nowhere};

const COMMANDS: &str = "counter.counters.commands";
const EVENTS: &str = "restaurant.customers.events";
const KEYS: &str = "restaurant.keys";
const ADA: &str = "customers/ada";

/// The cluster takes up to 3 ms to mark a transaction.
const OFTEN: i64 = 50;

/// The erasure of customer ada.
fn work(broker: &Arc<dyn Broker>, runtime: &Arc<dyn Runtime>) -> Work {
    let domains = Domains::new([Domain::new("restaurant").aggregate::<Customer>()]).unwrap();
    let subject = Person::at(&domains, "/customers/ada").unwrap();
    Work {
        kafka: nowhere(),
        broker: Arc::clone(broker),
        runtime: Arc::clone(runtime),
        cluster: Cluster {
            id: "simulated".to_owned(),
            partitions: HashMap::new(),
        },
        types: Vec::new(),
        domains,
        subject,
    }
}

/// Somebody who can commit.
fn worker(broker: &dyn Broker) -> Box<dyn Member> {
    let seat = Seat {
        group: "commands",
        member: "worker",
        topics: &[COMMANDS],
    };
    let mut worker = broker.join(seat).unwrap();
    while worker.changes().assigned.is_empty() {
        let taken = worker.take(Duration::from_millis(50), &mut |_| ControlFlow::Continue(()));
        taken.unwrap();
    }
    worker
}

fn send(worker: &mut dyn Member, topic: &str, key: &str, value: Vec<u8>) {
    worker.begin().unwrap();
    let record = Record {
        topic,
        partition: PARTITION,
        key: Some(key.to_owned().into()),
        value: Some(value.into()),
        headers: Vec::new(),
        number: 0,
    };
    worker.send(record).unwrap();
}

fn commit(worker: &mut dyn Member, offset: i64) {
    worker.commit(&[((COMMANDS, 0), offset)]).unwrap();
}

/// What is on the topic of keys.
fn values(broker: &dyn Broker) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    let from = HashMap::from([(PARTITION, 0)]);
    let read = broker.read_to_ends(KEYS, &from, &mut |message| {
        values.extend(message.value.map(<[u8]>::to_vec));
        Ok(())
    });
    read.unwrap();
    values
}

#[test]
fn a_key_that_is_committed_but_cannot_be_read_yet_is_the_one_that_is_marked() {
    alone(|broker, runtime| {
        let mut worker = worker(&*broker);
        for number in 0..OFTEN {
            let (subject, key) = (format!("customers/{number}"), Keyring::new_key());
            let record = KeyRecord::Key(key.clone()).encode(Timestamp(0));
            send(&mut *worker, KEYS, &subject, record);
            commit(&mut *worker, number);
            let noted = noted((&*broker, &*runtime), KEYS, &subject, STEP_MAX).unwrap();
            let marked = Marked::instead_of(noted, KEYS.to_owned());
            assert!(
                marked.is_known && marked.others.is_empty(),
                "{number}: {marked:?}"
            );
            assert_eq!(marked.id, key.id());
        }
        send(&mut *worker, KEYS, ADA, Vec::new());
        let open = noted((&*broker, &*runtime), KEYS, ADA, Duration::from_secs(5));
        assert!(matches!(open, Err(FollowError::Unsettled { .. })));
    });
}

#[test]
fn the_key_of_who_got_it_while_they_were_marked_is_named_by_the_mark_that_stays() {
    alone(|broker, runtime| {
        let mark = || {
            let noted = noted((&*broker, &*runtime), KEYS, ADA, STEP_MAX).unwrap();
            let marked = Marked::instead_of(noted, KEYS.to_owned());
            let appended = append(&*broker, &marked, ADA).now_or_never();
            appended.unwrap().unwrap();
            marked
        };
        let first = mark();
        let key = Keyring::new_key();
        let mut worker = worker(&*broker);
        let record = KeyRecord::Key(key.clone()).encode(Timestamp(0));
        send(&mut *worker, KEYS, ADA, record);
        commit(&mut *worker, 1);
        let second = mark();
        assert_eq!((second.id, &second.others[..]), (key.id(), &[first.id][..]));
        let third = mark();
        assert_eq!((third.id, third.others), (second.id, second.others.clone()));

        let keys = [key, SubjectKey::new(first.id, [0; SubjectKey::LENGTH])];
        let texts = keys.map(|key| key.seal("ada@example.org"));
        let is_sealed = second.has_sealed();
        assert!(texts.iter().all(|text| is_sealed(text.as_bytes())));
        // Kafka keeps the newest record of each subject.
        let newest = values(&*broker).pop().unwrap();
        let ring = Keyring::new(&nowhere(), (broker, runtime), KEYS.to_owned(), Arc::default());
        ring.note(ADA, KeyRecord::decode(&newest).unwrap());
        for text in &texts {
            assert_eq!(
                ring.open(&Sealed::parse(text).unwrap()),
                Opening::Erased,
                "{text}"
            );
        }
    });
}

#[test]
fn an_event_behind_an_open_transaction_is_waited_for() {
    alone(|broker, runtime| {
        let (work, mut worker) = (work(&broker, &runtime), worker(&*broker));
        send(&mut *worker, EVENTS, "bea", Vec::new());
        let appender = broker.appender().unwrap();
        let event = appender
            .append((EVENTS, PARTITION), "ada", b"", Vec::new())
            .now_or_never();
        event.unwrap().unwrap();
        // The cluster gives the transaction up meanwhile.
        let mut found = Vec::new();
        let read = work.read(EVENTS, 1, &mut |message| {
            found.extend(message.key.map(<[u8]>::to_vec));
            Ok(())
        });
        read.unwrap();
        assert_eq!(found, [b"ada"]);
    });
}

#[test]
fn who_is_killed_while_files_are_rolled_holds_readers_up_for_no_longer_than_a_worker() {
    alone(|broker, runtime| {
        let roller = work(&broker, &runtime).roller();
        assert_eq!(roller.get("transaction.timeout.ms"), Some("10000"));
    });
}

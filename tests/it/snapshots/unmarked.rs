use std::time::{Duration, Instant};

use foldline_kafka::{KafkaSettings, check_topics, read_snapshots};
use foldline_tests::{domains, records, stack};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::engines::{assert_checkpoints_hold, folder, start, work};

const PATIENCE: Duration = Duration::from_secs(30);
const CHECKPOINTS_MAX: Duration = Duration::from_secs(60);

/// Between the answer to a commit and its markers, nobody who reads committed records sees what it wrote. Here transactions of
/// others make that moment last: in the snapshots, so that their topic looks empty, and longer in the events.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_covers_nothing_that_was_committed_and_could_not_be_read_yet() {
    let domains = domains();
    let kafka = stack::kafka("unmarked", &domains).await;
    let engine = start(&kafka, &folder(), &domains, 10).await;
    let customers = records::aggregate("restaurant.customers");
    let cluster = check_topics(&kafka, &domains).await.unwrap();

    let in_snapshots =
        tokio::task::block_in_place(|| open(&kafka, &kafka.topics().snapshots(customers.info())));
    work(&engine, &domains, 0..3).await;
    let in_events = tokio::task::block_in_place(|| open(&kafka, &kafka.topics().events(customers.info())));
    work(&engine, &domains, 3..10).await;
    in_snapshots
        .producer
        .abort_transaction(PATIENCE)
        .expect("it ends");
    let ended_at = Instant::now();
    let mut round = 10;
    loop {
        work(&engine, &domains, round..round + 1).await;
        round += 1;
        let current = read_snapshots(&kafka, &customers, &cluster).await.unwrap();
        let is_beyond = |(partition, offset): &(i32, i64)| {
            let checkpoint = current.checkpoints.get(partition);
            checkpoint.is_some_and(|checkpoint| checkpoint.event_offset > *offset)
        };
        if in_events.at.iter().any(is_beyond) {
            break;
        }
        assert!(
            ended_at.elapsed() < CHECKPOINTS_MAX,
            "no checkpoint comes any more"
        );
    }
    in_events.producer.abort_transaction(PATIENCE).expect("it ends");
    engine.stop().await;

    let (snapshots, covered) = assert_checkpoints_hold(&kafka, &domains).await;
    assert!(
        snapshots > 150 && covered > 400,
        "{snapshots} snapshots cover {covered} events"
    );
}

/// A transaction, and where its records lie in each partition of a topic.
struct Open {
    producer: BaseProducer,
    at: Vec<(i32, i64)>,
}

fn open(kafka: &KafkaSettings, topic: &str) -> Open {
    let mut config = kafka.client();
    config.set(
        "transactional.id",
        format!("{}somebody-in-{topic}", kafka.topic_prefix),
    );
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("Kafka is there");
    producer.begin_transaction().expect("a transaction");
    let metadata = producer.client().fetch_metadata(Some(topic), PATIENCE);
    let metadata = metadata.expect("the topic is there");
    let mut at = Vec::new();
    for partition in metadata.topics()[0].partitions() {
        let record = BaseRecord::to(topic)
            .partition(partition.id())
            .key("nobody")
            .payload("");
        producer.send(record).expect("a record");
        let range = producer
            .client()
            .fetch_watermarks(topic, partition.id(), PATIENCE);
        at.push((partition.id(), range.expect("the partition is there").1));
    }
    producer.flush(PATIENCE).expect("the records are there");
    Open { producer, at }
}

//! Tries to do one thing, and says whether Kafka lets it be done.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use foldline_kafka::{KafkaSettings, Operation};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::block_in_place;

const PATIENCE: Duration = Duration::from_secs(20);
/// A setting that does no harm, and a value that no topic has.
const SETTING: (&str, &str) = ("file.delete.delay.ms", "59999");

/// Somebody who tries.
pub(super) struct Probe {
    kafka: KafkaSettings,
    admin: AdminClient<DefaultClientContext>,
    /// Somebody who may see everything.
    overseer: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
    reader: BaseConsumer,
}

impl Probe {
    pub(super) fn new(kafka: KafkaSettings, overseer: &KafkaSettings) -> Self {
        let producer = kafka.client().set("message.timeout.ms", "20000").create();
        let reader = kafka
            .client()
            .set("group.id", "of-no-group")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "5")
            .create();
        Self {
            admin: kafka.client().create().unwrap(),
            overseer: overseer.client().create().unwrap(),
            producer: producer.unwrap(),
            reader: reader.unwrap(),
            kafka,
        }
    }

    /// Whether the operation on the topic is allowed. What is tried changes something only where it should be refused.
    pub(super) async fn topic(&self, operation: Operation, topic: &str) -> bool {
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let code = match operation {
            Operation::Read => return block_in_place(|| self.read(topic)),
            Operation::Write => {
                let record: FutureRecord<'_, str, str> =
                    FutureRecord::to(topic).partition(0).key("probe").payload("probe");
                let sent = self.producer.send(record, PATIENCE).await;
                sent.err().and_then(|(error, _)| error.rdkafka_error_code())
            }
            Operation::Describe => block_in_place(|| self.sees(topic)),
            Operation::Create => {
                let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
                let options = options.validate_only(true);
                let made = self.admin.create_topics([&new], &options).await.unwrap();
                // It is there already; who may not make it is not told so.
                code(made).filter(|code| *code != Code::TopicAlreadyExists)
            }
            Operation::Delete => code(self.admin.delete_topics(&[topic], &options).await.unwrap()),
            Operation::Alter => {
                let more = NewPartitions::new(topic, 8);
                code(self.admin.create_partitions([&more], &options).await.unwrap())
            }
            // rdkafka drops the errors of these two, so it is seen by what has come of them.
            Operation::AlterConfigs => {
                let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(SETTING.0, SETTING.1);
                self.admin.alter_configs([&change], &options).await.unwrap();
                return setting(&self.overseer, topic).await.as_deref() == Some(SETTING.1);
            }
            Operation::DescribeConfigs => return setting(&self.admin, topic).await.is_some(),
            other => panic!("{other} is nothing that can be done to a topic"),
        };
        match code {
            None => true,
            Some(Code::TopicAuthorizationFailed) => false,
            Some(code) => panic!("{operation} {topic}: {code}"),
        }
    }

    /// What keeps it from seeing that the topic is there.
    fn sees(&self, topic: &str) -> Option<Code> {
        let seen = self.reader.fetch_metadata(Some(topic), PATIENCE).unwrap();
        seen.topics()[0].error().map(Code::from)
    }

    fn read(&self, topic: &str) -> bool {
        // Who may not even see it is never answered.
        if self.sees(topic) == Some(Code::TopicAuthorizationFailed) {
            return false;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(0)).unwrap();
        self.reader.assign(&list).unwrap();
        let started_at = Instant::now();
        let mut passed = Vec::new();
        let is_read = loop {
            assert!(started_at.elapsed() < PATIENCE, "nothing of {topic}: {passed:?}");
            match self.reader.poll(Duration::from_millis(100)) {
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => break true,
                Some(Err(error)) if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) => {
                    break false;
                }
                // That the group is not ours is none of the question.
                Some(Err(error)) => passed.push(error),
                None => {}
            }
        };
        self.reader.unassign().unwrap();
        is_read
    }

    /// What is allowed of a group: to be its member, to ask for it, or nothing. Nobody joins for a topic that they do not
    /// see.
    pub(super) fn group(&self, group: &str, topic: &str) -> Option<Operation> {
        let consumer: BaseConsumer<Told> = self
            .kafka
            .client()
            .set("group.id", group)
            .create_with_context(Told::default())
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let started_at = Instant::now();
        loop {
            assert!(
                started_at.elapsed() < PATIENCE,
                "nothing of the group {group} for {topic}"
            );
            let _ = consumer.poll(Duration::from_millis(20));
            let told = consumer.context().0.lock().unwrap().take();
            match told.as_deref() {
                Some("assigned") => return Some(Operation::Read),
                Some(reason) if reason.contains("FindCoordinator") => return None,
                Some(reason) if reason.contains("Join") => return Some(Operation::Describe),
                _ => {}
            }
        }
    }

    /// Whether it may have transactions under this id.
    pub(super) fn transactions(&self, id: &str) -> bool {
        let producer: BaseProducer = self.kafka.client().set("transactional.id", id).create().unwrap();
        match producer.init_transactions(PATIENCE) {
            Ok(()) => true,
            Err(error) => {
                let refused = Some(Code::TransactionalIdAuthorizationFailed);
                assert_eq!(error.rdkafka_error_code(), refused, "{id}: {error}");
                false
            }
        }
    }
}

/// A setting of a topic, if one is told.
async fn setting(admin: &AdminClient<DefaultClientContext>, topic: &str) -> Option<String> {
    let topic = ResourceSpecifier::Topic(topic);
    let told = admin
        .describe_configs([&topic], &AdminOptions::new())
        .await
        .unwrap();
    let told = told.into_iter().next()?.ok()?;
    told.get(SETTING.0)?.value.clone()
}

fn code(mut results: Vec<Result<String, (String, Code)>>) -> Option<Code> {
    results.remove(0).err().map(|(_, code)| code)
}

/// What a member of a group was told: of its error, or "assigned".
#[derive(Default)]
struct Told(Mutex<Option<String>>);

impl ClientContext for Told {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) {
            *self.0.lock().unwrap() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Told {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            *self.0.lock().unwrap() = Some("assigned".to_owned());
        }
    }
}

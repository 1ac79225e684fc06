//! What every [`Broker`](super::Broker) does: the same rules for Kafka and for the simulated cluster, so that what holds
//! on the one can be believed of the other.

mod rules;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldline_core::Domains;
use foldline_stack::{Kind, Quiet, Server, StackOptions};

use super::{Broker, Isolation, KafkaBroker, Member, Place, Record, Seat};
use crate::producer::TransactionError;
use crate::runtime::{Runtime, Threads};
use crate::{KafkaSettings, SecuritySettings, TopicPlan, apply_topics};

/// For each rule, a test on each of the two.
macro_rules! rules {
    ($($rule:ident),+ $(,)?) => {
        mod simulated {
            $(#[test]
            fn $rule() {
                crate::sim::alone(|broker, runtime| super::rules::$rule(&super::Bench::new(broker, runtime, "")));
            })+
        }

        mod kafka {
            $(#[test]
            fn $rule() {
                super::on_kafka(stringify!($rule), super::rules::$rule);
            })+
        }
    };
}

rules!(
    a_transaction_is_seen_as_a_whole,
    offsets_lie_with_the_records_of_their_transaction,
    a_renewal_settles_what_was_open,
    who_takes_a_name_fences_the_one_before,
    what_a_lost_member_has_left_open_can_be_ended,
    a_generation_that_is_over_commits_nothing,
    nothing_comes_of_a_partition_before_it_is_resumed,
    a_range_is_read_without_what_lies_beside_it,
    a_follower_is_handed_what_is_committed,
);

const WAIT_MAX: Duration = Duration::from_secs(60);
pub(crate) const PARTITIONS: i32 = 2;

/// A cluster with the topics of the counter, which are empty.
struct Bench {
    broker: Arc<dyn Broker>,
    runtime: Arc<dyn Runtime>,
    prefix: String,
    commands: String,
    events: String,
}

impl Bench {
    fn new(broker: Arc<dyn Broker>, runtime: Arc<dyn Runtime>, prefix: &str) -> Self {
        Self {
            broker,
            runtime,
            prefix: prefix.to_owned(),
            commands: format!("{prefix}counter.counters.commands"),
            events: format!("{prefix}counter.counters.events"),
        }
    }

    /// Joins the one group.
    fn join(&self, name: &str) -> Box<dyn Member> {
        let joined = self.broker.join(Seat {
            group: &format!("{}commands", self.prefix),
            member: &format!("{}commands-{name}", self.prefix),
            topics: &[&self.commands],
        });
        joined.expect("a seat")
    }

    /// Joins, and waits until it is given all partitions, which nobody else has.
    fn join_alone(&self, name: &str) -> Box<dyn Member> {
        let mut member = self.join(name);
        let mut assigned = 0;
        self.eventually("all partitions are assigned", || {
            take(member.as_mut());
            assigned += member.changes().assigned.len();
            assigned == PARTITIONS as usize
        });
        member
    }

    fn event<'a>(&'a self, partition: i32, value: &str, number: usize) -> Record<'a> {
        Record {
            topic: &self.events,
            partition,
            key: Some(b"7".as_slice().into()),
            value: Some(value.to_owned().into()),
            headers: Vec::new(),
            number,
        }
    }

    fn command(&self, partition: i32, value: &str) {
        let appender = self.broker.appender().expect("an appender");
        let mut appended = None;
        let append = async {
            let place = (self.commands.as_str(), partition);
            appended = Some(appender.append(place, "7", value.as_bytes(), Vec::new()).await);
        };
        self.runtime.block_on(WAIT_MAX, std::pin::pin!(append));
        appended.expect("it was waited for").expect("it is appended");
    }

    /// All that is committed of the events.
    fn events(&self) -> Vec<String> {
        let from: HashMap<i32, i64> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
        let mut found = Vec::new();
        let read = self.broker.read_to_ends(&self.events, &from, &mut |message| {
            found.push(text(message.value));
            Ok(())
        });
        read.expect("the events can be read");
        found.sort();
        found
    }

    fn end(&self, partition: i32, isolation: Isolation) -> i64 {
        let watermarks = self.broker.watermarks(isolation).expect("watermarks");
        let places: [Place<'_>; 1] = [(&self.events, partition)];
        watermarks.highs(&places).expect("an end")[0]
    }

    fn committed(&self, member: &dyn Member, partition: i32) -> Option<i64> {
        let places: [Place<'_>; 1] = [(&self.commands, partition)];
        member.committed(&places).expect("committed offsets")[0]
    }

    fn commit(&self, member: &mut dyn Member, partition: i32, offset: i64) -> Result<(), TransactionError> {
        member.commit(&[((&self.commands, partition), offset)])
    }

    fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let started_at = self.runtime.now();
        while !holds() {
            assert!(
                self.runtime.now() - started_at < WAIT_MAX,
                "not so after a minute: {what}"
            );
            self.runtime.sleep(Duration::from_millis(20));
        }
    }
}

fn text(value: Option<&[u8]>) -> String {
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// What is there for a member, as values.
fn take(member: &mut dyn Member) -> Vec<String> {
    let mut taken = Vec::new();
    let polled = member.take(Duration::from_millis(50), &mut |message| {
        taken.push(text(message.value));
        ControlFlow::Continue(())
    });
    polled.expect("a member of the group");
    taken
}

/// Each rule has topics of its own on one broker, which ends with the tests.
fn on_kafka(name: &str, rule: fn(&Bench)) {
    static RUNTIME: OnceLock<(tokio::runtime::Runtime, Server)> = OnceLock::new();
    let (runtime, server) = RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = workspace.join(format!("target/it/{}-conformance", std::process::id()));
        let options = StackOptions::new(workspace.join(".foldline/cache"), data);
        let started = runtime.block_on(async {
            let mut server = Server::open(Kind::Broker, &options, &Quiet).await?;
            server.start(&Quiet).await.map(|()| server)
        });
        (runtime, started.expect("a broker"))
    });
    let _entered = runtime.enter();
    let prefix = format!("{}-", name.replace('_', "-"));
    let settings = KafkaSettings {
        bootstrap_servers: server.address().to_owned(),
        schema_registry: String::new(),
        topic_prefix: prefix.clone(),
        kafka_properties: Vec::new(),
        security: SecuritySettings::default(),
    };
    let domains = Domains::new([foldline_domains::counter::domain()]).expect("a domain");
    let plan = TopicPlan {
        partitions: PARTITIONS,
        ..TopicPlan::default()
    };
    let applied = runtime.block_on(apply_topics(&settings, &domains, &plan));
    applied.expect("topics");
    let threads = Arc::new(Threads::current());
    rule(&Bench::new(
        Arc::new(KafkaBroker::new(&settings)),
        threads,
        &prefix,
    ));
}

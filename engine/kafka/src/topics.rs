//! The topics: their names, what they must be, and the check that they are.

mod serving;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldline_core::{AggregateInfo, Domains};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::task::spawn_blocking;

use crate::KafkaSettings;
use crate::security::token;

const REQUEST_MAX: Duration = Duration::from_secs(10);

/// The names of an aggregate type's topics: `restaurant.orders.events`.
#[derive(Debug, Clone, Default)]
pub struct TopicNames {
    prefix: String,
}

impl TopicNames {
    /// With this before each name.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// Intent: what is asked.
    pub fn commands(&self, info: &AggregateInfo) -> String {
        self.name(info, "commands")
    }

    /// The event store.
    pub fn events(&self, info: &AggregateInfo) -> String {
        self.name(info, "events")
    }

    /// What became of each command.
    pub fn results(&self, info: &AggregateInfo) -> String {
        self.name(info, "results")
    }

    /// States of aggregates, for a start without local disk.
    pub fn snapshots(&self, info: &AggregateInfo) -> String {
        self.name(info, "snapshots")
    }

    /// What could not be read as a command.
    pub fn dead_letters(&self, info: &AggregateInfo) -> String {
        self.name(info, "commands.dlt")
    }

    /// The keys of the people whom a domain's personal values are about.
    pub fn keys(&self, domain: &str) -> String {
        format!("{}{domain}.keys", self.prefix)
    }

    fn name(&self, info: &AggregateInfo, kind: &str) -> String {
        format!("{}{}.{kind}", self.prefix, info.qualified_name())
    }
}

/// How topics are made.
#[derive(Debug, Clone)]
pub struct TopicPlan {
    /// Of each topic, fixed for ever: an aggregate would move if it changed.
    pub partitions: i32,
    /// Copies; 1 on a single broker, 3 where data must survive one.
    pub replication: i32,
    /// How long commands are kept. Their outcomes are kept for ever.
    pub command_retention: Duration,
    /// How long dead letters are kept.
    pub dead_letter_retention: Duration,
    /// Asks Kafka whether it would make them, and makes none.
    pub dry_run: bool,
}

impl Default for TopicPlan {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            partitions: 12,
            replication: 1,
            command_retention: DAY * 30,
            dead_letter_retention: DAY * 90,
            dry_run: false,
        }
    }
}

/// What [`check_topics`] found.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The cluster's id.
    pub id: String,
    /// By an aggregate type's qualified name, the number of partitions of each of its topics.
    pub partitions: HashMap<String, i32>,
}

/// Topics that are not what the engine relies on.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// Kafka does not answer.
    #[error("Kafka at {servers} does not answer: {source}")]
    Unavailable {
        /// Who was asked.
        servers: String,
        /// What is wrong.
        source: KafkaError,
    },
    /// Kafka refuses.
    #[error("Kafka refuses to {doing}: {reason}")]
    Refused {
        /// What was asked.
        doing: String,
        /// Why not.
        reason: String,
    },
    /// A topic is not there.
    #[error("the topic {topic} does not exist; `foldline topics apply` makes it")]
    Missing {
        /// Its name.
        topic: String,
    },
    /// Topics of one aggregate type differ in number.
    #[error(
        "{topic} has {found} partitions and {other} has {expected}: the events of a command partition lie in \
         the event partition of the same number, so they must have equally many"
    )]
    Partitions {
        /// A topic.
        topic: String,
        /// How many it has.
        found: i32,
        /// Another topic of the same aggregate type.
        other: String,
        /// How many that one has.
        expected: i32,
    },
    /// A topic would lose records.
    #[error("{topic} has {key}={found}, so it would lose records; it must be {expected}")]
    Config {
        /// Its name.
        topic: String,
        /// The setting.
        key: String,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },
}

/// A topic, with the settings that matter.
struct Wanted {
    name: String,
    config: Vec<(&'static str, String)>,
    /// How many of the settings, from the first one, it is refused without: because records would be lost.
    needed: usize,
}

fn wanted(names: &TopicNames, info: &AggregateInfo, plan: &TopicPlan) -> [Wanted; 5] {
    let forever = |name| Wanted {
        name,
        config: owned(&KEEP_FOREVER),
        needed: KEEP_FOREVER.len(),
    };
    let bounded = |name, kept: Duration| {
        let config = vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", kept.as_millis().to_string()),
        ];
        Wanted {
            name,
            config,
            needed: 0,
        }
    };
    let compacted = |name| Wanted {
        name,
        config: owned(&KEEP_NEWEST),
        needed: 1,
    };
    [
        bounded(names.commands(info), plan.command_retention),
        forever(names.events(info)),
        forever(names.results(info)),
        compacted(names.snapshots(info)),
        bounded(names.dead_letters(info), plan.dead_letter_retention),
    ]
}

/// The topics that a domain has beside those of its aggregate types.
fn of_domains(names: &TopicNames, domains: &Domains) -> Vec<Wanted> {
    let keys = |name: String| Wanted {
        name,
        config: owned(&KEEP_NEWEST),
        needed: 1,
    };
    names_of_keys(names, domains).map(keys).collect()
}

/// The topics of the keys of all domains that have personal values.
pub(crate) fn names_of_keys(names: &TopicNames, domains: &Domains) -> impl Iterator<Item = String> {
    let infos = domains.aggregates().iter().map(|aggregate| aggregate.info());
    let personal = infos.filter(|info| info.is_personal);
    let domains: BTreeSet<&str> = personal.map(|info| info.domain.as_str()).collect();
    domains.into_iter().map(|domain| names.keys(domain))
}

const KEEP_FOREVER: [(&str, &str); 3] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
];

/// Of each key the newest record. Kafka never compacts the segment that is written to, and by default that is one of
/// up to 1 GiB and a week; and it lets half of the rest be out of date. All of it would be read by a restore.
pub(crate) const KEEP_NEWEST: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "4194304"),
    ("segment.ms", "86400000"),
    ("min.cleanable.dirty.ratio", "0.2"),
];

fn owned(config: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    config
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect()
}

/// Makes the topics that are not there, and returns when all are served. Returns the names of those that were
/// made. Never changes one that is there.
pub async fn apply_topics(
    kafka: &KafkaSettings,
    domains: &Domains,
    plan: &TopicPlan,
) -> Result<Vec<String>, TopicsError> {
    let names = kafka.topics();
    let wanted = domains
        .aggregates()
        .iter()
        .flat_map(|aggregate| wanted(&names, aggregate.info(), plan));
    let mut wanted: Vec<Wanted> = wanted.collect();
    let of_types = wanted.len();
    wanted.extend(of_domains(&names, domains));
    let new = wanted.iter().enumerate().map(|(index, topic)| {
        let partitions = if index < of_types { plan.partitions } else { 1 };
        let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(plan.replication));
        topic
            .config
            .iter()
            .fold(new, |new, (key, value)| new.set(key, value))
    });
    let new: Vec<NewTopic<'_>> = new.collect();
    let admin = admin(kafka)?;
    let results = admin
        .create_topics(&new, &options().validate_only(plan.dry_run))
        .await
        .map_err(unavailable(kafka))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(topic) => created.push(topic),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(TopicsError::Refused {
                    doing: format!("make {topic}"),
                    reason: code.to_string(),
                });
            }
        }
    }
    if !plan.dry_run {
        serving::until_served(kafka, wanted.into_iter().map(|topic| topic.name).collect()).await?;
    }
    Ok(created)
}

/// Checks what the engine relies on. A service that starts on topics that are not so would break promises
/// later and in silence.
pub async fn check_topics(kafka: &KafkaSettings, domains: &Domains) -> Result<Cluster, TopicsError> {
    let names = kafka.topics();
    let admin = admin(kafka)?;
    let (id, counts) = metadata(kafka).await?;
    let mut partitions = HashMap::new();
    let mut checked = Vec::new();
    for aggregate in domains.aggregates() {
        let info = aggregate.info();
        let topics = wanted(&names, info, &TopicPlan::default());
        partitions.insert(info.qualified_name(), same_count(&topics, &counts)?);
        checked.extend(topics.into_iter().filter(|topic| topic.needed > 0));
    }
    for topic in of_domains(&names, domains) {
        same_count(std::slice::from_ref(&topic), &counts)?;
        checked.push(topic);
    }
    check_config(kafka, &admin, &checked).await?;
    Ok(Cluster { id, partitions })
}

/// The aggregate types whose topics are there, unchecked: one that has never been deployed has none.
pub async fn find_topics(kafka: &KafkaSettings, domains: &Domains) -> Result<Cluster, TopicsError> {
    let names = kafka.topics();
    let (id, counts) = metadata(kafka).await?;
    let partitions = domains.aggregates().iter().filter_map(|aggregate| {
        let info = aggregate.info();
        let found = counts.get(&names.events(info)).filter(|count| **count > 0)?;
        Some((info.qualified_name(), *found))
    });
    Ok(Cluster {
        id,
        partitions: partitions.collect(),
    })
}

fn same_count(topics: &[Wanted], counts: &HashMap<String, i32>) -> Result<i32, TopicsError> {
    let count = |topic: &Wanted| {
        let count = counts.get(&topic.name).copied().filter(|count| *count > 0);
        count.ok_or_else(|| TopicsError::Missing {
            topic: topic.name.clone(),
        })
    };
    let expected = count(&topics[0])?;
    for topic in topics {
        let found = count(topic)?;
        if found != expected {
            let (topic, other) = (topic.name.clone(), topics[0].name.clone());
            return Err(TopicsError::Partitions {
                topic,
                found,
                other,
                expected,
            });
        }
    }
    Ok(expected)
}

async fn check_config(
    kafka: &KafkaSettings,
    admin: &AdminClient<DefaultClientContext>,
    topics: &[Wanted],
) -> Result<(), TopicsError> {
    let resources: Vec<_> = topics
        .iter()
        .map(|topic| ResourceSpecifier::Topic(&topic.name))
        .collect();
    let described = admin
        .describe_configs(&resources, &options())
        .await
        .map_err(unavailable(kafka))?;
    for (topic, described) in topics.iter().zip(described) {
        let described = described.map_err(|code| TopicsError::Refused {
            doing: format!("describe {}", topic.name),
            reason: code.to_string(),
        })?;
        for (key, expected) in &topic.config[..topic.needed] {
            let found = described
                .get(key)
                .and_then(|entry| entry.value.clone())
                .unwrap_or_default();
            if found != *expected {
                let (topic, key, expected) = (topic.name.clone(), (*key).to_owned(), expected.clone());
                return Err(TopicsError::Config {
                    topic,
                    key,
                    found,
                    expected,
                });
            }
        }
    }
    Ok(())
}

/// The cluster's id, and how many partitions each topic has.
async fn metadata(kafka: &KafkaSettings) -> Result<(String, HashMap<String, i32>), TopicsError> {
    let admin = admin(kafka)?;
    let asked = spawn_blocking(move || {
        let client = admin.inner();
        let metadata = client.fetch_metadata(None, REQUEST_MAX)?;
        let counts = metadata.topics().iter().map(|topic| {
            let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            (topic.name().to_owned(), count)
        });
        let counts = counts.collect();
        Ok((client.fetch_cluster_id(REQUEST_MAX).unwrap_or_default(), counts))
    });
    asked
        .await
        .expect("asking for metadata does not panic")
        .map_err(unavailable(kafka))
}

pub(crate) fn admin(kafka: &KafkaSettings) -> Result<AdminClient<DefaultClientContext>, TopicsError> {
    let config = kafka.client();
    let admin: AdminClient<_> = config.create().map_err(unavailable(kafka))?;
    token::introduce(&config, admin.inner()).map_err(unavailable(kafka))?;
    Ok(admin)
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_MAX))
        .operation_timeout(Some(REQUEST_MAX))
}

fn unavailable(kafka: &KafkaSettings) -> impl Fn(KafkaError) -> TopicsError {
    let servers = kafka.bootstrap_servers.clone();
    move |source| TopicsError::Unavailable {
        servers: servers.clone(),
        source,
    }
}

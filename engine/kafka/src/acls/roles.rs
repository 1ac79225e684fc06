//! Who may do what: the one table. What is not in it, nobody may.

use clap::ValueEnum;
use foldline_core::{AggregateInfo, Domains};
use foldline_kafka_native::{Binding, Operation, Pattern, Permission, Resource};

use crate::topics::names_of_keys;
use crate::{KafkaSettings, TopicNames};

/// What a principal is for. A service that asks Kafka has one of its own, and so has each kind of person and program
/// outside. The query API asks Kafka for nothing but keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Role {
    /// Decides commands: the only one that writes events, results and snapshots.
    CommandHandler,
    /// Folds events into views.
    Projector,
    /// Serves views.
    QueryApi,
    /// Sends commands straight to their topics, and reads what becomes of them.
    Producer,
    /// Reads events and results.
    Analyst,
    /// Checks topics and lists, settles dead letters, verifies, rebuilds views, compares versions. Does not make lists:
    /// who may that may everything, so it is for an administrator of the cluster.
    Operator,
}

/// The kinds of topics that an aggregate type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKind {
    /// What is asked.
    Commands,
    /// The event store.
    Events,
    /// What became of each command.
    Results,
    /// States.
    Snapshots,
    /// What was no command.
    DeadLetters,
}

impl TopicKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Commands,
        Self::Events,
        Self::Results,
        Self::Snapshots,
        Self::DeadLetters,
    ];

    /// The topic of an aggregate type.
    pub fn name(self, names: &TopicNames, info: &AggregateInfo) -> String {
        match self {
            Self::Commands => names.commands(info),
            Self::Events => names.events(info),
            Self::Results => names.results(info),
            Self::Snapshots => names.snapshots(info),
            Self::DeadLetters => names.dead_letters(info),
        }
    }
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CommandHandler,
        Self::Projector,
        Self::QueryApi,
        Self::Producer,
        Self::Analyst,
        Self::Operator,
    ];

    /// What it may do with the topics of this kind. `Read` and `Write` have `Describe` in them. `is_internal`: of a type
    /// that the engine keeps for itself, whose commands are the engine's, and whose events are for nobody else.
    #[rustfmt::skip]
    pub fn topic(self, kind: TopicKind, is_internal: bool) -> &'static [Operation] {
        use Operation::{Create, Describe, DescribeConfigs, Read, Write};
        use TopicKind::{Commands, DeadLetters, Events, Results, Snapshots};
        match (self, kind) {
            // Reads dead letters to say what became of a command.
            (Self::CommandHandler, Commands | DeadLetters) => &[Read, Write],
            // The settings, because it does not start on topics that would lose records.
            (Self::CommandHandler, Events | Results | Snapshots) => &[Read, Write, DescribeConfigs],

            (Self::Projector, Events | Results) => &[Read, DescribeConfigs],
            // It checks at its start that partitions are equally many, and that nothing is lost.
            (Self::Projector, Snapshots) => &[Describe, DescribeConfigs],
            (Self::Projector, Commands | DeadLetters) => &[Describe],

            (Self::QueryApi, _) => &[],

            (Self::Producer | Self::Analyst, _) if is_internal => &[],
            (Self::Producer, Commands) => &[Write],
            (Self::Producer, Results | DeadLetters) => &[Read],
            (Self::Producer, Events | Snapshots) => &[],

            (Self::Analyst, Events | Results) => &[Read],
            (Self::Analyst, Commands | Snapshots | DeadLetters) => &[],

            // `dlq retry` hands a letter in again, and notes it beside the letter.
            (Self::Operator, Commands | DeadLetters) => &[Read, Write, Create],
            (Self::Operator, Events | Results | Snapshots) => &[Read, Create, DescribeConfigs],
        }
    }

    /// What it may do with the keys of the people whom a domain's personal values are about. To erase somebody is none of
    /// these roles': it takes records away, which is for the cluster's administrator.
    pub fn keys(self) -> &'static [Operation] {
        use Operation::{Create, Describe, DescribeConfigs, Read, Write};
        match self {
            Self::CommandHandler => &[Read, Write, DescribeConfigs],
            Self::QueryApi => &[Read, DescribeConfigs],
            Self::Projector => &[Describe, DescribeConfigs],
            Self::Operator => &[Read, Create, DescribeConfigs],
            Self::Producer | Self::Analyst => &[],
        }
    }

    /// Consumer groups. `Describe` is for readers that are members of none: librdkafka asks for a group all the same.
    fn groups(self) -> &'static [(Pattern, &'static str, Operation)] {
        use Operation::{Describe, Read};
        use Pattern::{Literal, Prefixed};
        match self {
            Self::CommandHandler => &[
                (Literal, "foldline-commands", Read),
                (Literal, "foldline-claims", Read),
                (Literal, "foldline-follower", Describe),
                (Literal, "foldline-lookout", Describe),
            ],
            Self::Projector => &[(Literal, "foldline-event-log", Describe)],
            Self::QueryApi => &[(Literal, "foldline-follower", Describe)],
            Self::Producer => &[(Prefixed, "producers-", Read)],
            Self::Analyst => &[(Prefixed, "analysts-", Read)],
            Self::Operator => &[
                (Literal, "foldline-dlq", Describe),
                (Literal, "foldline-verify", Describe),
                (Literal, "foldline-scan", Describe),
                (Literal, "foldline-event-log", Describe),
                // Snapshots are read as a restore reads them.
                (Literal, "foldline-follower", Describe),
            ],
        }
    }

    /// How the names of its transactions begin.
    fn transactions(self, names: &TopicNames, domains: &Domains, prefix: &str) -> Vec<String> {
        match self {
            // A worker has two, its name and its name with `-b`; each instance has workers of its own. With the third it
            // makes the secret of a domain's keys.
            Self::CommandHandler => ["commands", "claims", "keys"]
                .map(|what| format!("{prefix}foldline-{what}-"))
                .into(),
            Self::Operator => {
                let all = domains.aggregates().iter();
                all.map(|aggregate| format!("{}-", names.dead_letters(aggregate.info())))
                    .collect()
            }
            Self::Projector | Self::QueryApi | Self::Producer | Self::Analyst => Vec::new(),
        }
    }

    /// What it may do with the cluster itself.
    fn cluster(self) -> &'static [Operation] {
        match self {
            // To compare the lists with this table.
            Self::Operator => &[Operation::Describe],
            _ => &[],
        }
    }

    /// The entries that let a principal do what the role is for, and no more.
    pub fn bindings(self, principal: &str, kafka: &KafkaSettings, domains: &Domains) -> Vec<Binding> {
        let (names, prefix) = (kafka.topics(), &kafka.topic_prefix);
        let binding = |resource, pattern, name: String, operation| Binding {
            principal: principal.to_owned(),
            resource,
            pattern,
            name,
            operation,
            permission: Permission::Allow,
            host: "*".to_owned(),
        };
        let mut all = Vec::new();
        for aggregate in domains.aggregates() {
            let info = aggregate.info();
            for kind in TopicKind::ALL {
                for operation in self.topic(kind, info.is_internal()) {
                    let name = kind.name(&names, info);
                    all.push(binding(Resource::Topic, Pattern::Literal, name, *operation));
                }
            }
        }
        for name in names_of_keys(&names, domains) {
            for operation in self.keys() {
                all.push(binding(
                    Resource::Topic,
                    Pattern::Literal,
                    name.clone(),
                    *operation,
                ));
            }
        }
        for (pattern, name, operation) in self.groups() {
            all.push(binding(
                Resource::Group,
                *pattern,
                format!("{prefix}{name}"),
                *operation,
            ));
        }
        for id in self.transactions(&names, domains, prefix) {
            all.push(binding(
                Resource::TransactionalId,
                Pattern::Prefixed,
                id,
                Operation::Write,
            ));
        }
        for operation in self.cluster() {
            let name = "kafka-cluster".to_owned();
            all.push(binding(Resource::Cluster, Pattern::Literal, name, *operation));
        }
        all
    }
}

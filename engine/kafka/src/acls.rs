//! Kafka's access control lists: what each service, producer, analyst and operator may do, and nothing else.

mod roles;

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use foldline_core::Domains;
pub use foldline_kafka_native::{Binding, Operation, Pattern, Permission, Resource};
use foldline_kafka_native::{NativeError, create_acls, describe_acls};
use tokio::task::spawn_blocking;

pub use self::roles::{Role, TopicKind};
use crate::topics::names_of_keys;
use crate::{KafkaSettings, topics};

const REQUEST_MAX: Duration = Duration::from_secs(30);

/// A principal, and what it is for: `command-handler=User:foldline-handler`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// What for.
    pub role: Role,
    /// As Kafka names it, `User:ada` or `User:CN=ada,O=example`.
    pub principal: String,
}

impl FromStr for Appointment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, principal) = text.split_once('=').ok_or("must be ROLE=PRINCIPAL")?;
        let role = Role::from_str(role.trim(), false).map_err(|_| {
            let all = Role::value_variants().iter().filter_map(Role::to_possible_value);
            let all: Vec<String> = all.map(|role| role.get_name().to_owned()).collect();
            format!(
                "there is no role {:?}; it must be one of {}",
                role.trim(),
                all.join(", ")
            )
        })?;
        let principal = principal.trim();
        match principal.split_once(':') {
            Some(("", _) | (_, "")) | None => Err(format!(
                "the principal {principal:?} must be as Kafka names it, User:NAME"
            )),
            Some((_, "*")) => Err("a role is for somebody: User:* would be everybody".to_owned()),
            Some(_) => Ok(Self {
                role,
                principal: principal.to_owned(),
            }),
        }
    }
}

/// How the lists differ from what they must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AclDifference {
    /// What somebody cannot do and must.
    pub missing: Vec<Binding>,
    /// What somebody may and need not, or may not and must: entries of the appointed principals that no role of theirs
    /// has, and those by which anybody else, or everybody, may change what is ours.
    pub unexpected: Vec<Binding>,
    /// Kafka has told of no entry at all: there is none yet, or it keeps no lists, or we may not see them. The client does
    /// not tell these apart; when entries are made, Kafka does.
    pub is_blank: bool,
}

/// The lists cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AclError {
    /// Kafka cannot be asked.
    #[error(transparent)]
    Topics(#[from] topics::TopicsError),
    /// Kafka does not tell its lists.
    #[error("Kafka at {servers} does not tell its access control lists: {source}")]
    Untold {
        /// Who was asked.
        servers: String,
        /// Why not.
        source: NativeError,
    },
    /// Kafka does not change its lists.
    #[error("Kafka does not take the entry \"{entry}\": {reason}")]
    Refused {
        /// Which.
        entry: String,
        /// Why not.
        reason: String,
    },
}

/// Compares the lists with what the appointed need.
pub async fn compare_acls(
    kafka: &KafkaSettings,
    domains: &Domains,
    appointments: &[Appointment],
) -> Result<AclDifference, AclError> {
    let admin = topics::admin(kafka)?;
    let told = spawn_blocking(move || describe_acls(admin.inner(), REQUEST_MAX)).await;
    let there = told
        .expect("asking for lists does not panic")
        .map_err(|source| AclError::Untold {
            servers: kafka.bootstrap_servers.clone(),
            source,
        })?;
    Ok(difference(
        &wanted(kafka, domains, appointments),
        there,
        kafka,
        domains,
    ))
}

/// Adds the entries that are missing, and returns how the lists differed before. Removes none.
pub async fn apply_acls(
    kafka: &KafkaSettings,
    domains: &Domains,
    appointments: &[Appointment],
) -> Result<AclDifference, AclError> {
    let difference = compare_acls(kafka, domains, appointments).await?;
    let (admin, missing) = (topics::admin(kafka)?, difference.missing.clone());
    let made = spawn_blocking(move || create_acls(admin.inner(), &missing, REQUEST_MAX)).await;
    let failed = made
        .expect("making entries does not panic")
        .map_err(|source| AclError::Untold {
            servers: kafka.bootstrap_servers.clone(),
            source,
        })?;
    match failed.into_iter().next() {
        Some((binding, reason)) => Err(AclError::Refused {
            entry: binding.to_string(),
            reason,
        }),
        None => Ok(difference),
    }
}

fn wanted(kafka: &KafkaSettings, domains: &Domains, appointments: &[Appointment]) -> BTreeSet<Binding> {
    let all = appointments.iter();
    all.flat_map(|appointed| appointed.role.bindings(&appointed.principal, kafka, domains))
        .collect()
}

fn difference(
    wanted: &BTreeSet<Binding>,
    there: Vec<Binding>,
    kafka: &KafkaSettings,
    domains: &Domains,
) -> AclDifference {
    let there: BTreeSet<Binding> = there.into_iter().collect();
    let is_blank = there.is_empty();
    let principals: BTreeSet<&str> = wanted.iter().map(|binding| binding.principal.as_str()).collect();
    let names = kafka.topics();
    let keys: Vec<String> = names_of_keys(&names, domains).collect();
    let types = domains.aggregates().iter();
    let of_types = types.flat_map(|aggregate| TopicKind::ALL.map(|kind| kind.name(&names, aggregate.info())));
    let topics: Vec<String> = of_types.chain(keys.clone()).collect();
    let is_unexpected = |binding: &&Binding| {
        principals.contains(binding.principal.as_str())
            || !looks(binding) && lets_at(binding, &topics)
            || reads(binding) && lets_at(binding, &keys)
    };
    AclDifference {
        missing: wanted.difference(&there).cloned().collect(),
        unexpected: there.difference(wanted).filter(is_unexpected).cloned().collect(),
        is_blank,
    }
}

/// Whether it lets somebody at one of these topics.
fn lets_at(binding: &Binding, topics: &[String]) -> bool {
    let names = |topic: &String| match binding.pattern {
        Pattern::Prefixed => topic.starts_with(&binding.name),
        _ => binding.name == *topic || binding.name == "*",
    };
    binding.permission == Permission::Allow && binding.resource == Resource::Topic && topics.iter().any(names)
}

/// Whether nobody can change anything by it.
fn looks(binding: &Binding) -> bool {
    reads(binding)
        || matches!(
            binding.operation,
            Operation::Describe | Operation::DescribeConfigs
        )
}

fn reads(binding: &Binding) -> bool {
    binding.operation == Operation::Read
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use foldline_core::Domains;

    use super::{
        AclDifference, Appointment, Binding, Operation, Pattern, Permission, Resource, Role, TopicKind,
        difference, wanted,
    };
    use crate::KafkaSettings;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        kafka: KafkaSettings,
    }

    fn setting() -> (KafkaSettings, Domains) {
        let program = Program::parse_from(["program", "--topic-prefix", "blue-"]);
        (program.kafka, foldline_domains::installed())
    }

    fn allow(principal: &str, pattern: Pattern, name: &str, operation: Operation) -> Binding {
        Binding {
            principal: principal.to_owned(),
            resource: Resource::Topic,
            pattern,
            name: name.to_owned(),
            operation,
            permission: Permission::Allow,
            host: "*".to_owned(),
        }
    }

    fn compared(there: impl FnOnce(Vec<Binding>) -> Vec<Binding>) -> AclDifference {
        let (kafka, domains) = setting();
        let appointed = Appointment {
            role: Role::Projector,
            principal: "User:projector".to_owned(),
        };
        let wanted = wanted(&kafka, &domains, &[appointed]);
        let there = there(wanted.iter().cloned().collect());
        difference(&wanted, there, &kafka, &domains)
    }

    #[test]
    fn lists_that_are_as_they_must_be_have_no_difference() {
        assert_eq!(compared(|all| all), AclDifference::default());
    }

    #[test]
    fn an_entry_that_was_lost_is_missing() {
        let gone = compared(|mut all| {
            all.remove(0);
            all
        });
        assert_eq!((gone.missing.len(), gone.unexpected.len()), (1, 0));
    }

    #[test]
    fn more_than_a_role_needs_is_unexpected_and_so_is_a_denial_of_it() {
        let topic = "blue-restaurant.orders.events";
        let mut denied = allow("User:projector", Pattern::Literal, topic, Operation::Read);
        denied.permission = Permission::Deny;
        for extra in [
            allow("User:projector", Pattern::Literal, topic, Operation::Write),
            allow("User:projector", Pattern::Literal, "elsewhere", Operation::Read),
            denied,
        ] {
            let found = compared(|all| [all, vec![extra.clone()]].concat());
            assert_eq!(found.unexpected, [extra]);
        }
    }

    #[test]
    fn nobody_else_may_write_to_what_is_ours_or_read_keys_by_whatever_pattern() {
        let (read, write) = (Operation::Read, Operation::Write);
        let topic = "blue-restaurant.orders.events";
        for (extra, is_told) in [
            (allow("User:*", Pattern::Literal, "*", write), true),
            (allow("User:bob", Pattern::Prefixed, "blue-rest", write), true),
            (allow("User:bob", Pattern::Literal, topic, Operation::All), true),
            (
                allow("User:bob", Pattern::Literal, topic, Operation::AlterConfigs),
                true,
            ),
            (allow("User:bob", Pattern::Literal, topic, read), false),
            (
                allow("User:bob", Pattern::Literal, "blue-restaurant.keys", read),
                true,
            ),
            (
                allow("User:bob", Pattern::Literal, "blue-restaurant.keys", write),
                true,
            ),
            (allow("User:bob", Pattern::Prefixed, "blue-", read), true),
            (allow("User:bob", Pattern::Literal, "blue-rest", write), false),
            (allow("User:bob", Pattern::Prefixed, "green-", write), false),
        ] {
            let found = compared(|all| [all, vec![extra.clone()]].concat());
            assert_eq!(!found.unexpected.is_empty(), is_told, "{extra}");
        }
    }

    #[test]
    fn only_the_command_handler_writes_events_results_and_snapshots_and_nobody_removes_or_changes_anything() {
        for role in Role::ALL {
            for kind in TopicKind::ALL {
                for is_internal in [false, true] {
                    let may = role.topic(kind, is_internal);
                    let is_written_by_others = matches!(kind, TopicKind::Commands | TopicKind::DeadLetters);
                    let writes = may.contains(&Operation::Write);
                    assert!(
                        !writes || is_written_by_others || role == Role::CommandHandler,
                        "{role:?} {kind:?}"
                    );
                    let changes = [
                        Operation::All,
                        Operation::Delete,
                        Operation::Alter,
                        Operation::AlterConfigs,
                    ];
                    assert!(!changes.iter().any(|one| may.contains(one)), "{role:?} {kind:?}");
                }
            }
        }
    }

    #[test]
    fn an_appointment_names_a_role_and_a_principal() {
        let appointed: Appointment = "query-api=User:CN=ada,O=example".parse().unwrap();
        assert_eq!(appointed.role, Role::QueryApi);
        assert_eq!(appointed.principal, "User:CN=ada,O=example");
        for (text, said) in [
            ("projector", "ROLE=PRINCIPAL"),
            (
                "cook=User:ada",
                "command-handler, projector, query-api, producer, analyst, operator",
            ),
            ("projector=ada", "User:NAME"),
            ("projector=User:", "User:NAME"),
            ("projector=User:*", "everybody"),
        ] {
            let error = text.parse::<Appointment>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

use std::collections::BTreeMap;
use std::sync::Arc;

use foldline_core::AggregateType;
use foldline_kafka::{Appointment, Operation, Role, TopicKind, apply_acls, compare_acls};
use foldline_tests::domains;
use foldline_tests::records::aggregate;
use tokio::task::block_in_place;

use super::probe::Probe;
use super::{Guarded, appoint_all, name};

/// What can be done to a topic. The harmless ones first.
const OPERATIONS: [Operation; 8] = [
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::Create,
    Operation::Read,
    Operation::Write,
    Operation::Alter,
    Operation::AlterConfigs,
    Operation::Delete,
];

/// What the table says, as Kafka takes it: who may read or write a topic may see it, too.
fn may(role: Role, kind: TopicKind, is_internal: bool, operation: Operation) -> bool {
    is_in(role.topic(kind, is_internal), operation)
}

fn is_in(listed: &[Operation], operation: Operation) -> bool {
    let goes_with = [Operation::Read, Operation::Write];
    listed.contains(&operation)
        || operation == Operation::Describe && listed.iter().any(|one| goes_with.contains(one))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_cell_of_the_table_a_broker_allows_what_is_in_it_and_refuses_all_else() {
    let guarded = Guarded::start("cells").await;
    appoint_all(&guarded).await;
    let domains = domains();
    let mut types = domains.aggregates().iter();
    let internal = types.find(|one| one.info().is_internal()).unwrap();
    let counters: Arc<dyn AggregateType> = aggregate("counter.counters");
    let names = guarded.kafka.topics();
    let (mut tried, mut wrong) = (0, Vec::new());
    for role in Role::ALL {
        let probe = Probe::new(guarded.as_seen_by(role), &guarded.kafka);
        for operation in OPERATIONS {
            tried += 1;
            let allowed = probe.topic(operation, "restaurant.keys").await;
            if allowed != is_in(role.keys(), operation) {
                wrong.push(format!("{role:?} {operation} the keys: {allowed}"));
            }
        }
        for of in [&counters, internal] {
            for kind in TopicKind::ALL {
                let topic = kind.name(&names, of.info());
                for operation in OPERATIONS {
                    tried += 1;
                    let allowed = probe.topic(operation, &topic).await;
                    if allowed != may(role, kind, of.info().is_internal(), operation) {
                        wrong.push(format!("{role:?} {operation} {topic}: {allowed}"));
                    }
                }
            }
        }
    }
    assert_eq!(tried, 6 * (2 * 5 + 1) * 8);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Groups and transactional ids, as the services name them; the last of each is nobody's. Written out here, so that a
/// name that is wrong in the table is not right by that.
#[tokio::test(flavor = "multi_thread")]
async fn groups_transactions_and_lists_are_for_their_own_roles() {
    use Operation::{Describe, Read};
    use Role::{Analyst, CommandHandler, Operator, Producer, Projector, QueryApi};
    let guarded = Guarded::start("names").await;
    appoint_all(&guarded).await;
    let groups = BTreeMap::from([
        ("foldline-commands", vec![(CommandHandler, Read)]),
        ("foldline-claims", vec![(CommandHandler, Read)]),
        (
            "foldline-follower",
            vec![
                (CommandHandler, Describe),
                (QueryApi, Describe),
                (Operator, Describe),
            ],
        ),
        ("foldline-lookout", vec![(CommandHandler, Describe)]),
        (
            "foldline-event-log",
            vec![(Projector, Describe), (Operator, Describe)],
        ),
        ("foldline-dlq", vec![(Operator, Describe)]),
        ("foldline-verify", vec![(Operator, Describe)]),
        ("foldline-scan", vec![(Operator, Describe)]),
        ("producers-of-ours", vec![(Producer, Read)]),
        ("analysts-of-ours", vec![(Analyst, Read)]),
        ("somebody", vec![]),
    ]);
    let transactions = BTreeMap::from([
        ("foldline-commands-a-0", Some(CommandHandler)),
        ("foldline-commands-a-0-b", Some(CommandHandler)),
        ("foldline-claims-a-0", Some(CommandHandler)),
        ("foldline-claims-a-0-b", Some(CommandHandler)),
        ("foldline-keys-restaurant.keys", Some(CommandHandler)),
        ("counter.counters.commands.dlt-3-settled", Some(Operator)),
        ("somebody", None),
    ]);
    for role in Role::ALL {
        let kafka = guarded.as_seen_by(role);
        let probe = Probe::new(kafka.clone(), &guarded.kafka);
        let topic = match role {
            Analyst => "restaurant.orders.events",
            QueryApi => "restaurant.keys",
            _ => "restaurant.orders.commands",
        };
        for (group, allowed) in &groups {
            let may = allowed.iter().find(|(of, _)| *of == role).map(|(_, may)| *may);
            let found = block_in_place(|| probe.group(group, topic));
            assert_eq!(found, may, "{role:?} and the group {group}");
        }
        for (id, of) in &transactions {
            let found = block_in_place(|| probe.transactions(id));
            assert_eq!(found, *of == Some(role), "{role:?} and the transactions {id}");
        }
        let appointed = Appointment {
            role: Role::Operator,
            principal: format!("User:friend-of-{}", name(role)),
        };
        let seen = compare_acls(&kafka, &domains(), std::slice::from_ref(&appointed)).await;
        let is_blank = seen.unwrap().is_blank;
        assert_eq!(is_blank, role != Operator, "{role:?} and what the lists say");
        let changed = apply_acls(&kafka, &domains(), &[appointed]).await;
        assert!(changed.is_err(), "{role:?} has changed the lists");
    }
}

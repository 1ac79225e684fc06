//! Every check, on what a run has left.

use foldline_kafka::check_topics;

use super::{Topics, Violation, answers, claims, expect_none, letters, order, results, streams, views};
use crate::domains;
use crate::load::Entry;
use crate::stack::PARTITIONS;
use crate::system::System;

/// A sample of the histories: one aggregate of so many.
const HISTORIES: usize = 20;

/// Panics unless everything that was promised was kept.
pub async fn all(system: &System, history: &[Entry]) {
    expect_none(violations(system, history).await);
}

/// Every promise that was broken.
pub async fn violations(system: &System, history: &[Entry]) -> Vec<Violation> {
    let all = tokio::task::block_in_place(|| Topics::read_at_last(&system.kafka, &domains()));
    violations_in(&all, system, history).await
}

/// The same, of topics that have been read.
pub async fn violations_in(all: &[Topics], system: &System, history: &[Entry]) -> Vec<Violation> {
    let domains = domains();
    let mut broken = [
        answers::are_there(history),
        answers::are_the_same(history),
        answers::are_right(history),
        order::is_that_of_real_time(history),
    ]
    .concat();
    let mut events = Vec::new();
    for topics in all {
        let metas = topics.event_metas();
        broken.extend(streams::sequences(&metas, PARTITIONS));
        broken.extend(streams::whole_commands(&metas));
        broken.extend(streams::command_order(&metas));
        broken.extend(letters::one_for_each(&topics.unreadable, &topics.letters));
        broken.extend(results::one_for_each_record(&topics.commands, &topics.results));
        broken.extend(results::decided_once(&topics.results));
        broken.extend(results::command_order(&topics.results));
        broken.extend(results::name_their_events(&topics.results, &metas));
        events.extend(metas);
    }
    let results: Vec<_> = all.iter().flat_map(|topics| &topics.results).collect();
    broken.extend(answers::are_kept(history, &results, &events));
    broken.extend(claims::are_those_of_the_holders(all));
    let cluster = check_topics(&system.kafka, &domains)
        .await
        .expect("the topics are there")
        .id;
    broken.extend(views::all_rows(&system.read(), &cluster, &domains, all).await);
    broken.extend(views::histories(&system.read(), all, HISTORIES).await);
    broken
}

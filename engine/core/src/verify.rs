//! Whether a log is what was written: the chain of the events against what the results witness.
//!
//! Pure, partition by partition: events and results of an aggregate lie in partitions of the same number. An event's
//! hash has two witnesses, the event after it and, if it is the last of its command, the result. Where they
//! disagree, the one that stands alone is wrong. What has no witness (the end of the log, a whole log that was
//! written anew) is found against an [`Anchor`] that was kept elsewhere.

mod asked;
mod finding;
mod stream;
mod suspects;
mod tape;

use std::collections::HashSet;

use self::asked::{Asked, Seen, Settled};
pub use self::finding::{Finding, FindingKind, LogKind};
use self::stream::{Follows, Streams, Tip};
use self::suspects::Suspects;
pub use self::tape::Anchor;
use self::tape::Tape;
use crate::{AggregateId, CommandResult, EventHash, EventMeta, Sequence, partition_of};

/// Reads one partition of an aggregate type's events and results, and says what is wrong with them. Each of the two is
/// given in the order of its offsets; memory is small if both go on at about the same command.
pub struct Verifier {
    partition: i32,
    partitions: i32,
    streams: Streams,
    asked: Asked,
    suspects: Suspects,
    events: Tape,
    results: Tape,
    /// Of the event before: its offset, and its place by its command.
    last_event: Option<(i64, (i64, i32))>,
    last_result: Option<i64>,
    /// Events that stand before what they should follow, and the event before them.
    out_of_order: Vec<(i64, Finding)>,
    findings: Vec<Finding>,
    by_results: Vec<Finding>,
    unchained: u64,
}

/// A record as it lies in a partition.
#[derive(Debug, Clone, Copy)]
pub struct Lying<'a, T> {
    /// Where.
    pub offset: i64,
    /// Its key; empty if it has none.
    pub key: &'a [u8],
    /// Of its value.
    pub hash: EventHash,
    /// What it says, or why it cannot be read.
    pub record: Result<&'a T, &'a str>,
}

/// What is to be said of a partition.
#[derive(Debug, Clone)]
pub struct PartitionReport {
    /// What is wrong, in the order of offsets.
    pub findings: Vec<Finding>,
    /// The events, in one hash.
    pub events: Anchor,
    /// The results, in one hash.
    pub results: Anchor,
    /// How many aggregates there are.
    pub aggregates: u64,
    /// Events that no event after them witnesses, because older writers wrote it.
    pub unchained: u64,
}

impl Verifier {
    /// For one of `partitions` partitions. The anchors are what an earlier report has said of it.
    pub fn new(partition: i32, partitions: i32, events: Option<Anchor>, results: Option<Anchor>) -> Self {
        Self {
            partition,
            partitions,
            streams: Streams::default(),
            asked: Asked::default(),
            suspects: Suspects::default(),
            events: Tape::new(LogKind::Events, partition, events),
            results: Tape::new(LogKind::Results, partition, results),
            last_event: None,
            last_result: None,
            out_of_order: Vec::new(),
            findings: Vec::new(),
            by_results: Vec::new(),
            unchained: 0,
        }
    }

    /// The next event. `is_chained` is whether its writer knew that an event names the one before it.
    pub fn event(&mut self, event: Lying<'_, EventMeta>, is_chained: bool) {
        let found = self.events.take(event.offset, event.hash);
        self.findings.extend(found);
        let key = std::str::from_utf8(event.key).ok();
        let id = key.and_then(|key| key.parse::<AggregateId>().ok());
        let meta = match event.record {
            Ok(meta) => meta,
            Err(problem) => {
                // It stands for the event that was there: what follows it says whether it was.
                let sequence = id
                    .as_ref()
                    .map(|id| self.streams.stand_in(id, event.offset, event.hash));
                let detail = format!("it cannot be read: {problem}");
                return self.found(FindingKind::Unreadable, event.offset, id, sequence, detail);
            }
        };
        if self.is_misplaced(
            LogKind::Events,
            event.offset,
            id.as_ref(),
            &meta.aggregate_id,
            Some(meta.sequence),
        ) {
            return;
        }
        let tip = Tip {
            offset: event.offset,
            sequence: meta.sequence,
            hash: event.hash,
            command_id: Some(meta.command_id),
            by_result: None,
        };
        let follows = self.streams.follow(&meta.aggregate_id, tip);
        let problem = match &follows {
            Follows::Repeated => {
                let detail = format!("event {} of it is there already", meta.sequence);
                Some((FindingKind::Repeated, detail))
            }
            Follows::Late => {
                let detail = format!("event {} of it stands behind a later one", meta.sequence);
                Some((FindingKind::Reordered, detail))
            }
            Follows::First | Follows::Gap | Follows::Next(_) => self
                .chained(meta, &follows, event.offset, is_chained)
                .map(|detail| (FindingKind::Changed, detail)),
        };
        let is_fine = problem.is_none();
        if let Some((kind, detail)) = problem {
            self.found(
                kind,
                event.offset,
                Some(meta.aggregate_id.clone()),
                Some(meta.sequence),
                detail,
            );
        }
        self.in_order(meta, event.offset, is_fine);
        if !matches!(follows, Follows::Repeated) {
            let seen = Seen {
                event_id: meta.event_id,
                offset: event.offset,
                sequence: meta.sequence,
                hash: event.hash,
                is_followed: None,
            };
            let settled = self.asked.event(meta, seen);
            self.settle(settled);
        }
    }

    /// What is wrong with what the event says of itself and of the one before it.
    fn chained(
        &mut self,
        meta: &EventMeta,
        follows: &Follows,
        offset: i64,
        is_chained: bool,
    ) -> Option<String> {
        let own = EventMeta::id_of(&meta.command_id, meta.index);
        if meta.event_id != own {
            return Some(format!(
                "its id is {}, and its command makes it {own}",
                meta.event_id
            ));
        }
        match (follows, meta.previous_hash) {
            (Follows::First, Some(_)) => Some("it names an event before it, and is the first".to_owned()),
            (Follows::Next(before), Some(named)) => {
                self.witnessed(meta, before, named == before.hash, offset);
                None
            }
            (Follows::Next(_) | Follows::Gap, None) if is_chained => {
                Some("it does not name the event before it, as its writer does".to_owned())
            }
            (Follows::Next(_), None) => {
                self.unchained += 1;
                None
            }
            _ => None,
        }
    }

    /// What an event says of the one before it.
    fn witnessed(&mut self, meta: &EventMeta, before: &Tip, is_same: bool, offset: i64) {
        if !is_same {
            let id = &meta.aggregate_id;
            self.suspects
                .accused_by_event(id, before, (offset, meta.sequence));
        } else if before.by_result == Some(false) {
            self.suspects.cleared_by_event(before.offset);
        }
        if let (None, Some(command)) = (before.by_result, before.command_id) {
            self.asked.followed(command, before.offset, is_same);
        }
    }

    /// The events of a partition stand in the order of their commands.
    fn in_order(&mut self, meta: &EventMeta, offset: i64, is_fine: bool) {
        let place = (meta.command_offset, meta.index);
        let before = self.last_event.replace((offset, place));
        if let Some((before, last)) = before
            && place <= last
            && is_fine
        {
            let detail = "its command came before that of the event before it".to_owned();
            let id = Some(meta.aggregate_id.clone());
            let finding = self.finding(
                FindingKind::Reordered,
                LogKind::Events,
                offset,
                id,
                Some(meta.sequence),
                detail,
            );
            self.out_of_order.push((before, finding));
        }
    }

    /// The next result. It may be left out of what its events must be there for, if it lies so near the end that they
    /// may not have been read.
    pub fn result(&mut self, result: Lying<'_, CommandResult>, is_covered: bool) {
        let found = self.results.take(result.offset, result.hash);
        self.findings.extend(found);
        let key = std::str::from_utf8(result.key).ok();
        let id = key.and_then(|key| key.parse::<AggregateId>().ok());
        let said = match result.record {
            Ok(said) => said,
            Err(problem) => {
                let detail = format!("it cannot be read: {problem}");
                let finding = self.finding(
                    FindingKind::Unreadable,
                    LogKind::Results,
                    result.offset,
                    id,
                    None,
                    detail,
                );
                return self.findings.push(finding);
            }
        };
        if self.is_misplaced(
            LogKind::Results,
            result.offset,
            id.as_ref(),
            &said.aggregate_id,
            None,
        ) {
            return;
        }
        let before = self.last_result.replace(said.command_offset);
        if before.is_some_and(|before| said.command_offset <= before) {
            let kind = match before == Some(said.command_offset) {
                true => FindingKind::Repeated,
                false => FindingKind::Reordered,
            };
            let detail =
                "its command has a result before it, or came before that of the result before it".to_owned();
            let id = Some(said.aggregate_id.clone());
            let finding = self.finding(kind, LogKind::Results, result.offset, id, None, detail);
            self.findings.push(finding);
            if kind == FindingKind::Repeated {
                return;
            }
        }
        // A repetition says again what another result says; a dry run has no events.
        if !said.replayed && !said.dry_run && !said.events.is_empty() {
            let settled = self.asked.result(said, result.offset, is_covered);
            self.settle(settled);
        }
    }

    /// A command whose result and events are all known.
    fn settle(&mut self, settled: Option<Settled>) {
        let Some(settled) = settled else { return };
        let (partition, streams) = (self.partition, &self.streams);
        let is_there = |id: &AggregateId, sequence| streams.has(id, sequence);
        self.by_results.extend(settled.findings(partition, is_there));
        let Some((last, is_same)) = settled.last_hash() else {
            return;
        };
        let id = &settled.aggregate_id;
        self.streams.told(id, last.offset, is_same);
        match is_same {
            true => self.suspects.cleared_by_result(last.offset),
            false => self.suspects.accused_by_result(id, last, settled.result_offset),
        }
    }

    /// Whether it lies in its aggregate's partition under its aggregate's id; says so if not.
    fn is_misplaced(
        &mut self,
        log: LogKind,
        offset: i64,
        key: Option<&AggregateId>,
        id: &AggregateId,
        sequence: Option<Sequence>,
    ) -> bool {
        let right = partition_of(id, self.partitions);
        let detail = match key {
            Some(key) if key == id && right == self.partition => return false,
            Some(key) if key == id => format!("it belongs to partition {right}"),
            _ => format!("its key is not {id}, which it is of"),
        };
        let finding = self.finding(
            FindingKind::Misplaced,
            log,
            offset,
            Some(id.clone()),
            sequence,
            detail,
        );
        self.findings.push(finding);
        true
    }

    /// What there is to say when both are read up to these offsets.
    pub fn finish(mut self, events_end: i64, results_end: i64) -> PartitionReport {
        for settled in std::mem::take(&mut self.asked).leftover() {
            self.settle(Some(settled));
        }
        let missing = self.streams.missing();
        let missing = missing.into_iter().map(|gap| {
            let detail = "it is not there, and a later one is".to_owned();
            self.finding(
                FindingKind::Missing,
                LogKind::Events,
                gap.offset,
                Some(gap.id),
                Some(gap.sequence),
                detail,
            )
        });
        let missing: Vec<Finding> = missing.collect();
        // What was seen at the event itself comes first: it stays.
        let mut findings = self.findings;
        findings.extend(missing);
        findings.extend(self.suspects.findings(self.partition));
        findings.extend(self.by_results);
        let wrong: HashSet<i64> = findings
            .iter()
            .filter(|found| found.log == LogKind::Events)
            .map(|found| found.offset)
            .collect();
        // Next to an event that was changed, it is that one that is out of order.
        findings.extend(
            self.out_of_order
                .into_iter()
                .filter(|(before, _)| !wrong.contains(before))
                .map(|(_, found)| found),
        );
        let aggregates = self.streams.count();
        let (events, events_found) = self.events.finish(events_end);
        let (results, results_found) = self.results.finish(results_end);
        findings.extend(events_found);
        findings.extend(results_found);
        PartitionReport {
            findings: once_each(findings),
            events,
            results,
            aggregates,
            unchained: self.unchained,
        }
    }

    fn found(
        &mut self,
        kind: FindingKind,
        offset: i64,
        id: Option<AggregateId>,
        sequence: Option<Sequence>,
        detail: String,
    ) {
        let finding = self.finding(kind, LogKind::Events, offset, id, sequence, detail);
        self.findings.push(finding);
    }

    fn finding(
        &self,
        kind: FindingKind,
        log: LogKind,
        offset: i64,
        aggregate_id: Option<AggregateId>,
        sequence: Option<Sequence>,
        detail: String,
    ) -> Finding {
        Finding {
            kind,
            log,
            partition: self.partition,
            offset,
            aggregate_id,
            sequence,
            detail,
        }
    }
}

/// One cause is often seen in several ways: the first that was found of an event stays.
fn once_each(mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut events: HashSet<(AggregateId, Sequence)> = HashSet::new();
    let mut places: HashSet<(LogKind, i64)> = HashSet::new();
    findings.retain(|found| {
        if matches!(found.kind, FindingKind::Cut | FindingKind::Rewritten) {
            return true;
        }
        let is_new_event = match (&found.aggregate_id, found.sequence) {
            (Some(id), Some(sequence)) if found.kind != FindingKind::Repeated => {
                events.insert((id.clone(), sequence))
            }
            _ => true,
        };
        let is_new_place = found.kind == FindingKind::Missing || places.insert((found.log, found.offset));
        is_new_event && is_new_place
    });
    findings.sort_by_key(|found| (found.log, found.offset));
    findings
}

#[cfg(test)]
mod tests;

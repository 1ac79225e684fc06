//! What a decided batch becomes: the records of its transaction.

use bytes::Bytes;
use foldline_core::{CommandResult, EventMeta};
use krafka::Headers;

use super::decide::{Decided, Decision};
use super::intake::{Content, DeadLetter, Taken};
use super::outcome::{Made, begun};
use super::{BatchError, Shared, reserve};
use crate::broker::Record;
use crate::catalog::{Installed, Slice};
use crate::result_log::{CAUSATION, OUTCOME};
use crate::store::Log;

/// Records whose offsets nobody asks for.
pub(super) const NOT_COUNTED: usize = usize::MAX;

/// Bytes of a record's value: with its headers it fits into a request of Kafka's default size. A larger one is refused, and with
/// it the transaction.
pub(super) const RECORD_BYTES_MAX: usize = 900 << 10;

/// Names what a dead letter lacks of the record that it was.
pub(crate) const LEFT_OUT: &str = "__foldline.errors.left_out";

/// All records, in the order of the commands. The events' values are taken out of `decided`.
pub(super) fn records<'a>(
    shared: &'a Shared,
    batch: &[Taken],
    decided: &mut Decided,
) -> Result<Vec<Record<'a>>, BatchError> {
    let time = Bytes::from(decided.now.to_string());
    let mut records = decided.new_keys.records(decided.now, &shared.catalog);
    records.reserve(batch.len() * 2);
    for (taken, decision) in batch.iter().zip(&mut decided.decisions) {
        let installed = shared.catalog.get(taken.slice);
        match (decision, &taken.content) {
            (Decision::Made(made), _) => records_of(shared, installed, taken, made, &time, &mut records)?,
            (Decision::DeadLetter, Content::DeadLetter(letter)) => {
                records.push(dead_letter(installed, taken, letter));
            }
            (Decision::DeadLetter, Content::Command(_)) => unreachable!("a command is decided"),
        }
    }
    Ok(records)
}

fn records_of<'a>(
    shared: &'a Shared,
    installed: &'a Installed,
    taken: &Taken,
    made: &mut Made,
    time: &Bytes,
    records: &mut Vec<Record<'a>>,
) -> Result<(), BatchError> {
    // Shared by all records of the command, as are the headers that say the same for all.
    let key = Bytes::copy_from_slice(made.result.aggregate_id.as_str().as_bytes());
    let trace = taken.traceparent.as_deref().map(Bytes::copy_from_slice);
    for event in &mut made.events {
        fits(taken, &event.value)?;
        records.push(Record {
            topic: &installed.events.name,
            partition: taken.slice.partition,
            key: Some(key.clone()),
            value: Some(std::mem::take(&mut event.value).into()),
            headers: cloud_event(installed, &event.meta, (&key, time), trace.as_ref()),
            number: number(taken.slice, Log::Events),
        });
    }
    let mut value = begun(installed.results.reader.own_id());
    installed.result_codec.encode_meta(&made.result, &mut value)?;
    fits(taken, &value)?;
    records.push(Record {
        topic: &installed.results.name,
        partition: taken.slice.partition,
        key: Some(key),
        value: Some(value.into()),
        headers: told(&made.result, trace.as_ref()),
        number: number(taken.slice, Log::Results),
    });
    for value in &made.released {
        let Some(claims) = reserve::claims_on(shared, installed, value) else {
            continue;
        };
        let (mut meta, command) = reserve::release(value, &made.result);
        let mut bytes = begun(claims.commands.reader.own_id());
        claims.aggregate.encode_command(&mut meta, &command, &mut bytes)?;
        records.push(Record {
            topic: &claims.commands.name,
            partition: claims.slice_of(&meta.aggregate_id).partition,
            key: Some(Bytes::copy_from_slice(meta.aggregate_id.as_str().as_bytes())),
            value: Some(bytes.into()),
            headers: traced(Vec::new(), trace.as_ref()),
            number: NOT_COUNTED,
        });
    }
    Ok(())
}

fn fits(taken: &Taken, value: &[u8]) -> Result<(), BatchError> {
    match value.len() <= RECORD_BYTES_MAX {
        true => Ok(()),
        false => Err(BatchError::TooLarge {
            slice: taken.slice,
            offset: taken.offset,
            bytes: value.len(),
        }),
    }
}

/// What [`Member::delivered`](crate::broker::Member::delivered) is asked by.
pub(super) fn number(slice: Slice, log: Log) -> usize {
    // Partitions are counted from 0, and Kafka has far fewer than 2^24 of a topic.
    let partition = usize::try_from(slice.partition).unwrap_or_default();
    (slice.index << 24 | partition) << 1 | usize::from(log == Log::Results)
}

/// CloudEvents' binary mode for Kafka: the record stays as it is, and the headers say what it is.
fn cloud_event(
    installed: &Installed,
    meta: &EventMeta,
    (subject, time): (&Bytes, &Bytes),
    trace: Option<&Bytes>,
) -> Headers {
    let all = [
        ("ce_specversion", Bytes::from_static(b"1.0")),
        ("ce_id", Bytes::from(meta.event_id.to_string())),
        ("ce_source", installed.event_source.clone()),
        ("ce_type", copied(&meta.event_type)),
        ("ce_subject", subject.clone()),
        ("ce_time", time.clone()),
        ("ce_correlationid", copied(&meta.correlation_id)),
        (
            "content-type",
            Bytes::from_static(b"application/vnd.confluent.avro"),
        ),
    ];
    let mut headers = Vec::with_capacity(all.len() + 1);
    headers.extend(all.into_iter().map(|(key, value)| header(key, value)));
    traced(headers, trace)
}

/// What whoever reads only some of the results needs to know of one. All of it stands in the value too.
fn told(result: &CommandResult, trace: Option<&Bytes>) -> Headers {
    let mut headers = Vec::with_capacity(3);
    headers.push(header(OUTCOME, copied(&result.outcome)));
    headers.extend((result.causation_id.as_ref()).map(|cause| header(CAUSATION, copied(cause))));
    traced(headers, trace)
}

fn traced(mut headers: Headers, trace: Option<&Bytes>) -> Headers {
    headers.extend(trace.map(|value| header("traceparent", value.clone())));
    headers
}

fn header(key: &str, value: Bytes) -> (String, Option<Bytes>) {
    (key.to_owned(), Some(value))
}

fn copied(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The record as it was found, and why it is no command.
fn dead_letter<'a>(installed: &'a Installed, taken: &Taken, letter: &DeadLetter) -> Record<'a> {
    tracing::warn!(
        topic = installed.commands.name,
        partition = taken.slice.partition,
        offset = taken.offset,
        reason = letter.reason,
        "not a command; to the dead-letter topic"
    );
    let left_out = left_out(letter);
    let keeps = |part: &str| !left_out.contains(&part);
    let found = letter.headers.iter().filter(|_| keeps("headers"));
    let found = found.map(|(key, value)| (key.clone(), value.clone().map(Bytes::from)));
    let context = [
        ("__foldline.errors.topic", installed.commands.name.clone()),
        ("__foldline.errors.partition", taken.slice.partition.to_string()),
        ("__foldline.errors.offset", taken.offset.to_string()),
        ("__foldline.errors.stage", "decode".to_owned()),
        ("__foldline.errors.reason", letter.reason.clone()),
    ];
    let id = letter
        .command_id
        .map(|id| ("__foldline.errors.command_id", id.to_string()));
    let lacks = (!left_out.is_empty()).then(|| (LEFT_OUT, left_out.join(", ")));
    let context = context.iter().chain(&id).chain(&lacks);
    let headers = found.chain(context.map(|(key, value)| header(key, copied(value))));
    Record {
        topic: &installed.dead_letters,
        partition: taken.slice.partition,
        key: letter.key.clone().filter(|_| keeps("key")).map(Bytes::from),
        value: letter.value.clone().filter(|_| keeps("value")).map(Bytes::from),
        headers: headers.collect(),
        number: NOT_COUNTED,
    }
}

/// What has no room in a letter, the largest first. It still lies where the letter says that it was found.
fn left_out(letter: &DeadLetter) -> Vec<&'static str> {
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let headers = letter.headers.iter().map(|(key, value)| key.len() + bytes(value));
    let mut parts = [
        (bytes(&letter.value), "value"),
        (headers.sum(), "headers"),
        (bytes(&letter.key), "key"),
    ];
    parts.sort();
    let mut room = RECORD_BYTES_MAX;
    let has_none = |(bytes, _): &(usize, &str)| {
        let left = room.checked_sub(*bytes);
        room = left.unwrap_or(room);
        left.is_none()
    };
    parts.into_iter().filter(has_none).map(|(_, part)| part).collect()
}

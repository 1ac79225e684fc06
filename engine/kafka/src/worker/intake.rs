//! Commands as they come from their topics.

use std::ops::ControlFlow;
use std::time::Duration;

use foldline_core::DecodedCommand;
use uuid::Uuid;

use super::{BatchError, Worker};
use crate::broker::Message;
use crate::catalog::{Catalog, Installed, Slice};
use crate::registry::ReadError;

/// How long it looks for a command before it looks whether it is to stop.
const LOOK_MAX: Duration = Duration::from_millis(100);
/// Bytes of one batch: a transaction that must be redone stays small.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Bytes of a command. What becomes of it must fit into records of Kafka's default size, which is that of a command topic too:
/// its event may have all that it says, and personal values a third longer; its result, who has sent it and why.
const COMMAND_BYTES_MAX: usize = 512 << 10;
/// A trace context has 55. It goes into the headers of what the command makes.
const TRACE_BYTES_MAX: usize = 256;

/// A record of a command topic.
pub(super) struct Taken {
    pub(super) slice: Slice,
    pub(super) offset: i64,
    /// W3C trace context, passed on to what the command makes.
    pub(super) traceparent: Option<Vec<u8>>,
    pub(super) content: Content,
}

pub(super) enum Content {
    Command(Box<DecodedCommand>),
    DeadLetter(Box<DeadLetter>),
}

/// A record that is no command, as it was found.
pub(super) struct DeadLetter {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(super) reason: String,
    /// Whose command it was to be, if so much of it can be read.
    pub(super) command_id: Option<Uuid>,
}

impl Worker {
    /// Takes what is there, as long as it fits into the batch; nothing, if nothing comes for a while. Only if nothing else
    /// is to be done, it waits for it.
    ///
    /// `bytes` are those of the batch so far.
    pub(super) fn take(&mut self, batch: &mut Vec<Taken>, bytes: &mut usize) -> Result<(), BatchError> {
        let (catalog, batch_max) = (&self.shared.catalog, self.post.batch_max);
        if batch.len() >= batch_max || *bytes >= BATCH_BYTES_MAX {
            return Ok(());
        }
        let is_idle = batch.is_empty() && self.in_flight.is_none() && self.changes.is_empty();
        let at_most = if is_idle { LOOK_MAX } else { Duration::ZERO };
        let mut failed = None;
        self.member.take(at_most, &mut |message| {
            *bytes += message.value.map_or(0, <[u8]>::len);
            match read(catalog, message) {
                Ok(taken) => batch.extend(taken),
                Err(error) => failed = Some(error),
            }
            let is_full = batch.len() >= batch_max || *bytes >= BATCH_BYTES_MAX;
            match is_full || failed.is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        self.changes.add(self.member.changes());
        failed.map_or(Ok(()), Err)
    }
}

/// `None` for a topic that is not ours, which the group does not give us.
fn read(catalog: &Catalog, message: &Message<'_>) -> Result<Option<Taken>, BatchError> {
    let Some(installed) = catalog.by_command_topic(message.topic) else {
        return Ok(None);
    };
    let slice = installed.slice(message.partition);
    let content = match decode(installed, slice, message) {
        Ok(command) => Content::Command(Box::new(command)),
        // That says nothing about the record: it is read again when the registry answers.
        Err(Unreadable::NotNow(error)) => return Err(error.into()),
        Err(Unreadable::Never(reason)) => {
            Content::DeadLetter(Box::new(dead_letter(installed, message, reason)))
        }
    };
    let traceparent = header(message, "traceparent").filter(|trace| trace.len() <= TRACE_BYTES_MAX);
    Ok(Some(Taken {
        slice,
        offset: message.offset,
        traceparent,
        content,
    }))
}

enum Unreadable {
    NotNow(ReadError),
    Never(String),
}

fn decode(installed: &Installed, slice: Slice, message: &Message<'_>) -> Result<DecodedCommand, Unreadable> {
    let never = |reason: &str| Unreadable::Never(reason.to_owned());
    let value = message
        .value
        .ok_or_else(|| never("the value is null: a command cannot be taken back"))?;
    if value.len() > COMMAND_BYTES_MAX {
        return Err(Unreadable::Never(format!(
            "it has {} bytes, and a command {COMMAND_BYTES_MAX} at most",
            value.len()
        )));
    }
    let aggregate = &installed.aggregate;
    let datum = match installed.commands.reader.datum(aggregate.command_codec(), value) {
        Ok(datum) => datum,
        Err(error @ ReadError::Registry(_)) => return Err(Unreadable::NotNow(error)),
        Err(error) => return Err(Unreadable::Never(error.to_string())),
    };
    let command = aggregate
        .decode_command(&datum)
        .map_err(|error| Unreadable::Never(error.to_string()))?;
    let id = &command.meta.aggregate_id;
    if message.key != Some(id.as_str().as_bytes()) {
        return Err(never("the key is not the aggregate_id of the command"));
    }
    let right = installed.slice_of(id);
    if right != slice {
        return Err(Unreadable::Never(format!(
            "the key {id} belongs to partition {}: the producer's partitioner must be murmur2, as Java's is \
             (librdkafka: partitioner=murmur2_random)",
            right.partition
        )));
    }
    Ok(command)
}

fn dead_letter(installed: &Installed, message: &Message<'_>, reason: String) -> DeadLetter {
    let mut headers = Vec::new();
    message
        .headers
        .each(&mut |key, value| headers.push((key.to_owned(), value.map(<[u8]>::to_vec))));
    DeadLetter {
        key: message.key.map(<[u8]>::to_vec),
        value: message.value.map(<[u8]>::to_vec),
        headers,
        reason,
        command_id: message.value.and_then(|value| installed.command_id(value)),
    }
}

fn header(message: &Message<'_>, name: &str) -> Option<Vec<u8>> {
    let mut found = None;
    message.headers.each(&mut |key, value| {
        if key == name && found.is_none() {
            found = value.map(<[u8]>::to_vec);
        }
    });
    found
}

//! Records in the registry's wire format: `0`, the schema's id in 4 bytes, the datum.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldline_core::{AggregateType, DecodeError, DecodedEvent, RecordCodec, Writer};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::{Compatibility, Registry, RegistryError, Subject};

/// A value that is not a record of ours.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not begin as the wire format does.
    #[error(
        "not in the registry's wire format: it must begin with a zero byte and the 4 bytes of a schema id"
    )]
    NotAvro,
    /// No schema has this id.
    #[error("the registry has no schema {id}")]
    UnknownSchema {
        /// The id.
        id: u32,
    },
    /// Written by a schema from which ours cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The registry does not answer, so nothing can be said: try again.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Puts a datum into the wire format.
pub fn wire_format(id: u32, datum: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(datum.len() + HEADER);
    begin_wire_format(id, &mut value);
    value.extend_from_slice(datum);
    value
}

pub(crate) fn begin_wire_format(id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
}

/// The id of the schema that wrote a value, and the datum.
pub(crate) fn split_wire_format(value: &[u8]) -> Result<(u32, &[u8]), ReadError> {
    let (header, datum) = value.split_at_checked(HEADER).ok_or(ReadError::NotAvro)?;
    match *header {
        [0, a, b, c, d] => Ok((u32::from_be_bytes([a, b, c, d]), datum)),
        _ => Err(ReadError::NotAvro),
    }
}

const HEADER: usize = 5;

/// No schema has it: registries begin with 1.
const NO_ID: u32 = 0;

/// Reads values of one topic, whichever schema wrote them.
pub struct RecordReader {
    registry: Registry,
    runtime: Handle,
    own_id: u32,
    /// Schemas of other writers. Ids that do not exist are asked for each time: they may be registered later.
    others: Mutex<HashMap<u32, Arc<Writer>>>,
}

fn subject_of(topic: &str, codec: &RecordCodec) -> Subject {
    Subject {
        name: format!("{topic}-value"),
        schema: codec.schema().clone(),
        // Not asked for when a schema is looked up.
        compatibility: Compatibility::FullTransitive,
    }
}

impl RecordReader {
    /// A reader for the records of a topic by a schema that need not be registered: by one that is not, nothing was
    /// written.
    pub async fn of_topic(
        registry: &Registry,
        topic: &str,
        codec: &RecordCodec,
    ) -> Result<Self, RegistryError> {
        let found = registry.find(&subject_of(topic, codec)).await?;
        Ok(Self::new(registry, found.unwrap_or(NO_ID)))
    }

    /// A reader for the records of a topic by our schema of it, which must be registered.
    pub(crate) async fn registered(
        registry: &Registry,
        topic: &str,
        codec: &RecordCodec,
    ) -> Result<Self, RegistryError> {
        let id = registry.id_of(&subject_of(topic, codec)).await?;
        Ok(Self::new(registry, id))
    }

    /// A reader for a subject's records; `own_id` is the id of our schema. Call it in a tokio runtime.
    pub fn new(registry: &Registry, own_id: u32) -> Self {
        Self {
            registry: registry.clone(),
            runtime: Handle::current(),
            own_id,
            others: Mutex::default(),
        }
    }

    /// One more like it.
    #[cfg(test)]
    pub(crate) fn again(&self) -> Self {
        Self::new(&self.registry, self.own_id)
    }

    /// The id of our own schema.
    pub fn own_id(&self) -> u32 {
        self.own_id
    }

    /// The datum in our schema: as it stands if ours wrote it. Blocks while the registry is asked, the first
    /// time that an id is met, so it must not be called on a thread of the runtime.
    pub fn datum<'a>(&self, codec: &RecordCodec, value: &'a [u8]) -> Result<Cow<'a, [u8]>, ReadError> {
        let (id, datum) = split_wire_format(value)?;
        if id == self.own_id {
            return Ok(Cow::Borrowed(datum));
        }
        Ok(Cow::Owned(codec.transcode(&*self.writer(codec, id)?, datum)?))
    }

    /// The event, as today's code has it, whichever schema and revision it was written in. The one place where events
    /// are read. Blocks as [`datum`](Self::datum) does.
    pub fn event(&self, aggregate: &dyn AggregateType, value: &[u8]) -> Result<DecodedEvent, ReadError> {
        let (id, datum) = split_wire_format(value)?;
        if id == self.own_id {
            return Ok(aggregate.decode_event(datum)?);
        }
        let writer = self.writer(aggregate.event_codec(), id)?;
        Ok(aggregate.decode_event_by(&writer, datum)?)
    }

    /// What a record says besides its payload, which is not looked at. Blocks as [`datum`](Self::datum) does.
    pub fn meta<M: DeserializeOwned>(&self, codec: &RecordCodec, value: &[u8]) -> Result<M, ReadError> {
        Ok(codec.decode_meta_only(&self.datum(codec, value)?)?)
    }

    /// Whether the schema that a value was written by has this field. Blocks as [`datum`](Self::datum) does.
    pub fn knows(&self, codec: &RecordCodec, value: &[u8], field: &str) -> Result<bool, ReadError> {
        let (id, _) = split_wire_format(value)?;
        match id == self.own_id {
            true => Ok(codec.own().has_field(field)),
            false => Ok(self.writer(codec, id)?.has_field(field)),
        }
    }

    fn writer(&self, codec: &RecordCodec, id: u32) -> Result<Arc<Writer>, ReadError> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.get(&id) {
            return Ok(Arc::clone(known));
        }
        let schema = self.runtime.block_on(self.registry.schema(id))?;
        // Ids are never given to another schema, so each is made ready once.
        let writer = codec.written_by(schema.ok_or(ReadError::UnknownSchema { id })?)?;
        Ok(Arc::clone(others.entry(id).or_insert(Arc::new(writer))))
    }
}

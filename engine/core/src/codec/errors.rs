//! What can be wrong with a record.

use crate::upcast::UpcastError;

/// A value that does not fit its schema: a bug, which the codec's tests are there to find.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as {record}: {source}")]
pub struct EncodeError {
    pub(super) record: String,
    pub(super) source: Box<dyn std::error::Error + Send + Sync>,
}

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a datum of the schema.
    #[error("cannot be read as {record}: {problem}")]
    Avro {
        /// The record's name.
        record: String,
        /// What is wrong.
        problem: String,
    },
    /// No field of a type is set.
    #[error("none of the fields {fields} is set")]
    NoPayload {
        /// All of them.
        fields: String,
    },
    /// More than one field of a type is set.
    #[error("both {first} and {second} are set, and exactly one must be")]
    SeveralPayloads {
        /// A field.
        first: String,
        /// Another one.
        second: String,
    },
    /// The type is not that of the field that is set.
    #[error("the type says {says}, and the field that is set is {set}")]
    TypeMismatch {
        /// What the metadata says.
        says: String,
        /// The type of the payload.
        set: String,
    },
    /// An event that this code does not know: a newer one has written it.
    #[error("there is no event {found} here: it was written by newer code")]
    UnknownType {
        /// What the metadata says.
        found: String,
    },
    /// A revision that this code does not know: a newer one has written it.
    #[error(
        "{event} is at revision {known} here, and this one is of revision {found}: it was written by newer code"
    )]
    FutureRevision {
        /// The event's type.
        event: String,
        /// Its revision.
        found: i32,
        /// The newest one that is known.
        known: i32,
    },
    /// A payload that is not what its revision has.
    #[error("{event} of revision {from} cannot be made into one of revision {}: {source}", from + 1)]
    Upcast {
        /// The event's type.
        event: &'static str,
        /// The revision.
        from: i32,
        /// What is wrong.
        source: UpcastError,
    },
    /// What the upcasters have made is not the event.
    #[error("{event} of revision {from} does not come out of its upcasters as today's: {problem}")]
    Upcasted {
        /// The event's type.
        event: String,
        /// The revision that it was written in.
        from: i32,
        /// What is wrong.
        problem: String,
    },
    /// More bytes than the schema describes.
    #[error("{count} bytes too many")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// More payloads than one record may have.
    #[error("more than {most} at once")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
    /// The Avro record has not the shape of ours.
    #[error("an Avro record of another kind: {0}")]
    OtherRecord(String),
}

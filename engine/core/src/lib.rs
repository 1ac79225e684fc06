//! The pure part of Foldline: what an aggregate, a projection and a record are.
//!
//! Nothing here knows Kafka, HTTP or a database, reads a clock or makes a random number. A domain is written
//! against this crate alone; the services run it without knowing it.
//!
//! In reading order:
//! - [`Aggregate`]: decides on commands, folds events. [`Context`] is what a decision may look at.
//! - [`Projection`]: folds events into the rows that clients read.
//! - [`Domain`]: what a domain installs; [`Domains`]: what a program runs.
//! - [`Envelope`], [`CommandMeta`], [`EventMeta`], [`CommandResult`]: what stands on the topics.
//! - [`Upcaster`]: makes what an older revision of an event has written into today's.
//! - [`Personal`]: text about a person, sealed where it is kept; see [`personal`].
//! - [`EventHash`]: chains the events of an aggregate.
//! - [`Verifier`]: whether a log is what was written.
//! - [`Token`]: how far a client has seen.
//!
//! [`testing`] is given/when/then.

mod aggregate;
mod asyncapi;
mod chain;
mod claim;
mod codec;
mod context;
mod contract;
mod domain;
mod envelope;
mod erased;
mod form;
mod id;
mod link;
pub mod personal;
mod projection;
mod records;
mod refusal;
mod schema;
mod schema_diff;
mod snapshot;
mod timestamp;
mod token;
mod told;
mod upcast;
mod verify;
mod view;

pub mod testing;

pub use aggregate::{Aggregate, Payload, Rejection, Unique};
pub use asyncapi::{ASYNC_API_FILE, async_api, async_api_text};
pub use chain::{EventHash, InvalidHash};
pub use claim::{Claim, ClaimCommand, ClaimEvent, ValueTaken};
pub use codec::{DecodeError, EncodeError, RecordCodec, Writer};
pub use context::{Context, NoReferences, References};
pub use contract::{Contract, ContractKind, contracts, next_schema_files, schema_files};
pub use domain::{Domain, DomainError, Domains};
pub use envelope::{CommandMeta, CommandResult, Envelope, EventMeta, Outcome, RecordedEvent, RefusalRecord};
pub use erased::{
    AggregateInfo, AggregateType, AnyCommand, AnyEvent, CommandType, DecodedCommand, DecodedEvent, State,
};
pub use form::{FormError, FormErrors};
pub use id::{AggregateId, InvalidId, Sequence, partition_of};
pub use link::{Link, LinkTarget};
pub use personal::Personal;
pub use projection::{Field, FieldKind, Projection, Source, from};
pub use records::result_codec;
pub use refusal::{Refusal, RefusalKind};
pub use schema_diff::{SchemaChange, WhatChanged, schema_changes};
pub use snapshot::{AggregateSnapshot, Checkpoint, CommandIds, Snapshot, snapshot_codec};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use token::{Token, TokenError};
pub use told::{ToldError, told_today};
pub use upcast::{OldPayload, RevisionError, UpcastError, Upcaster};
pub use verify::{Anchor, Finding, FindingKind, LogKind, Lying, PartitionReport, Verifier};
pub use view::{ViewInfo, ViewState, ViewType};

// What a domain derives with: one version for all.
pub use schemars;

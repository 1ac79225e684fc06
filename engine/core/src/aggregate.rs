use std::fmt::Debug;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{AggregateId, Context, RefusalKind, Upcaster};

/// What commands and events are: an enum of struct variants, `ItemAddedToOrder { quantity: i32 }`.
///
/// Its variants are the types, its fields the fields, and its doc comments the documentation of the Avro
/// schema, the JSON Schema and the API. The order of the variants is part of the contract: append, never
/// reorder.
///
/// A field that an event has since a later revision is marked `#[schemars(extend("x-since-revision" = 2))]`. The
/// Avro schema has it as nullable then, so that every version reads every other; in Rust it is always there,
/// because an [`Upcaster`] has filled it in.
pub trait Payload:
    Serialize + DeserializeOwned + JsonSchema + Clone + PartialEq + Debug + Send + Sync + 'static
{
}

impl<T> Payload for T where
    T: Serialize + DeserializeOwned + JsonSchema + Clone + PartialEq + Debug + Send + Sync + 'static
{
}

/// One consistency boundary: it decides what happens, and is the fold of what has happened.
///
/// Pure: no clock, no randomness, no I/O. A decision that is taken again after a crash must come out the same,
/// so whatever it needs is in the command, in the state or in the [`Context`].
///
/// States are kept on local disk, as a cache of the log. That is why they are serializable, in a form without
/// field names: no `untagged`, `flatten` or `skip_serializing_if`. Their JSON Schema tells a changed form.
pub trait Aggregate:
    Default + Clone + PartialEq + Debug + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
    /// Names the topics, `orders`. Changing it orphans every event ever written.
    const NAME: &'static str;
    /// Where the API serves it, `/menu/items`.
    const PATH: &'static str;
    /// The command that makes a new one. Every other one needs an aggregate that exists.
    const CREATE: &'static str;
    /// The aggregates (by name) that decisions look at through [`Context::find`].
    const REFERENCES: &'static [&'static str] = &[];
    /// The aggregate type (by name) whose aggregates are the people that personal values of this one are about. Its own
    /// aggregates get their key with their first event; others must refer to one that is there.
    const SUBJECT: &'static str = Self::NAME;
    /// The values that only one aggregate may hold at a time, by name; see [`unique`](Self::unique).
    const UNIQUE: &'static [&'static str] = &[];
    /// Raise it when [`evolve`](Self::evolve) makes something else of the same events: states that were folded
    /// before are then folded anew, and snapshots of them are not used. A changed form of the state needs nothing.
    const FOLD: i32 = 1;
    /// The events that are past revision 1. What a revision has once written is never written anew: it is made
    /// into today's by [`UPCASTERS`](Self::UPCASTERS) whenever it is read.
    const REVISIONS: &'static [(&'static str, i32)] = &[];
    /// One for each revision that is no longer written. A hole is an error when the domain is installed.
    const UPCASTERS: &'static [Upcaster] = &[];

    /// What can be asked of it.
    type Command: Payload;
    /// What can have happened to it.
    type Event: Payload;
    /// How it says no.
    type Rejection: Rejection;

    /// Decides what happens now. `Ok(vec![])` means that it is already so.
    fn decide(
        &self,
        command: &Self::Command,
        context: &Context<'_>,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Folds one event in. It cannot fail: the event has already happened.
    fn evolve(&mut self, event: &Self::Event);

    /// The values that this state holds of those named in [`UNIQUE`](Self::UNIQUE), normalised: equal values
    /// must be equal text. A command whose events would add a value that another aggregate holds is refused.
    fn unique(&self) -> Vec<Unique> {
        Vec::new()
    }

    /// Whose it is: the subject (`sub`) of the tokens of its owner. Who may only read or command own ones, may do so
    /// with this one if the subject is theirs. None if it is nobody's: then only who may do so with all, may with it.
    ///
    /// The first event says it, and it never changes: readers fold that one event alone. [`named_owner`] says it of an
    /// aggregate that is only asked for.
    ///
    /// [`named_owner`]: Self::named_owner
    fn owner(&self, _id: &AggregateId) -> Option<String> {
        None
    }

    /// Whose it would be, if this command made the aggregate `id`: the [`owner`](Self::owner) of what it makes. None
    /// for a command that makes nothing.
    fn named_owner(_id: &AggregateId, _command: &Self::Command) -> Option<String> {
        None
    }

    /// Whom its [`Personal`](crate::Personal) values are about: the id of an aggregate of the type [`SUBJECT`]. None, if
    /// they are about nobody yet. Once said, it never changes.
    ///
    /// [`SUBJECT`]: Self::SUBJECT
    fn subject(&self, id: &AggregateId) -> Option<AggregateId> {
        Some(id.clone())
    }

    /// The types of the commands that this state can accept, if their values are right. For the API's list of
    /// what can be done; [`decide`](Self::decide) is what counts.
    fn possible(&self) -> Vec<&'static str>;
}

/// A value that only one aggregate of its type may hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unique {
    /// Its name in [`Aggregate::UNIQUE`].
    pub name: &'static str,
    /// The value, normalised.
    pub value: String,
}

/// A rule said no. It knows nothing of HTTP.
pub trait Rejection: std::error::Error + Clone + PartialEq + Send + Sync + 'static {
    /// Every [`code`](Self::code) there is: each has a page in `docs/errors/`.
    const CODES: &'static [&'static str] = &[];

    /// Names the rule for ever, `order-not-open`.
    fn code(&self) -> &'static str;
    /// Why it says no: what the client can do next depends on it.
    fn kind(&self) -> RefusalKind;
    /// The field of the command that is to blame, as in the schema.
    fn field(&self) -> Option<&'static str> {
        None
    }
}

//! How a Rust type becomes an [`AggregateType`].

use std::borrow::Cow;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use uuid::Uuid;

use super::fingerprint::fingerprint;
use super::{
    AggregateInfo, AggregateType, AnyCommand, AnyEvent, CommandType, DecodedCommand, DecodedEvent, State,
};
use crate::codec::PAYLOADS_MAX;
use crate::form::Forms;
use crate::personal::{as_new, holds_personal, is_marked};
use crate::records::{command_fields, event_fields};
use crate::schema::{SchemaError, Variant, variants_of};
use crate::upcast::{OldPayload, Revisions, Upcaster, upcast};
use crate::{
    Aggregate, AggregateId, CommandMeta, Context, DecodeError, DomainError, EncodeError, EventMeta,
    FormErrors, RecordCodec, Refusal, Rejection, Unique, Writer,
};

pub(crate) struct Typed<A: Aggregate> {
    info: AggregateInfo,
    commands: RecordCodec,
    events: RecordCodec,
    forms: Forms,
    revisions: Revisions,
    shape: Uuid,
    of: std::marker::PhantomData<fn() -> A>,
}

impl<A: Aggregate> Typed<A> {
    pub(crate) fn new(domain: &str, name: &str, path: &'static str) -> Result<Self, DomainError> {
        let (_, _, events) = variants_of::<A::Event>().map_err(|source| DomainError::schema(name, source))?;
        let revisions = Revisions::new(&events, A::REVISIONS, A::UPCASTERS).map_err(|source| {
            let aggregate = name.to_owned();
            DomainError::Revisions { aggregate, source }
        })?;
        Self::with(domain, name, path, revisions).map_err(|source| DomainError::schema(name, source))
    }

    fn with(domain: &str, name: &str, path: &'static str, revisions: Revisions) -> Result<Self, SchemaError> {
        let namespace = format!("{domain}.{}", name.replace('-', "_"));
        let (command_name, command_doc, command_variants) = variants_of::<A::Command>()?;
        let (event_name, event_doc, event_variants) = variants_of::<A::Event>()?;
        let commands: Vec<CommandType> = command_variants
            .iter()
            .map(|variant| CommandType {
                name: variant.name.clone(),
                doc: variant.doc.clone(),
                creates: variant.name == A::CREATE,
                schema: variant.schema.clone(),
            })
            .collect();
        let events = RecordCodec::new(
            &namespace,
            &event_name,
            &event_doc,
            ("EventMeta", event_fields()),
            &event_variants,
        )?;
        let is_personal = {
            let mut payloads = command_variants.iter().chain(&event_variants);
            payloads.any(|variant| holds_personal(&variant.schema)) || holds_personal(&root_schema_for::<A>())
        };
        let names = |variants: &[Variant]| variants.iter().map(|variant| variant.name.clone()).collect();
        let event_names: Vec<String> = names(&event_variants);
        Ok(Self {
            forms: Forms::new(&commands),
            revisions,
            shape: shape_of::<A>(),
            commands: RecordCodec::with_more(
                &namespace,
                &command_name,
                &command_doc,
                ("CommandMeta", command_fields()),
                &command_variants,
                Some(
                    "More commands on the same aggregate, decided after the first one: all are accepted, or none.",
                ),
            )?,
            events,
            info: AggregateInfo {
                domain: domain.to_owned(),
                name: name.to_owned(),
                path,
                references: A::REFERENCES,
                unique: A::UNIQUE,
                commands,
                events: event_names,
                is_personal,
                // Claims have as many names as they have uses.
                subject: if A::SUBJECT == A::NAME { name } else { A::SUBJECT }.to_owned(),
                codes: A::Rejection::CODES,
            },
            of: std::marker::PhantomData,
        })
    }

    fn one_from_json(&self, body: &Value, assumed: Option<&str>) -> Result<(String, A::Command), FormErrors> {
        let (name, tagged) = self.forms.read(body, assumed)?;
        let command = as_new(|| serde_path_to_error::deserialize(tagged));
        let command = command.map_err(|error| FormErrors::unforeseen(&error, body))?;
        Ok((name, command))
    }

    /// Reads a record that lies in our schema in `ours`, and as it was written in `written`.
    fn decode(&self, ours: &[u8], writer: &Writer, written: &[u8]) -> Result<DecodedEvent, DecodeError> {
        let (mut meta, rest) = self.events.begin::<EventMeta>(ours)?;
        let steps = self.revisions.steps(&meta.event_type, meta.revision)?;
        let event = if steps.is_empty() {
            self.typed(&meta, rest)?
        } else {
            let payload = self.events.old_payload(writer, written, &meta.event_type)?;
            Self::upcast(&meta.event_type, meta.revision, steps, payload)?
        };
        meta.written_revision = meta.revision;
        meta.revision = self.revisions.current(&meta.event_type);
        let event = AnyEvent(Box::new(event));
        Ok(DecodedEvent { meta, event })
    }

    fn typed(&self, meta: &EventMeta, rest: &[u8]) -> Result<A::Event, DecodeError> {
        let (set, mut events) = self.events.finish::<A::Event>(rest)?;
        if meta.event_type != set {
            return Err(DecodeError::TypeMismatch {
                says: meta.event_type.clone(),
                set: set.to_owned(),
            });
        }
        let none = || DecodeError::OtherRecord("no event".to_owned());
        events.pop().ok_or_else(none)
    }

    fn upcast(
        event_type: &str,
        from: i32,
        steps: &[Upcaster],
        payload: OldPayload,
    ) -> Result<A::Event, DecodeError> {
        let payload = upcast(steps, payload)?.into_value();
        let tagged = Value::Object([(event_type.to_owned(), payload)].into_iter().collect());
        serde_json::from_value(tagged).map_err(|error| DecodeError::Upcasted {
            event: event_type.to_owned(),
            from,
            problem: error.to_string(),
        })
    }

    pub(super) fn commands(command: &AnyCommand) -> &Vec<A::Command> {
        command
            .0
            .downcast_ref()
            .expect("a command of this aggregate type")
    }

    fn state(state: &State) -> &A {
        state.downcast_ref().expect("a state of this aggregate type")
    }
}

impl<A: Aggregate> AggregateType for Typed<A> {
    fn info(&self) -> &AggregateInfo {
        &self.info
    }

    fn command_codec(&self) -> &RecordCodec {
        &self.commands
    }

    fn event_codec(&self) -> &RecordCodec {
        &self.events
    }

    fn initial(&self) -> State {
        Box::new(A::default())
    }

    fn clone_state(&self, state: &State) -> State {
        Box::new(Self::state(state).clone())
    }

    fn encode_state(&self, state: &State) -> Vec<u8> {
        postcard::to_stdvec(Self::state(state))
            .expect("states have no unsized parts, which is all that fails")
    }

    fn decode_state(&self, bytes: &[u8]) -> Option<State> {
        let (state, rest) = postcard::take_from_bytes::<A>(bytes).ok()?;
        rest.is_empty().then(|| Box::new(state) as State)
    }

    fn state_json(&self, state: &State) -> Value {
        serde_json::to_value(Self::state(state)).unwrap_or_default()
    }

    fn state_text(&self, state: &State) -> Option<String> {
        let state = Self::state(state);
        let text = serde_json::to_string(state).ok()?;
        let read: A = serde_json::from_str(&text).ok()?;
        (read == *state).then_some(text)
    }

    fn state_from_text(&self, text: &str) -> Option<State> {
        let state: A = serde_json::from_str(text).ok()?;
        Some(Box::new(state))
    }

    fn is_same_state(&self, state: &State, other: &State) -> bool {
        Self::state(state) == Self::state(other)
    }

    fn state_schema(&self) -> Value {
        root_schema_for::<A>()
    }

    fn state_shape(&self) -> Uuid {
        self.shape
    }

    fn decide(
        &self,
        state: &State,
        command: &AnyCommand,
        context: &Context<'_>,
    ) -> Result<Vec<AnyEvent>, Refusal> {
        let commands = Self::commands(command);
        let mut events = Vec::new();
        // Each is decided on what those before it have made; the first no is that of all.
        let mut state = Cow::Borrowed(Self::state(state));
        for (step, command) in (0..).zip(commands) {
            context.set_step(step);
            let decided = state.decide(command, context).map_err(|rejection| Refusal {
                step,
                ..Refusal::of(&rejection)
            })?;
            if commands.len() > 1 {
                decided.iter().for_each(|event| state.to_mut().evolve(event));
            }
            events.extend(decided.into_iter().map(|event| AnyEvent(Box::new(event))));
        }
        Ok(events)
    }

    fn evolve(&self, state: &mut State, event: &AnyEvent) {
        let state: &mut A = state.downcast_mut().expect("a state of this aggregate type");
        state.evolve(event.get::<A>().expect("an event of this aggregate type"));
    }

    fn unique(&self, state: &State) -> Vec<Unique> {
        Self::state(state).unique()
    }

    fn owner(&self, state: &State, id: &AggregateId) -> Option<String> {
        Self::state(state).owner(id)
    }

    fn subject(&self, state: &State, id: &AggregateId) -> Option<AggregateId> {
        Self::state(state).subject(id)
    }

    fn named_owner(&self, id: &AggregateId, command: &AnyCommand) -> Option<String> {
        A::named_owner(id, Self::commands(command).first()?)
    }

    fn possible(&self, state: &State) -> Vec<&'static str> {
        Self::state(state).possible()
    }

    fn command_from_json(
        &self,
        body: &Value,
        assumed: Option<&str>,
    ) -> Result<(String, AnyCommand), FormErrors> {
        if is_marked(body.to_string().as_bytes()) {
            return Err(FormErrors::one("", SEALED_IN_COMMAND.to_owned()));
        }
        let Value::Array(items) = body else {
            let (name, command) = self.one_from_json(body, assumed)?;
            return Ok((name, AnyCommand(Box::new(vec![command]))));
        };
        check_length(items)?;
        let mut commands = Vec::new();
        let mut errors = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match self.one_from_json(item, None) {
                Ok(command) => commands.push(command),
                Err(wrong) => errors.extend(wrong.under(index).0),
            }
        }
        if !errors.is_empty() {
            return Err(FormErrors(errors));
        }
        let name = commands.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let commands: Vec<A::Command> = commands.into_iter().map(|(_, command)| command).collect();
        Ok((name, AnyCommand(Box::new(commands))))
    }

    fn command_types(&self, command: &AnyCommand) -> Vec<String> {
        let of = |command: &A::Command| match serde_json::to_value(command) {
            Ok(Value::Object(tagged)) => tagged.into_iter().next().map(|(name, _)| name),
            _ => None,
        };
        let types = Self::commands(command).iter().map(of);
        // A payload is an enum of struct variants, so each has a type.
        types.map(Option::unwrap_or_default).collect()
    }

    fn decode_command(&self, datum: &[u8]) -> Result<DecodedCommand, DecodeError> {
        if is_marked(datum) {
            return Err(DecodeError::OtherRecord(SEALED_IN_COMMAND.to_owned()));
        }
        let (mut meta, set, commands) = as_new(|| self.commands.decode::<CommandMeta, A::Command>(datum))?;
        let says = meta
            .command_type
            .strip_suffix("Command")
            .unwrap_or(&meta.command_type);
        if says != set {
            return Err(DecodeError::TypeMismatch {
                says: meta.command_type,
                set: set.to_owned(),
            });
        }
        set.clone_into(&mut meta.command_type);
        let fingerprint =
            fingerprint(&meta, &commands).map_err(|error| DecodeError::OtherRecord(error.to_string()))?;
        Ok(DecodedCommand {
            meta,
            command: AnyCommand(Box::new(commands)),
            fingerprint,
        })
    }

    fn encode_command(
        &self,
        meta: &mut CommandMeta,
        command: &AnyCommand,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.commands.encode(Self::commands(command), out, |name| {
            name.clone_into(&mut meta.command_type);
            &*meta
        })
    }

    fn decode_event(&self, datum: &[u8]) -> Result<DecodedEvent, DecodeError> {
        self.decode(datum, self.events.own(), datum)
    }

    fn decode_event_by(&self, writer: &Writer, datum: &[u8]) -> Result<DecodedEvent, DecodeError> {
        self.decode(&self.events.transcode(writer, datum)?, writer, datum)
    }

    fn encode_event(
        &self,
        meta: &mut EventMeta,
        event: &AnyEvent,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let event = event.get::<A>().expect("an event of this aggregate type");
        self.events.encode(std::slice::from_ref(event), out, |name| {
            name.clone_into(&mut meta.event_type);
            meta.revision = self.revisions.current(name);
            meta.written_revision = meta.revision;
            &*meta
        })
    }

    fn event_text(&self, event: &DecodedEvent) -> String {
        let payload = event.event.get::<A>().expect("an event of this aggregate type");
        event.meta.to_text(payload)
    }

    fn event_json(&self, event: &AnyEvent) -> Value {
        match self.event_tagged(event) {
            Value::Object(mut variants) => variants.values_mut().next().map(Value::take).unwrap_or_default(),
            _ => Value::Null,
        }
    }

    fn event_tagged(&self, event: &AnyEvent) -> Value {
        let event = event.get::<A>().expect("an event of this aggregate type");
        serde_json::to_value(event).unwrap_or_default()
    }

    fn event_schema(&self) -> Value {
        root_schema_for::<A::Event>()
    }

    fn event_from_json(
        &self,
        event_type: &str,
        revision: i32,
        payload: Value,
    ) -> Result<AnyEvent, DecodeError> {
        let steps = self.revisions.steps(event_type, revision)?;
        let Value::Object(payload) = payload else {
            return Err(DecodeError::OtherRecord("a payload that is no object".to_owned()));
        };
        let event = Self::upcast(event_type, revision, steps, OldPayload::new(payload))?;
        Ok(AnyEvent(Box::new(event)))
    }

    fn revision_of(&self, event_type: &str) -> i32 {
        self.revisions.current(event_type)
    }
}

/// What it holds would be opened for whoever reads it.
const SEALED_IN_COMMAND: &str = "a command must not hold what begins a sealed personal value, \"enc1.\"";

/// A list of commands that can be decided as one.
fn check_length(items: &[Value]) -> Result<(), FormErrors> {
    if (1..=PAYLOADS_MAX).contains(&items.len()) {
        return Ok(());
    }
    Err(FormErrors::one(
        "",
        format!("a list must have 1 to {PAYLOADS_MAX} commands"),
    ))
}

/// The form of the states, and which fold made them. Not the form of the events: a new event type would have every
/// state folded anew.
fn shape_of<A: Aggregate>() -> Uuid {
    let shape = format!("{} {}", A::FOLD, root_schema_for::<A>());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, shape.as_bytes())
}

fn root_schema_for<T: JsonSchema>() -> Value {
    let schemas = SchemaSettings::draft2020_12().into_generator();
    schemas.into_root_schema_for::<T>().to_value()
}

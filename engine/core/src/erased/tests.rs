use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::json;

use super::{AnyCommand, AnyEvent, Typed};
use crate::records::result_codec;
use crate::{
    Claim, ClaimCommand, ClaimEvent, CommandMeta, CommandResult, Context, DecodeError, Domain, Domains,
    EventHash, EventMeta, NoReferences, Outcome, Refusal, RefusalKind, Timestamp,
};

fn domains() -> Domains {
    Domains::new([Domain::new("test").aggregate::<Claim>()]).unwrap()
}

fn event_meta() -> EventMeta {
    EventMeta {
        event_id: uuid::Uuid::from_u128(1),
        event_type: String::new(),
        aggregate_id: "a-1".parse().unwrap(),
        sequence: 7,
        revision: 0,
        occurred_at: Timestamp(1),
        recorded_at: Timestamp(2),
        command_id: uuid::Uuid::from_u128(2),
        correlation_id: "c".into(),
        causation_id: "d".into(),
        actor: Some("ada".into()),
        index: 0,
        count: 1,
        command_offset: 300,
        previous_hash: Some(EventHash::of(b"before")),
        written_revision: 1,
    }
}

fn command_meta() -> CommandMeta {
    CommandMeta {
        expected_sequence: Some(3),
        ..CommandMeta::new(uuid::Uuid::from_u128(2), "a-1".parse().unwrap(), Timestamp(1))
    }
}

fn released() -> ClaimEvent {
    ClaimEvent::ValueReleased {
        value: "v".into(),
        holder: "h".into(),
    }
}

#[test]
fn an_event_record_is_read_back() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let (mut meta, mut bytes) = (event_meta(), Vec::new());
    let event = AnyEvent(Box::new(released()));
    claims.encode_event(&mut meta, &event, &mut bytes).unwrap();
    assert_eq!((meta.event_type.as_str(), meta.revision), ("ValueReleased", 1));

    let decoded = claims.decode_event(&bytes).unwrap();
    assert_eq!(decoded.meta, meta);
    assert_eq!(decoded.event.get::<Claim>(), Some(&released()));
    assert_eq!(
        claims.event_json(&decoded.event),
        json!({"value": "v", "holder": "h"})
    );
    assert_eq!(
        claims.event_text(&decoded),
        decoded
            .meta
            .to_json(claims.event_json(&decoded.event))
            .to_string()
    );
}

#[test]
fn a_command_record_is_read_back() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let (mut meta, mut bytes) = (command_meta(), Vec::new());
    let command = ClaimCommand::ReserveValue {
        value: "v".into(),
        holder: "h".into(),
    };
    claims
        .encode_command(&mut meta, &AnyCommand::new::<Claim>(command), &mut bytes)
        .unwrap();

    assert_eq!(claims.decode_command(&bytes).unwrap().meta, meta);
}

#[test]
fn a_length_that_no_record_has_is_refused_before_memory_is_taken_for_it() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let (mut meta, mut bytes) = (event_meta(), Vec::new());
    let event = AnyEvent(Box::new(released()));
    claims.encode_event(&mut meta, &event, &mut bytes).unwrap();
    // The length of the first text, 36, becomes 400 MiB: 25 << 24, zigzag, in seven bits a byte.
    assert_eq!(bytes[0], 72);
    bytes.splice(..1, [0x80, 0x80, 0x80, 0x90, 0x03]);
    // Of our own schema, a text is a part of the record, or there is none; what is read by apache-avro has a bound.
    let own = claims.decode_event(&bytes).err().unwrap().to_string();
    assert!(own.contains("end of slice"), "{own}");
    let codec = claims.event_codec();
    let other = codec.transcode(codec.own(), &bytes).err().unwrap().to_string();
    assert!(other.contains("maximum allowed"), "{other}");
}

#[test]
fn bytes_that_are_no_record_are_told_apart() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let mut bytes = Vec::new();
    claims
        .encode_event(&mut event_meta(), &AnyEvent(Box::new(released())), &mut bytes)
        .unwrap();
    let error = |bytes: &[u8]| claims.decode_event(bytes).err().unwrap();

    assert!(matches!(error(b""), DecodeError::Avro { .. }));
    assert!(matches!(
        error(&bytes[..bytes.len() - 1]),
        DecodeError::Avro { .. }
    ));
    bytes.push(0);
    assert!(matches!(error(&bytes), DecodeError::TrailingBytes { count: 1 }));
    let meta_only = {
        let (mut bytes, mut meta) = (Vec::new(), event_meta());
        (meta.event_type, meta.revision) = ("ValueReleased".to_owned(), 1);
        claims.event_codec().encode_meta(&meta, &mut bytes).unwrap();
        bytes
    };
    assert!(matches!(
        error(&[meta_only.as_slice(), &[0, 0]].concat()),
        DecodeError::NoPayload { .. }
    ));
    let both = [2, 2, b'v', 2, b'h', 2, 2, b'v', 2, b'h'];
    assert!(matches!(
        error(&[meta_only.as_slice(), &both].concat()),
        DecodeError::SeveralPayloads { .. }
    ));
}

#[test]
fn a_type_and_a_revision_of_newer_code_are_said_to_be_that() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let error = |event_type: &str, revision| {
        let (mut bytes, mut meta) = (Vec::new(), event_meta());
        (meta.event_type, meta.revision) = (event_type.to_owned(), revision);
        claims.event_codec().encode_meta(&meta, &mut bytes).unwrap();
        // As our schema sees it: no payload that it knows.
        bytes.extend([0, 0]);
        claims.decode_event(&bytes).err().unwrap()
    };
    assert!(matches!(error("ValueSold", 1), DecodeError::UnknownType { found } if found == "ValueSold"));
    let future = error("ValueReleased", 2);
    assert!(
        matches!(
            future,
            DecodeError::FutureRevision {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{future}"
    );
}

#[test]
fn a_record_of_an_older_schema_is_read_by_ours() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let mut bytes = Vec::new();
    claims
        .encode_event(&mut event_meta(), &AnyEvent(Box::new(released())), &mut bytes)
        .unwrap();
    // An older writer that had no actor, no second type, and its fields in another order.
    let mut older = claims.event_codec().schema().clone();
    let fields = older["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"] != "actor" && field["name"] != "value_reserved");
    fields.reverse();
    let older = Schema::parse(&older).unwrap();
    let ours = Schema::parse(claims.event_codec().schema()).unwrap();
    let reader = GenericDatumReader::builder(&ours)
        .reader_schema(&older)
        .build()
        .unwrap();
    let value = reader.read_value(&mut bytes.as_slice()).unwrap();
    let writer = GenericDatumWriter::builder(&older).build().unwrap();
    let old_bytes = writer.write_value_to_vec(value).unwrap();

    let writer = claims.event_codec().written_by(older).unwrap();
    let decoded = claims.decode_event_by(&writer, &old_bytes).unwrap();
    assert_eq!(
        decoded.meta,
        EventMeta {
            actor: None,
            event_type: "ValueReleased".into(),
            revision: 1,
            ..event_meta()
        }
    );
    assert_eq!(decoded.event.get::<Claim>(), Some(&released()));
}

#[test]
fn a_record_of_another_kind_is_refused() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let other = Schema::parse_str(
        r#"{"type": "record", "name": "Other", "fields": [{"name": "n", "type": "long"}]}"#,
    )
    .unwrap();
    let writer = claims.command_codec().written_by(other).unwrap();
    let error = claims.command_codec().transcode(&writer, &[2]).unwrap_err();
    assert!(matches!(error, DecodeError::OtherRecord(_)), "{error}");
}

#[test]
fn a_result_record_is_read_back() {
    let domains = domains();
    let codec = result_codec(domains.aggregates()[0].info());
    let refusal = Refusal::engine("value-taken", RefusalKind::State, "\"v\" is taken".into());
    let result = CommandResult {
        command_id: uuid::Uuid::from_u128(2),
        command_type: "ReserveValue".into(),
        aggregate_id: "a-1".parse().unwrap(),
        outcome: String::new(),
        sequence: 7,
        events: vec![],
        refusal: None,
        decided_at: Timestamp(5),
        correlation_id: "c".into(),
        command_offset: 9,
        fingerprint: uuid::Uuid::from_u128(3),
        replayed: false,
        consistency_token: "1.x".into(),
        dry_run: false,
        last_event_hash: Some(EventHash::of(b"event")),
        actor: Some("ada".into()),
        causation_id: None,
        issued_at: Some(Timestamp(4)),
    }
    .with(Outcome::Refused(refusal.clone()));
    let mut bytes = Vec::new();
    codec.encode_meta(&result, &mut bytes).unwrap();
    let read: CommandResult = codec.decode_meta(&bytes).unwrap();
    assert_eq!(read, result);
    assert_eq!(read.decided(), Outcome::Refused(refusal));
}

#[test]
fn several_commands_are_read_back_and_their_mistakes_have_the_entrys_pointer() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let take = |value: &str| json!({"type": "ReserveValue", "value": value, "holder": "h"});
    let (name, commands) = claims
        .command_from_json(&json!([take("a"), take("b")]), None)
        .unwrap();
    assert_eq!(name, "ReserveValue");
    let (mut meta, mut bytes) = (command_meta(), Vec::new());
    claims.encode_command(&mut meta, &commands, &mut bytes).unwrap();
    let decoded = claims.decode_command(&bytes).unwrap();
    assert_eq!(Typed::<Claim>::commands(&decoded.command).len(), 2);

    let wrong = claims.command_from_json(&json!([take("a"), {"type": "ReserveValue", "value": 7}]), None);
    let pointers: Vec<String> = wrong
        .err()
        .unwrap()
        .0
        .into_iter()
        .map(|error| error.pointer)
        .collect();
    assert_eq!(pointers, ["/1/holder", "/1/value"]);
    assert!(claims.command_from_json(&json!([]), None).is_err());
}

#[test]
fn of_several_commands_all_are_accepted_or_none_and_the_step_is_named() {
    let domains = domains();
    let claims = &domains.aggregates()[0];
    let ask = |commands: serde_json::Value| {
        let (_, commands) = claims.command_from_json(&commands, None).unwrap();
        let id = "a-1".parse().unwrap();
        let context = Context::new(uuid::Uuid::nil(), &id, Timestamp(0), None, &NoReferences);
        claims.decide(&claims.initial(), &commands, &context)
    };
    let take = |holder: &str| json!({"type": "ReserveValue", "value": "v", "holder": holder});
    let release = json!({"type": "ReleaseValue", "value": "v", "holder": "a"});
    assert_eq!(ask(json!([take("a"), release, take("b")])).unwrap().len(), 3);
    let refusal = ask(json!([take("a"), take("b")])).err().unwrap();
    assert_eq!((refusal.code.as_str(), refusal.step), ("value-taken", 1));
}

mod personal {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::{AnyEvent, command_meta, event_meta};
    use crate::personal::{KeyId, Seal, SubjectKey, is_marked, seal};
    use crate::{
        Aggregate, AggregateId, Context, DecodeError, Domain, DomainError, Domains, Envelope, Field,
        Personal, Projection, RefusalKind, Rejection, Source, from,
    };

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Person {
        name: Personal,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    enum PersonCommand {
        Name { name: Personal },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    enum PersonEvent {
        Named { name: Personal },
    }

    #[derive(Debug, Clone, PartialEq, thiserror::Error)]
    #[error("no")]
    struct No;

    impl Rejection for No {
        fn code(&self) -> &'static str {
            "no"
        }

        fn kind(&self) -> RefusalKind {
            RefusalKind::Value
        }
    }

    impl Aggregate for Person {
        const NAME: &'static str = "people";
        const PATH: &'static str = "/people";
        const CREATE: &'static str = "Name";

        type Command = PersonCommand;
        type Event = PersonEvent;
        type Rejection = No;

        fn decide(
            &self,
            PersonCommand::Name { name }: &PersonCommand,
            _: &Context<'_>,
        ) -> Result<Vec<PersonEvent>, No> {
            Ok(vec![PersonEvent::Named { name: name.clone() }])
        }

        fn evolve(&mut self, PersonEvent::Named { name }: &PersonEvent) {
            self.name.clone_from(name);
        }

        fn possible(&self) -> Vec<&'static str> {
            vec!["Name"]
        }
    }

    struct People;

    impl Projection for People {
        const NAME: &'static str = "people";
        const PATH: &'static str = "/people";
        const FIELDS: &'static [Field] = &[Field::text("name")];

        type View = Person;

        fn sources() -> Vec<Source<Person>> {
            let project = |_: Option<Person>, _: &Envelope<PersonEvent>, _: &AggregateId| None;
            vec![from::<Person, _>(|_| Vec::new(), project)]
        }
    }

    fn domains() -> Domains {
        Domains::new([Domain::new("test").aggregate::<Person>()]).unwrap()
    }

    #[test]
    fn a_view_that_is_filtered_by_what_is_personal_is_refused() {
        let refused = Domains::new([Domain::new("test").aggregate::<Person>().view::<People>()]);
        let expected = DomainError::PersonalField {
            view: "people".to_owned(),
            field: "name".to_owned(),
        };
        assert_eq!(refused.err(), Some(expected));
    }

    #[test]
    fn what_a_command_says_is_sealed_in_its_event_and_in_its_state() {
        let domains = domains();
        let people = &domains.aggregates()[0];
        assert!(people.info().is_personal && people.info().is_subject());
        let (_, command) = people
            .command_from_json(&json!({"type": "Name", "name": "Ada"}), None)
            .unwrap();
        let (mut meta, mut bytes) = (command_meta(), Vec::new());
        people.encode_command(&mut meta, &command, &mut bytes).unwrap();
        let decoded = people.decode_command(&bytes).unwrap();
        let id = meta.aggregate_id.clone();
        let context = Context::new(meta.command_id, &id, meta.issued_at, None, &crate::NoReferences);
        let mut state = people.initial();
        let events = people.decide(&state, &decoded.command, &context).unwrap();
        let event: &AnyEvent = &events[0];
        people.evolve(&mut state, event);
        let key = SubjectKey::new(KeyId::new([1; 12]), [2; SubjectKey::LENGTH]);
        let mut record = Vec::new();
        let (written, new) = seal(Seal::By(key.clone()), || {
            people.encode_event(&mut event_meta(), event, &mut record)
        });
        written.unwrap();
        let (kept, _) = seal(Seal::By(key.clone()), || people.encode_state(&state));
        assert_eq!(new, 1);
        for bytes in [&record, &kept] {
            assert!(memchr::memmem::find(bytes, b"Ada").is_none() && is_marked(bytes));
        }
        // A fold without a key comes to the same.
        let mut folded = people.initial();
        people.evolve(&mut folded, &people.decode_event(&record).unwrap().event);
        assert_eq!(people.encode_state(&folded), kept);
    }

    #[test]
    fn a_command_that_holds_a_sealed_value_is_none() {
        let domains = domains();
        let people = &domains.aggregates()[0];
        let stolen = json!({"type": "Name", "name": "enc1.AAAAAAAAAAAAAAAA.stolen"});
        assert!(people.command_from_json(&stolen, None).is_err());
        let command = crate::AnyCommand::new::<Person>(PersonCommand::Name { name: "enc1.".into() });
        let mut bytes = Vec::new();
        people
            .encode_command(&mut command_meta(), &command, &mut bytes)
            .unwrap();
        assert!(matches!(
            people.decode_command(&bytes),
            Err(DecodeError::OtherRecord(_))
        ));
    }
}

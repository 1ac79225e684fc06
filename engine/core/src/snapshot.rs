//! The records of snapshot topics: what a command handler without local disk begins from.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::records::{field, optional, time};
use crate::{
    AggregateId, AggregateInfo, DecodeError, EncodeError, EventHash, RecordCodec, Sequence, Timestamp,
};

/// What a record of a snapshot topic is. Its key is [`key`](Self::key): the newest record of each key counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Snapshot {
    /// The state of one aggregate.
    Aggregate(AggregateSnapshot),
    /// How far the snapshots of the partition are complete.
    Checkpoint(Checkpoint),
    /// Which commands have an outcome.
    CommandIds(CommandIds),
}

/// The state of one aggregate. The fields, in this order, are those of the schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateSnapshot {
    /// The aggregate; also the record's key.
    pub aggregate_id: AggregateId,
    /// The sequence of the last event that is folded in.
    pub sequence: Sequence,
    /// The shape of the state; see [`AggregateType::state_shape`](crate::AggregateType::state_shape).
    pub shape: Uuid,
    /// The hash of the last event, as the next one names it; `None` if it has none.
    pub last_event_hash: Option<EventHash>,
    /// Every event of the aggregate below this offset of the event partition is folded in, and none above it.
    pub event_offset: i64,
    /// The state, as JSON text.
    pub state: String,
    /// [`Self::checksum_of`] the fields before it.
    pub checksum: Uuid,
}

/// How far the snapshots of a partition are complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Every aggregate with an event below this offset of the event partition has a snapshot before this record,
    /// with all of its events below it, or more.
    pub event_offset: i64,
    /// The offset of the command that made the last event below it; -1 if there is none.
    pub command_offset: i64,
    /// The shape of those states.
    pub shape: Uuid,
    /// When it was written, by the command handler's clock.
    pub taken_at: Timestamp,
}

/// Which commands have their outcome in a range of the result partition.
///
/// An id that stands in none of these records has no outcome below the end of their ranges. One that does may
/// have one, and is looked up in that range: different ids can have the same [`CommandIds::digest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandIds {
    /// The first offset of the range.
    pub from_offset: i64,
    /// The offset after its last one.
    pub to_offset: i64,
    /// The offset of the command whose outcome is the last of them; -1 if there is none.
    pub command_offset: i64,
    /// The [`CommandIds::digest`] of each id, sorted, one after the other.
    #[serde(with = "apache_avro::serde::bytes")]
    pub digests: Vec<u8>,
    /// [`Self::checksum_of`] the fields before it.
    pub checksum: Uuid,
}

impl Snapshot {
    /// The key of the checkpoint: the newest one is that of the partition.
    pub const CHECKPOINT_KEY: &'static str = "#checkpoint";

    /// The key of its record. Those that are no aggregate's cannot be the id of one.
    pub fn key(&self) -> String {
        match self {
            Self::Aggregate(snapshot) => snapshot.aggregate_id.to_string(),
            Self::Checkpoint(_) => Self::CHECKPOINT_KEY.to_owned(),
            Self::CommandIds(ids) => format!("#commands/{}", ids.from_offset),
        }
    }

    /// Appends its record.
    pub fn encode(&self, codec: &RecordCodec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut record = Record::default();
        match self.clone() {
            Self::Aggregate(snapshot) => record.aggregate = Some(snapshot),
            Self::Checkpoint(checkpoint) => record.checkpoint = Some(checkpoint),
            Self::CommandIds(ids) => record.command_ids = Some(ids),
        }
        codec.encode_meta(&record, out)
    }

    /// Reads a record of our schema.
    pub fn decode(codec: &RecordCodec, datum: &[u8]) -> Result<Self, DecodeError> {
        let record: Record = codec.decode_meta(datum)?;
        match (record.aggregate, record.checkpoint, record.command_ids) {
            (Some(snapshot), None, None) => Ok(Self::Aggregate(snapshot)),
            (None, Some(checkpoint), None) => Ok(Self::Checkpoint(checkpoint)),
            (None, None, Some(ids)) => Ok(Self::CommandIds(ids)),
            _ => Err(DecodeError::OtherRecord(
                "exactly one of aggregate, checkpoint and command_ids must be set".to_owned(),
            )),
        }
    }
}

impl AggregateSnapshot {
    /// Of everything that it says.
    pub fn checksum_of(&self) -> Uuid {
        let Self {
            aggregate_id,
            sequence,
            shape,
            last_event_hash,
            event_offset,
            state,
            checksum: _,
        } = self;
        let hash = last_event_hash.map(|hash| hash.to_string()).unwrap_or_default();
        let text = format!("{aggregate_id} {sequence} {shape} {hash} {event_offset} {state}");
        Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())
    }

    /// With its checksum set.
    #[must_use]
    pub fn sealed(self) -> Self {
        let checksum = self.checksum_of();
        Self { checksum, ..self }
    }

    /// Whether it is as it was written.
    pub fn is_whole(&self) -> bool {
        self.checksum == self.checksum_of()
    }
}

impl CommandIds {
    /// How many bytes stand for an id. Of a hundred million random ids, one new one in three million has the
    /// same bytes as some other, and costs a look into the result topic.
    pub const DIGEST: usize = 6;

    /// What stands for an id: its first bytes xor its last ones. Whichever version of UUIDs a producer takes, one
    /// of the two differs from id to id.
    pub fn digest(command_id: &Uuid) -> [u8; Self::DIGEST] {
        let bytes = command_id.as_bytes();
        std::array::from_fn(|index| bytes[index] ^ bytes[bytes.len() - Self::DIGEST + index])
    }

    /// Of everything that it says.
    pub fn checksum_of(&self) -> Uuid {
        let mut bytes =
            format!("{} {} {} ", self.from_offset, self.to_offset, self.command_offset).into_bytes();
        bytes.extend_from_slice(&self.digests);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes)
    }

    /// With its checksum set.
    #[must_use]
    pub fn sealed(self) -> Self {
        let checksum = self.checksum_of();
        Self { checksum, ..self }
    }

    /// Whether it is as it was written.
    pub fn is_whole(&self) -> bool {
        self.checksum == self.checksum_of() && self.digests.len().is_multiple_of(Self::DIGEST)
    }
}

/// As it lies in the topic.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename = "Snapshot")]
struct Record {
    aggregate: Option<AggregateSnapshot>,
    checkpoint: Option<Checkpoint>,
    command_ids: Option<CommandIds>,
}

/// Reads and writes the snapshot records of an aggregate type.
pub fn snapshot_codec(info: &AggregateInfo) -> RecordCodec {
    let namespace = format!("{}.{}", info.domain, info.name.replace('-', "_"));
    let aggregate = json!({ "type": "record", "name": "AggregateSnapshot", "doc": "The state of one aggregate.", "fields": [
        field("aggregate_id", json!("string"), "The aggregate. The same as the record's key."),
        field("sequence", json!("long"), "The sequence of the last event that is folded in."),
        field("shape", json!("string"), "A hash of the state's schema: a state of another shape is not used."),
        field("last_event_hash", optional("string"), "The hash of the last event, as the next one names it."),
        field("event_offset", json!("long"), "Every event of the aggregate below this offset is folded in, and none above it."),
        field("state", json!("string"), "The state, as JSON."),
        field("checksum", json!("string"), "A hash of the fields before it."),
    ]});
    let checkpoint = json!({ "type": "record", "name": "Checkpoint", "doc": "How far the snapshots of the partition are complete.", "fields": [
        field("event_offset", json!("long"), "Every aggregate with an event below this offset has a snapshot before this record, with all of its events below it, or more."),
        field("command_offset", json!("long"), "The offset of the command that made the last event below it; -1 if there is none."),
        field("shape", json!("string"), "The shape of those states."),
        field("taken_at", time(), "When it was written, by the command handler's clock."),
    ]});
    let command_ids = json!({ "type": "record", "name": "CommandIds", "doc": "Which commands have their outcome in a range of the result partition.", "fields": [
        field("from_offset", json!("long"), "The first offset of the range."),
        field("to_offset", json!("long"), "The offset after its last one."),
        field("command_offset", json!("long"), "The offset of the command whose outcome is the last of them; -1 if there is none."),
        field("digests", json!("bytes"), "Of each command_id its first 6 bytes xor its last 6, sorted, one after the other."),
        field("checksum", json!("string"), "A hash of the fields before it."),
    ]});
    let fields = vec![
        field(
            "aggregate",
            json!(["null", aggregate]),
            "Set if it is the state of an aggregate; the key is its id.",
        ),
        field(
            "checkpoint",
            json!(["null", checkpoint]),
            "Set if the key is #checkpoint.",
        ),
        field(
            "command_ids",
            json!(["null", command_ids]),
            "Set if the key begins with #commands/.",
        ),
    ];
    RecordCodec::new(
        &namespace,
        "Snapshot",
        "What a command handler without local disk begins from. Exactly one field is set; of each key, the newest record counts.",
        ("Snapshot", fields),
        &[],
    )
    .expect("a record without payload has no variant that could be wrong")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{AggregateSnapshot, Checkpoint, CommandIds, Snapshot, snapshot_codec};
    use crate::{Claim, Domain, Domains, EventHash, Timestamp};

    fn aggregate() -> AggregateSnapshot {
        AggregateSnapshot {
            aggregate_id: "a".parse().unwrap(),
            sequence: 3,
            shape: Uuid::from_u128(7),
            last_event_hash: Some(EventHash::of(b"event")),
            event_offset: 12,
            state: r#"{"holder":"ada"}"#.to_owned(),
            checksum: Uuid::nil(),
        }
        .sealed()
    }

    fn ids() -> CommandIds {
        CommandIds {
            from_offset: 10,
            to_offset: 20,
            command_offset: 9,
            digests: CommandIds::digest(&Uuid::from_u128(0x0102_0304_0506_0708)).to_vec(),
            checksum: Uuid::nil(),
        }
        .sealed()
    }

    #[test]
    fn every_kind_is_read_back_as_it_was_written_and_has_a_key_of_its_own() {
        let domains = Domains::new([Domain::new("test").aggregate::<Claim>()]).unwrap();
        let codec = snapshot_codec(domains.aggregates()[0].info());
        let checkpoint = Checkpoint {
            event_offset: 12,
            command_offset: 8,
            shape: Uuid::from_u128(7),
            taken_at: Timestamp(1),
        };
        let all = [
            Snapshot::Aggregate(aggregate()),
            Snapshot::Checkpoint(checkpoint),
            Snapshot::CommandIds(ids()),
        ];
        for snapshot in &all {
            let mut datum = Vec::new();
            snapshot.encode(&codec, &mut datum).unwrap();
            assert_eq!(Snapshot::decode(&codec, &datum).unwrap(), *snapshot);
        }
        assert_eq!(
            all.map(|snapshot| snapshot.key()),
            ["a", "#checkpoint", "#commands/10"]
        );
    }

    #[test]
    fn a_change_of_any_field_is_noticed() {
        let whole = aggregate();
        assert!(whole.is_whole());
        let changed: [fn(&mut AggregateSnapshot); 5] = [
            |snapshot| snapshot.sequence = 4,
            |snapshot| snapshot.shape = Uuid::nil(),
            |snapshot| snapshot.last_event_hash = Some(EventHash::of(b"other")),
            |snapshot| snapshot.event_offset = 13,
            |snapshot| snapshot.state = r#"{"holder":"bob"}"#.to_owned(),
        ];
        for change in changed {
            let mut snapshot = whole.clone();
            change(&mut snapshot);
            assert!(!snapshot.is_whole(), "{snapshot:?}");
        }
        let mut ids = ids();
        assert!(ids.is_whole());
        ids.digests[0] ^= 1;
        assert!(!ids.is_whole());
    }

    #[test]
    fn the_bytes_that_stand_for_an_id_are_its_first_ones_xor_its_last_ones() {
        let id = Uuid::from_u128(0x1000_0000_0020_0000_0000_0304_0506_0708);
        assert_eq!(CommandIds::digest(&id), [0x13, 4, 5, 6, 7, 0x28]);
    }
}

//! Bytes to Rust and back, straight, by a schema that was made from the Rust type. Every command and every event goes
//! through here several times; by way of apache-avro's tree of values that would cost more than all the rest of a
//! decision.

use std::io::BufRead;

use serde::{Deserialize, Serialize};
use serde_avro_fast::Schema;
pub(super) use serde_avro_fast::de::DeError as ReadError;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
pub(super) use serde_avro_fast::ser::SerError as WriteError;
use serde_avro_fast::ser::SerializerConfig;
use serde_json::Value;

/// A schema, made ready.
pub(super) struct Datum(Schema);

impl Datum {
    /// `schema` must be one that was made from a Rust type.
    pub(super) fn new(schema: &Value) -> Self {
        let parsed = schema.to_string().parse();
        Self(parsed.unwrap_or_else(|error| {
            // Only names can be wrong, and those are Rust identifiers, or namespaces checked by `Domain`.
            unreachable!("a schema made from Rust types does not parse: {error}: {schema}")
        }))
    }

    /// Appends a value.
    pub(super) fn write(&self, value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), WriteError> {
        serde_avro_fast::to_datum(value, out, &mut SerializerConfig::new(&self.0)).map(drop)
    }

    /// Reads a value, and leaves what follows it.
    pub(super) fn read<'a, T: Deserialize<'a>>(&self, rest: &mut &'a [u8]) -> Result<T, ReadError> {
        let mut config = DeserializerConfig::new(&self.0);
        // Items take a byte each, so a longer array is a lie, which would be believed until memory is full.
        config.max_seq_size = rest.len();
        let mut state = DeserializerState::with_config(SliceRead::new(rest), config);
        let value = T::deserialize(state.deserializer())?;
        let left = state.into_reader().fill_buf().map_or(0, <[u8]>::len);
        *rest = &rest[rest.len() - left..];
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::writer::datum::GenericDatumWriter;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::Datum;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        id: Uuid,
        text: String,
        long: i64,
        int: i32,
        yes: bool,
        real: f64,
        maybe: Option<Part>,
        /// Nullable by its schema alone, as a field is that came with a later revision.
        late: String,
        parts: Vec<Part>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Part {
        number: Option<i64>,
    }

    #[derive(Debug, Deserialize)]
    struct Empty {}

    fn schema() -> Value {
        let part = json!({"type": "record", "name": "Part", "fields": [{"name": "number", "type": ["null", "long"]}]});
        json!({"type": "record", "name": "Sample", "namespace": "a.b", "fields": [
            {"name": "id", "type": "string"},
            {"name": "text", "type": "string"},
            {"name": "long", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "int", "type": "int"},
            {"name": "yes", "type": "boolean"},
            {"name": "real", "type": "double"},
            {"name": "maybe", "type": ["null", part]},
            {"name": "late", "type": ["null", "string"]},
            {"name": "parts", "type": {"type": "array", "items": "Part"}}]})
    }

    fn part() -> impl Strategy<Value = Part> {
        any::<Option<i64>>().prop_map(|number| Part { number })
    }

    prop_compose! {
        fn sample()(
            id in any::<u128>(), text in ".{0,20}", long in any::<i64>(), int in any::<i32>(), yes in any::<bool>(),
            real in -1e9..1e9, maybe in prop::option::of(part()), late in ".{0,5}",
            parts in prop::collection::vec(part(), 0..4),
        ) -> Sample {
            Sample { id: Uuid::from_u128(id), text, long, int, yes, real, maybe, late, parts }
        }
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_apache_avro_and_are_read_back(sample in sample(), follows in any::<u8>()) {
            let schema = schema();
            let (datum, avro) = (Datum::new(&schema), apache_avro::Schema::parse(&schema).unwrap());
            let mut bytes = Vec::new();
            datum.write(&sample, &mut bytes).unwrap();
            let writer = GenericDatumWriter::builder(&avro).human_readable(true).build().unwrap();
            prop_assert_eq!(&bytes, &writer.write_ser_to_vec(&sample).unwrap());
            bytes.push(follows);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(datum.read::<Sample>(&mut rest).unwrap(), sample);
            prop_assert_eq!(rest, &[follows]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Datum::new(&schema()).read::<Sample>(&mut bytes.as_slice());
        }
    }

    #[test]
    fn an_array_that_is_longer_than_its_bytes_is_refused() {
        let empty = json!({"type": "record", "name": "Empty", "fields": []});
        let datum = Datum::new(&json!({"type": "array", "items": empty}));
        let read = |bytes: &[u8]| datum.read::<Vec<Empty>>(&mut &*bytes);
        assert_eq!(read(&[4, 0]).unwrap().len(), 2);
        // A billion of what takes no byte.
        assert!(read(&[0x80, 0xa8, 0xd6, 0xb9, 0x07, 0]).is_err());
    }
}

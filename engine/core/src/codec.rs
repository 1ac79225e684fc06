mod datum;
mod errors;
mod wire;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as AvroValue;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::datum::Datum;
pub use self::errors::{DecodeError, EncodeError};
use self::wire::{ABSENT, PRESENT, no_more, read_byte, read_long, split_index, zigzag};
use crate::schema::{AvroWriter, SchemaError, Variant, snake_case};
use crate::upcast::OldPayload;

/// Reads and writes the records of one topic: metadata, then one nullable field per type, one of them set.
///
/// An Avro record is its fields' bytes one after the other. So the metadata is written by its own schema, and
/// the payload, an enum, as the union that serde makes of it: the same bytes behind another index. What our own
/// schema wrote, which is nearly all, goes straight between bytes and Rust (`datum`); what another one wrote, by
/// way of a tree of values that Avro's schema resolution works on.
pub struct RecordCodec {
    /// The schema as it is registered.
    json: Value,
    full: &'static Schema,
    full_writer: GenericDatumWriter<'static>,
    own: Writer,
    meta: Datum,
    /// All variants, to write one of them; `None` if there are none.
    payload: Option<Datum>,
    /// Each variant by itself, to read it.
    payloads: Vec<Datum>,
    variants: Vec<String>,
    has_more: bool,
}

/// A schema that records were written by, ours or another one, made ready to read them.
pub struct Writer {
    schema: &'static Schema,
    as_written: GenericDatumReader<'static>,
    /// Into our schema, as Avro's schema resolution says.
    as_ours: GenericDatumReader<'static>,
}

impl RecordCodec {
    /// A codec for records named `name`: the fields of the Rust struct `meta_name`, and one for each variant.
    pub(crate) fn new(
        namespace: &str,
        name: &str,
        doc: &str,
        meta: (&str, Vec<Value>),
        variants: &[Variant],
    ) -> Result<Self, SchemaError> {
        Self::with_more(namespace, name, doc, meta, variants, None)
    }

    /// A codec for records that may hold more payloads after the first one, in a field that `more` documents.
    pub(crate) fn with_more(
        namespace: &str,
        name: &str,
        doc: &str,
        (meta_name, meta): (&str, Vec<Value>),
        variants: &[Variant],
        more: Option<&str>,
    ) -> Result<Self, SchemaError> {
        let mut avro = AvroWriter::new();
        let records = variants
            .iter()
            .map(|variant| avro.record(variant))
            .collect::<Result<Vec<_>, _>>()?;
        let choice = |types: Vec<Value>| -> Vec<Value> {
            let field = |(variant, avro): (&Variant, Value)| {
                let doc = format!("Set if and only if the type is {}.", variant.name);
                json!({ "name": variant.field(), "type": ["null", avro], "default": null, "doc": doc })
            };
            variants.iter().zip(types).map(field).collect()
        };
        let record = |name: &str, doc: &str, fields: &Value| json!({ "type": "record", "name": name, "namespace": namespace, "doc": doc, "fields": fields });
        let mut all: Vec<Value> = meta.clone();
        all.extend(choice(records.clone()));
        if let Some(doc) = more {
            // The payloads' records are defined by the fields before.
            let names = variants
                .iter()
                .map(|variant| json!(format!("{namespace}.{}", variant.name)));
            let one = record(
                &format!("{name}Step"),
                "One more of them.",
                &json!(choice(names.collect())),
            );
            let several = json!({ "type": "array", "items": one });
            all.push(json!({ "name": MORE, "type": ["null", several], "default": null, "doc": doc }));
        }
        // The first call counts, and no record is read before there is a codec.
        apache_avro::util::max_allocation_bytes(ALLOCATION_BYTES_MAX);
        let json = record(name, doc, &json!(all));
        let full = parse(&json);
        // A variant's name in Rust has no namespace.
        let payload = (!records.is_empty()).then(|| Datum::new(&Value::Array(records)));
        let payloads = variants
            .iter()
            .map(|variant| Ok(Datum::new(&AvroWriter::new().record(variant)?)))
            .collect::<Result<_, SchemaError>>()?;
        Ok(Self {
            full,
            full_writer: GenericDatumWriter::builder(full)
                .build()
                .expect("a parsed schema resolves"),
            own: Writer::new(full, full).expect("a parsed schema resolves"),
            meta: Datum::new(&record(meta_name, doc, &json!(meta))),
            payload,
            payloads,
            variants: variants.iter().map(|variant| variant.name.clone()).collect(),
            has_more: more.is_some(),
            json,
        })
    }

    /// The schema, as it is registered and kept in `schemas/`.
    pub fn schema(&self) -> &Value {
        &self.json
    }

    /// Appends a record without payload.
    pub fn encode_meta(&self, meta: &impl Serialize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.meta
            .write(meta, out)
            .map_err(|source| self.encode_error(source))
    }

    /// Appends a record; `meta` is given the name of the first payload's variant. There must be one payload at
    /// least, and just one unless the codec is [`with_more`](Self::with_more).
    pub fn encode<M: Serialize>(
        &self,
        payloads: &[impl Serialize],
        out: &mut Vec<u8>,
        meta: impl FnOnce(&str) -> M,
    ) -> Result<(), EncodeError> {
        let (first, more) = payloads.split_first().expect("a record has a payload");
        let union = self.payload_bytes(first)?;
        self.encode_meta(&meta(&self.variants[split_index(&union).0]), out)?;
        self.encode_choice(&union, out);
        match (self.has_more, more) {
            (false, more) => debug_assert!(more.is_empty(), "this record holds one payload"),
            (true, []) => out.push(ABSENT),
            (true, more) => {
                out.push(PRESENT);
                // An array in one block: how many, each of them, and an empty block.
                out.extend(zigzag(more.len()));
                for payload in more {
                    self.encode_choice(&self.payload_bytes(payload)?, out);
                }
                out.push(0);
            }
        }
        Ok(())
    }

    fn encode_choice(&self, union: &[u8], out: &mut Vec<u8>) {
        let (set, datum) = split_index(union);
        for index in 0..self.variants.len() {
            if index == set {
                out.push(PRESENT);
                out.extend_from_slice(datum);
            } else {
                out.push(ABSENT);
            }
        }
    }

    /// The payload alone: equal payloads have equal bytes.
    pub fn payload_bytes(&self, payload: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
        let Some(union) = &self.payload else {
            return Ok(Vec::new());
        };
        let mut out = Vec::with_capacity(128);
        union
            .write(payload, &mut out)
            .map_err(|source| self.encode_error(source))?;
        Ok(out)
    }

    /// Reads a record without payload.
    pub fn decode_meta<M: DeserializeOwned>(&self, datum: &[u8]) -> Result<M, DecodeError> {
        let (meta, rest) = self.begin(datum)?;
        no_more(rest)?;
        Ok(meta)
    }

    /// Reads the metadata of a record, whatever its payloads are.
    pub fn peek_meta<M: DeserializeOwned>(&self, datum: &[u8]) -> Result<M, DecodeError> {
        Ok(self.begin(datum)?.0)
    }

    /// Reads a record: its metadata, the type of its first payload, and its payloads, one at least.
    pub fn decode<M: DeserializeOwned, P: DeserializeOwned>(
        &self,
        datum: &[u8],
    ) -> Result<(M, &str, Vec<P>), DecodeError> {
        let (meta, rest) = self.begin(datum)?;
        let (set, payloads) = self.finish(rest)?;
        Ok((meta, set, payloads))
    }

    /// Reads the metadata of a record, whatever its payload is.
    pub fn decode_meta_only<M: DeserializeOwned>(&self, datum: &[u8]) -> Result<M, DecodeError> {
        Ok(self.begin(datum)?.0)
    }

    /// Reads the metadata of a record, and returns what is left to [`finish`](Self::finish).
    pub(crate) fn begin<'a, M: DeserializeOwned>(
        &self,
        datum: &'a [u8],
    ) -> Result<(M, &'a [u8]), DecodeError> {
        let mut rest = datum;
        let meta = self.meta.read(&mut rest);
        Ok((meta.map_err(|source| self.decode_error(&source))?, rest))
    }

    /// Reads the type of the first payload, and the payloads.
    pub(crate) fn finish<P: DeserializeOwned>(&self, mut rest: &[u8]) -> Result<(&str, Vec<P>), DecodeError> {
        let (set, first) = self.decode_choice(&mut rest)?;
        let mut payloads = vec![first];
        if self.has_more && self.is_present(&mut rest)? {
            self.decode_more(&mut rest, &mut payloads)?;
        }
        no_more(rest)?;
        Ok((&self.variants[set], payloads))
    }

    fn decode_more<P: DeserializeOwned>(
        &self,
        rest: &mut &[u8],
        payloads: &mut Vec<P>,
    ) -> Result<(), DecodeError> {
        loop {
            let count = read_long(rest)?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The block's size in bytes, for readers that skip it.
                read_long(rest)?;
            }
            for _ in 0..count.unsigned_abs() {
                if payloads.len() >= PAYLOADS_MAX {
                    return Err(DecodeError::TooMany { most: PAYLOADS_MAX });
                }
                payloads.push(self.decode_choice(rest)?.1);
            }
        }
    }

    fn decode_choice<P: DeserializeOwned>(&self, rest: &mut &[u8]) -> Result<(usize, P), DecodeError> {
        let mut found: Option<(usize, P)> = None;
        for index in 0..self.variants.len() {
            if !self.is_present(rest)? {
                continue;
            }
            if let Some((first, _)) = found {
                return Err(DecodeError::SeveralPayloads {
                    first: snake_case(&self.variants[first]),
                    second: snake_case(&self.variants[index]),
                });
            }
            found = Some((index, self.read_payload(index, rest)?));
        }
        found.ok_or_else(|| DecodeError::NoPayload {
            fields: self
                .variants
                .iter()
                .map(|name| snake_case(name))
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    fn is_present(&self, rest: &mut &[u8]) -> Result<bool, DecodeError> {
        match read_byte(rest)? {
            ABSENT => Ok(false),
            PRESENT => Ok(true),
            other => Err(DecodeError::OtherRecord(format!(
                "branch {other} of a union of two"
            ))),
        }
    }

    fn read_payload<P: DeserializeOwned>(&self, index: usize, rest: &mut &[u8]) -> Result<P, DecodeError> {
        let payload = self.payloads[index].read(rest);
        payload.map_err(|source| self.decode_error(&source))
    }

    /// Our own schema, as one that records were written by.
    pub fn own(&self) -> &Writer {
        &self.own
    }

    /// Another schema that records were written by. It is kept for as long as the program lives.
    pub fn written_by(&self, schema: Schema) -> Result<Writer, DecodeError> {
        Writer::new(Box::leak(Box::new(schema)), self.full).map_err(other)
    }

    /// Reads a datum that another schema has written and writes it by ours, as Avro's schema resolution says.
    pub fn transcode(&self, writer: &Writer, datum: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let value = read(&writer.as_ours, datum)?;
        self.full_writer.write_value_to_vec(value).map_err(other)
    }

    /// A payload as its writer's schema has it: what ours has no place for is still there.
    pub(crate) fn old_payload(
        &self,
        writer: &Writer,
        datum: &[u8],
        variant: &str,
    ) -> Result<OldPayload, DecodeError> {
        let field = snake_case(variant);
        let mut found = None;
        if let AvroValue::Record(fields) = read(&writer.as_written, datum)? {
            found = fields.into_iter().find(|(name, _)| *name == field);
        }
        match found
            .map(|(_, value)| Value::try_from(value))
            .transpose()
            .map_err(other)?
        {
            Some(Value::Object(payload)) => Ok(OldPayload::new(payload)),
            _ => Err(DecodeError::NoPayload { fields: field }),
        }
    }

    fn encode_error(&self, source: datum::WriteError) -> EncodeError {
        EncodeError {
            record: self.name(),
            source: Box::new(source),
        }
    }

    fn decode_error(&self, source: &datum::ReadError) -> DecodeError {
        DecodeError::Avro {
            record: self.name(),
            problem: source.to_string(),
        }
    }

    fn name(&self) -> String {
        self.json["name"].as_str().unwrap_or_default().to_owned()
    }
}

impl Writer {
    /// Whether its records have this field.
    pub fn has_field(&self, name: &str) -> bool {
        matches!(self.schema, Schema::Record(record) if record.lookup.contains_key(name))
    }

    fn new(writer: &'static Schema, ours: &'static Schema) -> Result<Self, apache_avro::Error> {
        Ok(Self {
            schema: writer,
            as_written: GenericDatumReader::builder(writer).build()?,
            as_ours: GenericDatumReader::builder(writer).reader_schema(ours).build()?,
        })
    }
}

fn read(reader: &GenericDatumReader<'_>, datum: &[u8]) -> Result<AvroValue, DecodeError> {
    let mut rest = datum;
    let value = reader.read_value(&mut rest).map_err(other)?;
    no_more(rest)?;
    Ok(value)
}

fn other(source: apache_avro::Error) -> DecodeError {
    DecodeError::OtherRecord(brief(&source))
}

/// An error of apache-avro without the schema that it prints in the middle, pages long.
fn brief(error: &apache_avro::Error) -> String {
    let text = error.to_string();
    let end = text.rsplit("}): ").next().unwrap_or_default();
    end.chars().take(300).collect()
}

/// The field of the payloads after the first one.
const MORE: &str = "and_then";

/// What a record may have allocated at once: a length in it may claim anything, whatever the record's size. More than
/// Kafka takes for a record by default, by far.
const ALLOCATION_BYTES_MAX: usize = 32 << 20;

/// How many payloads a record may have: what is decided at once must stay small.
pub const PAYLOADS_MAX: usize = 100;

/// The schemas of a program live as long as it does, and readers borrow them: so they are leaked, a few dozen.
fn parse(json: &Value) -> &'static Schema {
    let schema = Schema::parse(json).unwrap_or_else(|error| {
        // Only names can be wrong, and those are Rust identifiers, or namespaces checked by `Domain`.
        unreachable!("a schema made from Rust types does not parse: {error}: {json}")
    });
    Box::leak(Box::new(schema))
}

use std::io::{Cursor, Read};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::schema::{AvroWriter, SchemaError, Variant, snake_case};

/// Reads and writes the records of one topic: metadata, then one nullable field per type, one of them set.
///
/// An Avro record is its fields' bytes one after the other. So the metadata is written by its own schema, and
/// the payload, an enum, as the union that serde makes of it: the same bytes behind another index.
pub struct RecordCodec {
    /// The schema as it is registered.
    json: Value,
    full: &'static Schema,
    meta: Datum,
    payload: Option<Datum>,
    variants: Vec<String>,
}

/// A schema with its reader and its writer, made once: they resolve every name in it.
struct Datum {
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

/// A value that does not fit its schema: a bug, which the codec's tests are there to find.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as {record}: {source}")]
pub struct EncodeError {
    record: String,
    source: Box<apache_avro::Error>,
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
    /// More bytes than the schema describes.
    #[error("{count} bytes too many")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The Avro record has not the shape of ours.
    #[error("an Avro record of another kind: {0}")]
    OtherRecord(String),
}

impl RecordCodec {
    /// A codec for records named `name`: the fields of the Rust struct `meta_name`, and one for each variant.
    pub(crate) fn new(
        namespace: &str,
        name: &str,
        doc: &str,
        (meta_name, meta): (&str, Vec<Value>),
        variants: &[Variant],
    ) -> Result<Self, SchemaError> {
        let mut avro = AvroWriter::new();
        let records = variants
            .iter()
            .map(|variant| avro.record(variant))
            .collect::<Result<Vec<_>, _>>()?;
        let fields = variants.iter().zip(&records).map(|(variant, record)| {
            let doc = format!("Set if and only if the type is {}.", variant.name);
            json!({ "name": variant.field(), "type": ["null", record], "default": null, "doc": doc })
        });
        let all: Vec<Value> = meta.iter().cloned().chain(fields).collect();
        let record = |name: &str, fields: &Value| json!({ "type": "record", "name": name, "namespace": namespace, "doc": doc, "fields": fields });
        let json = record(name, &json!(all));
        let payload = (!records.is_empty()).then(|| {
            let branches = records.into_iter().map(|mut record| {
                record["namespace"] = json!(namespace);
                record
            });
            Datum::new(parse(&Value::Array(branches.collect())))
        });
        Ok(Self {
            full: parse(&json),
            meta: Datum::new(parse(&record(meta_name, &json!(meta)))),
            payload,
            variants: variants.iter().map(|variant| variant.name.clone()).collect(),
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
            .writer
            .write_ser(out, meta)
            .map_err(|source| self.encode_error(source))?;
        Ok(())
    }

    /// Appends a record; `meta` is given the name of the payload's variant.
    pub fn encode<M: Serialize>(
        &self,
        payload: &impl Serialize,
        out: &mut Vec<u8>,
        meta: impl FnOnce(&str) -> M,
    ) -> Result<(), EncodeError> {
        let union = self.payload_bytes(payload)?;
        let (set, datum) = split_index(&union);
        self.encode_meta(&meta(&self.variants[set]), out)?;
        for index in 0..self.variants.len() {
            if index == set {
                out.push(PRESENT);
                out.extend_from_slice(datum);
            } else {
                out.push(ABSENT);
            }
        }
        Ok(())
    }

    /// The payload alone: equal payloads have equal bytes.
    pub fn payload_bytes(&self, payload: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
        let Some(union) = &self.payload else {
            return Ok(Vec::new());
        };
        let mut out = Vec::with_capacity(64);
        union
            .writer
            .write_ser(&mut out, payload)
            .map_err(|source| self.encode_error(source))?;
        Ok(out)
    }

    /// The name of a payload's variant.
    pub fn variant_of(&self, payload: &impl Serialize) -> Result<&str, EncodeError> {
        let union = self.payload_bytes(payload)?;
        Ok(&self.variants[split_index(&union).0])
    }

    /// Reads a record without payload.
    pub fn decode_meta<M: DeserializeOwned>(&self, datum: &[u8]) -> Result<M, DecodeError> {
        let mut rest = Cursor::new(datum);
        let meta = self
            .meta
            .reader
            .read_deser(&mut rest)
            .map_err(|source| self.decode_error(source))?;
        no_more(&rest)?;
        Ok(meta)
    }

    /// Reads a record: its metadata, its type and its payload.
    pub fn decode<M: DeserializeOwned, P: DeserializeOwned>(
        &self,
        datum: &[u8],
    ) -> Result<(M, &str, P), DecodeError> {
        let mut rest = Cursor::new(datum);
        let meta = self
            .meta
            .reader
            .read_deser(&mut rest)
            .map_err(|source| self.decode_error(source))?;
        let mut found: Option<(usize, P)> = None;
        for index in 0..self.variants.len() {
            if !self.is_present(&mut rest)? {
                continue;
            }
            if let Some((first, _)) = found {
                return Err(DecodeError::SeveralPayloads {
                    first: snake_case(&self.variants[first]),
                    second: snake_case(&self.variants[index]),
                });
            }
            found = Some((index, self.read_payload(index, &mut rest)?));
        }
        no_more(&rest)?;
        let (index, payload) = found.ok_or_else(|| DecodeError::NoPayload {
            fields: self
                .variants
                .iter()
                .map(|name| snake_case(name))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        Ok((meta, &self.variants[index], payload))
    }

    fn is_present(&self, rest: &mut Cursor<&[u8]>) -> Result<bool, DecodeError> {
        let mut branch = [0];
        match rest.read_exact(&mut branch) {
            Ok(()) if branch[0] == ABSENT => Ok(false),
            Ok(()) if branch[0] == PRESENT => Ok(true),
            Ok(()) => Err(DecodeError::OtherRecord(format!(
                "branch {} of a union of two",
                branch[0]
            ))),
            Err(_) => Err(DecodeError::OtherRecord("it ends too early".to_owned())),
        }
    }

    fn read_payload<P: DeserializeOwned>(
        &self,
        index: usize,
        rest: &mut Cursor<&[u8]>,
    ) -> Result<P, DecodeError> {
        let prefix = index_bytes(index);
        let mut union = prefix.as_slice().chain(rest);
        let payload = self
            .payload
            .as_ref()
            .expect("a codec with variants has their union");
        payload
            .reader
            .read_deser(&mut union)
            .map_err(|source| self.decode_error(source))
    }

    /// Reads a datum that another schema has written and writes it by ours, as Avro's schema resolution says.
    pub fn transcode(&self, writer: &Schema, datum: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let other = |source: apache_avro::Error| DecodeError::OtherRecord(brief(&source));
        let reader = GenericDatumReader::builder(writer)
            .reader_schema(self.full)
            .build()
            .map_err(other)?;
        let mut rest = Cursor::new(datum);
        let value = reader.read_value(&mut rest).map_err(other)?;
        no_more(&rest)?;
        let writer = GenericDatumWriter::builder(self.full).build().map_err(other)?;
        writer.write_value_to_vec(value).map_err(other)
    }

    fn encode_error(&self, source: apache_avro::Error) -> EncodeError {
        EncodeError {
            record: self.name(),
            source: Box::new(source),
        }
    }

    fn decode_error(&self, source: apache_avro::Error) -> DecodeError {
        DecodeError::Avro {
            record: self.name(),
            problem: brief(&source),
        }
    }

    fn name(&self) -> String {
        self.json["name"].as_str().unwrap_or_default().to_owned()
    }
}

impl Datum {
    fn new(schema: &'static Schema) -> Self {
        // Ids are text for every consumer, and serde's uuid is text only to human-readable formats.
        let reader = GenericDatumReader::builder(schema).human_readable(true).build();
        let writer = GenericDatumWriter::builder(schema)
            .human_readable(true)
            .validate(false)
            .build();
        Self {
            reader: reader.expect("a parsed schema resolves"),
            writer: writer.expect("a parsed schema resolves"),
        }
    }
}

/// An error of apache-avro without the schema that it prints in the middle, pages long.
fn brief(error: &apache_avro::Error) -> String {
    let text = error.to_string();
    let end = text.rsplit("}): ").next().unwrap_or_default();
    end.chars().take(300).collect()
}

/// Avro's branch 0 and branch 1 of a union, as zigzag varints.
const ABSENT: u8 = 0;
const PRESENT: u8 = 2;

/// The schemas of a program live as long as it does, and readers borrow them: so they are leaked, a few dozen.
fn parse(json: &Value) -> &'static Schema {
    let schema = Schema::parse(json).unwrap_or_else(|error| {
        // Only names can be wrong, and those are Rust identifiers, or namespaces checked by `Domain`.
        unreachable!("a schema made from Rust types does not parse: {error}: {json}")
    });
    Box::leak(Box::new(schema))
}

/// Splits a union's datum into the index of its branch and the branch's datum.
fn split_index(union: &[u8]) -> (usize, &[u8]) {
    let mut index = 0;
    for (at, byte) in union.iter().enumerate() {
        index |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            // Zigzag of a number that is not negative.
            return (index >> 1, &union[at + 1..]);
        }
    }
    unreachable!("a union's datum begins with its index")
}

fn index_bytes(index: usize) -> Vec<u8> {
    let mut rest = index << 1;
    let mut bytes = Vec::with_capacity(2);
    while rest > 0x7f {
        // Masked to eight bits.
        #[allow(clippy::cast_possible_truncation)]
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)]
    bytes.push(rest as u8);
    bytes
}

fn no_more(rest: &Cursor<&[u8]>) -> Result<(), DecodeError> {
    let left = rest.get_ref().len() - usize::try_from(rest.position()).unwrap_or(usize::MAX);
    if left == 0 {
        Ok(())
    } else {
        Err(DecodeError::TrailingBytes { count: left })
    }
}

#[cfg(test)]
mod tests {
    use super::{index_bytes, split_index};

    #[test]
    fn the_index_of_a_branch_is_read_back() {
        for index in [0, 1, 63, 64, 100, 8191, 8192] {
            let mut bytes = index_bytes(index);
            bytes.extend_from_slice(b"datum");
            assert_eq!(split_index(&bytes), (index, b"datum".as_slice()));
        }
    }
}

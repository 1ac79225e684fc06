//! Event records as they were first written, byte for byte, are read for ever.
//!
//! `tests/golden/<domain>/<aggregate>/<EventType>.r<revision>.v<version>.hex` holds the bytes, by the version of the
//! schema that they were written by; the `.json` beside it what today's code reads in them. Bytes are added,
//! with `FOLDLINE_WRITE_GOLDEN=1 cargo test -p foldline-domains golden`, and never edited.

pub mod samples;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use apache_avro::Schema;
use foldline_core::{AggregateType, ContractKind, contracts};
use foldline_domains::installed;
use serde_json::Value;

use crate::folder;

fn golden_of(aggregate: &Arc<dyn AggregateType>) -> PathBuf {
    let info = aggregate.info();
    folder("domains/tests/golden").join(&info.domain).join(&info.name)
}

#[test]
fn each_event_type_has_golden_bytes_of_the_newest_schema() {
    for aggregate in installed().aggregates() {
        let mut seen = Vec::new();
        let version = kept_schemas(aggregate).len();
        for event in samples::of(&aggregate.info().qualified_name()) {
            let (mut meta, mut bytes) = (samples::meta(), Vec::new());
            aggregate.encode_event(&mut meta, &event, &mut bytes).unwrap();
            let name = format!("{}.r{}.v{version}.hex", meta.event_type, meta.revision);
            let file = golden_of(aggregate).join(name);
            if !file.exists() && std::env::var_os("FOLDLINE_WRITE_GOLDEN").is_some() {
                write(aggregate, &file, &bytes);
            }
            assert!(
                file.exists(),
                "{} is missing: see this test's file",
                file.display()
            );
            seen.push(meta.event_type);
        }
        let name = aggregate.info().qualified_name();
        assert_eq!(seen, aggregate.info().events, "an event of {name} has no sample");
    }
}

#[test]
fn golden_bytes_of_every_revision_are_read_as_todays_event() {
    for aggregate in installed().aggregates() {
        for entry in fs::read_dir(golden_of(aggregate)).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "hex") {
                let expected = fs::read_to_string(file.with_extension("json")).unwrap();
                let expected: Value = serde_json::from_str(&expected).unwrap();
                assert_eq!(read(aggregate, &file), expected, "{}", file.display());
            }
        }
    }
}

fn write(aggregate: &Arc<dyn AggregateType>, file: &PathBuf, bytes: &[u8]) {
    let kept = kept_schemas(aggregate);
    let newest = kept
        .last()
        .map(|schema| serde_json::from_str::<Value>(schema).unwrap());
    assert_eq!(
        newest.as_ref(),
        Some(aggregate.event_codec().schema()),
        "write the schemas first"
    );
    let mut text = format!("# written by events/v{}.avsc\n", kept.len());
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
    let read = read(aggregate, file);
    fs::write(file.with_extension("json"), format!("{read:#}\n")).unwrap();
}

/// Reads golden bytes as a consumer does: by the schema that they were written by, into ours.
fn read(aggregate: &Arc<dyn AggregateType>, file: &PathBuf) -> Value {
    let text = fs::read_to_string(file).unwrap();
    let (head, hex) = text.split_once('\n').unwrap();
    let version = head.strip_prefix("# written by events/v").unwrap();
    let version: usize = version.strip_suffix(".avsc").unwrap().parse().unwrap();
    let hex: String = hex.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();

    let writer = Schema::parse_str(&kept_schemas(aggregate)[version - 1]).unwrap();
    let writer = aggregate.event_codec().written_by(writer).unwrap();
    let event = aggregate.decode_event_by(&writer, &bytes).unwrap();
    event.meta.to_json(aggregate.event_json(&event.event))
}

fn kept_schemas(aggregate: &Arc<dyn AggregateType>) -> Vec<String> {
    let info = aggregate.info();
    let folder_of = PathBuf::from(&info.domain)
        .join(&info.name)
        .join(ContractKind::Events.name());
    let contracts = contracts(&installed());
    let events = contracts
        .iter()
        .find(|contract| contract.folder == folder_of)
        .unwrap();
    events.kept(|file| fs::read_to_string(folder("schemas").join(file)).ok())
}

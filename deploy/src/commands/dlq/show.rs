use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use foldline_kafka::Content;
use serde_json::{Map, Value, json};

use super::{Desk, Letter};

/// Shows everything about one.
pub(super) fn run(desk: &Desk, letter: &Letter, as_json: bool) -> anyhow::Result<()> {
    let whole = match letter {
        Letter::Command {
            aggregate,
            partition,
            offset,
        } => command(desk, letter, aggregate, (*partition, *offset))?,
        Letter::Parked(_) => parked(desk, letter)?,
    };
    if as_json {
        println!("{whole}");
        return Ok(());
    }
    for (name, value) in whole.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => println!("{name}: {text}"),
            other => println!("{name}: {other:#}"),
        }
    }
    Ok(())
}

fn command(
    desk: &Desk,
    letter: &Letter,
    aggregate: &str,
    (partition, offset): (i32, i64),
) -> anyhow::Result<Value> {
    let found = desk.letters.get(aggregate, partition, offset)?;
    let headers = found.headers.iter().map(|(name, value)| {
        let value = value
            .as_deref()
            .map_or(Value::Null, |value| text_or_hex(value).into());
        (name.clone(), value)
    });
    let headers: Map<String, Value> = headers.collect();
    let content = desk.letters.content(found.value.as_deref())?;
    let mut whole = json!({
        "letter": letter.to_string(),
        "reason": found.reason(),
        "set_aside_at": found.set_aside_at.map(|at| at.to_string()),
        "found_in_partition": found.found_at().map(|(partition, _)| partition),
        "found_at_offset": found.found_at().map(|(_, offset)| offset),
        "state": found.note.as_ref().map_or("open", |note| note.done.name()),
        "state_reason": found.note.as_ref().map(|note| note.reason.clone()).filter(|reason| !reason.is_empty()),
        "key": found.key.as_deref().map(text_or_hex),
        "headers": headers,
    });
    add_content(&mut whole, found.value.as_deref(), content);
    Ok(whole)
}

fn parked(desk: &Desk, letter: &Letter) -> anyhow::Result<Value> {
    let entry = desk.parked_one(letter)?;
    let parked = &entry.parked;
    let value = desk
        .letters
        .event_value(&parked.aggregate, parked.partition, parked.offset)?;
    let content = desk.letters.content(value.as_deref())?;
    let mut whole = json!({
        "letter": letter.to_string(),
        "reason": parked.reason,
        "parked_at": entry.parked_at.to_string(),
        "state": match (&entry.dropped, entry.is_to_be_retried) {
            (_, true) => "to be tried again",
            (Some(_), false) => "dropped",
            (None, false) => "open",
        },
        "state_reason": entry.dropped,
        "partition": parked.partition,
        "offset": parked.offset,
    });
    add_content(&mut whole, value.as_deref(), content);
    Ok(whole)
}

fn add_content(whole: &mut Value, value: Option<&[u8]>, content: Content) {
    match content {
        Content::Null => whole["value"] = "null".into(),
        Content::Avro { schema, json } => {
            whole["schema_id"] = schema.into();
            whole["value"] = json;
        }
        Content::Bytes(why) => {
            whole["value_is_not_decoded"] = why.into();
            whole["value_base64"] = BASE64_STANDARD.encode(value.unwrap_or_default()).into();
        }
    }
}

/// Keys and headers are mostly text.
fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

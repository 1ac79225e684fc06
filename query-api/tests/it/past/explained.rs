//! Each field names the event that set it.

use std::cell::Cell;

use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::{VIEWS, block_on, without};
use crate::toy::id;
use crate::world::{Entry, World, steps};

/// The value of a field in another state of the row: an entry of a list is found by what names it there.
fn found<'a>(row: &Value, path: &str, other: &'a Value) -> Option<&'a Value> {
    let (mut here, mut there) = (row, other);
    for part in path.split('/').skip(1) {
        let child = match here {
            Value::Array(entries) => &entries[part.parse::<usize>().unwrap()],
            here => here.get(part)?,
        };
        there = match there {
            Value::Array(entries) => {
                let name = |entry: &Value| {
                    entry
                        .as_object()?
                        .values()
                        .find_map(|value| value.as_str().map(str::to_owned))
                };
                entries.iter().find(|entry| name(entry) == name(child))?
            }
            there => there.get(part)?,
        };
        here = child;
    }
    Some(there)
}

/// The event at which the field came to have its value, by going through all states of the row.
fn set_by<'a>(world: &World, view: &str, row: &str, path: &str, entries: &[&'a Entry]) -> Option<&'a Entry> {
    let last = world.rows(view, entries.iter().copied());
    let last = last.get(&id(row))?;
    let mut value = None;
    let mut cause = None;
    for until in 1..=entries.len() {
        let rows = world.rows(view, entries[..until].iter().copied());
        let now = rows.get(&id(row)).and_then(|row| found(last, path, row).cloned());
        if now != value {
            (value, cause) = (now, Some(entries[until - 1]));
        }
    }
    cause
}

fn leaves(path: &str, value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members
                .iter()
                .for_each(|(name, value)| leaves(&format!("{path}/{name}"), value, all));
        }
        Value::Array(entries) if !entries.is_empty() => {
            (0..)
                .zip(entries)
                .for_each(|(index, entry): (usize, _)| leaves(&format!("{path}/{index}"), entry, all));
        }
        _ => all.push(path.to_owned()),
    }
}

#[test]
fn every_field_names_the_event_without_which_it_would_be_otherwise() {
    let config = Config {
        cases: 8,
        ..Config::default()
    };
    let (all, otherwise) = (Cell::new(0_u32), Cell::new(0_u32));
    let law = |steps: Vec<_>| {
        let world = World::after(&steps);
        let log: Vec<&Entry> = world.log.iter().collect();
        block_on(async {
            let fixture = world.shown(20);
            for (view, path, aggregate, ids) in VIEWS {
                for row in ids {
                    // Of all events, those that the row is made of: the others change nothing.
                    let touches = |entry: &&Entry| {
                        let kind = entry.kind.info();
                        world.view(view).info().sources.contains(&kind.name.as_str())
                            && world.view(view).keys(&kind.name, &entry.event).contains(&id(row))
                    };
                    let made_of: Vec<&Entry> = log.iter().copied().filter(touches).collect();
                    let answer = fixture.get(&format!("{path}/{row}?explain=true")).await;
                    let rows = world.rows(view, made_of.iter().copied());
                    let Some(shown) = rows.get(&id(row)) else {
                        assert_eq!(answer.status, 404);
                        continue;
                    };
                    assert_eq!(without(&answer, &["links", "explained"]), *shown);
                    let explained = answer.body["explained"].as_object().unwrap();
                    let mut fields = Vec::new();
                    leaves("", shown, &mut fields);
                    assert_eq!(
                        explained.keys().collect::<Vec<_>>(),
                        fields.iter().collect::<Vec<_>>()
                    );
                    for (field, cited) in explained {
                        let cause = set_by(&world, view, row, field, &made_of).unwrap();
                        let meta = &cause.event.meta;
                        assert_eq!(
                            cited["event_id"],
                            json!(meta.event_id),
                            "{path}/{row} {field}: {cited}"
                        );
                        assert_eq!(cited["sequence"], meta.sequence);
                        assert_eq!(cited["command_id"], json!(meta.command_id));
                        assert_eq!(cited["actor"], "ada");
                        let topic = format!("here-{}.events", cause.aggregate());
                        let log =
                            json!({ "topic": topic, "partition": cause.partition, "offset": cause.offset });
                        assert_eq!(cited["log"], log);
                        all.set(all.get() + 1);
                        otherwise.set(
                            otherwise.get() + u32::from(changes_without(&world, view, row, field, &made_of)),
                        );
                    }
                    let _ = aggregate;
                }
            }
        });
        Ok(())
    };
    TestRunner::new(config).run(&steps(40), law).unwrap();
    let (all, otherwise) = (all.get(), otherwise.get());
    println!(
        "{otherwise} of {all} fields are otherwise without the one event, the others without those that say the same"
    );
    assert!(otherwise * 10 > all * 7, "{otherwise} of {all}");
}

/// Whether the field is otherwise without its event. If not, others say the same: without all of those it is.
fn changes_without(world: &World, view: &str, row: &str, field: &str, made_of: &[&Entry]) -> bool {
    let rows = world.rows(view, made_of.iter().copied());
    let shown = &rows[&id(row)];
    let mut left = made_of.to_vec();
    for removed in 1.. {
        let cause = set_by(world, view, row, field, &left).expect("what there is has a cause");
        left.retain(|entry| !std::ptr::eq(*entry, cause));
        let rows = world.rows(view, left.iter().copied());
        let now = rows.get(&id(row)).and_then(|now| found(shown, field, now));
        if now != found(shown, field, shown) {
            return removed == 1;
        }
    }
    unreachable!("a row without events is none")
}

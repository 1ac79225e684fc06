//! Rules of the past: where a moment lies, and what touches a row from elsewhere.

use foldline_core::Timestamp;
use uuid::Uuid;

use super::toy::{AGGREGATE, Fixture, VIEW, event, id};
use crate::{Batch, HistoryCommand, HistoryEvent, Touch, ViewWriter};

/// An event of each of these times, in one partition.
fn recorded(writer: &mut dyn ViewWriter, partition: i32, first: i64, times: &[i64]) {
    let event = |(index, time): (i64, &i64)| recorded_at(partition, first + index, *time);
    write(writer, (0..).zip(times).map(event).collect());
}

/// The event of this number in a partition; commands lie at every third offset.
fn recorded_at(partition: i32, index: i64, time: i64) -> HistoryEvent {
    HistoryEvent {
        partition,
        offset: 2 * index,
        recorded_at: Timestamp(time),
        command_offset: index / 3,
        ..event(&format!("p{partition}"), index + 1)
    }
}

fn write(writer: &mut dyn ViewWriter, history: Vec<HistoryEvent>) {
    let batch = Batch {
        history,
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
}

/// What it should be, by going through all.
fn first(times: &[i64], is_past: impl Fn(usize, i64) -> bool) -> Option<i64> {
    let found = times
        .iter()
        .enumerate()
        .position(|(index, time)| is_past(index, *time));
    found.map(|index| 2 * i64::try_from(index).unwrap())
}

pub(crate) fn a_moment_lies_before_the_first_event_that_is_past_it(fixture: &Fixture) {
    let mut writer = fixture.writer();
    // One clock goes back for a while. Batches are of any length, longer than what lies between two marks too.
    let times: Vec<i64> = (0..1500)
        .map(|n| if n % 100 < 7 { n * 10 - 300 } else { n * 10 })
        .collect();
    let mut begun = 0;
    for length in [1, 1, 3, 700, 2, 793] {
        recorded(
            &mut *writer,
            1,
            i64::try_from(begun).unwrap(),
            &times[begun..begun + length],
        );
        begun += length;
    }
    recorded(&mut *writer, 2, 0, &[5]);
    fixture.read(|snapshot| {
        for time in (-310..15_100).step_by(97).chain([14_989, 14_990, 14_991]) {
            let found = snapshot.first_after_time(AGGREGATE, 1, Timestamp(time)).unwrap();
            assert_eq!(found, first(&times, |_, at| at > time), "{time}");
        }
        for command in (-1..501).step_by(13).chain([498, 499, 500]) {
            let found = snapshot.first_after_command(AGGREGATE, 1, command).unwrap();
            let past = |index: usize, _| i64::try_from(index).unwrap() / 3 > command;
            assert_eq!(found, first(&times, past), "{command}");
        }
        let none = snapshot.first_after_time(AGGREGATE, 3, Timestamp(0));
        assert_eq!(none.unwrap(), None);
        let other = snapshot.first_after_time(AGGREGATE, 2, Timestamp(4));
        assert_eq!(other.unwrap(), Some(0));
    });
}

pub(crate) fn a_moment_lies_where_it_does_although_events_have_come_late(fixture: &Fixture) {
    let mut writer = fixture.writer();
    // A clock goes ahead for a while, twice.
    let times = [10, 40, 20, 30, 80, 50, 60, 90];
    // A partition for each way that the first six can come: in time, with one aggregate that was parked, with another one.
    let partitions = 0..3_i32.pow(6);
    let comes = |partition: i32, index: usize| match index {
        0..6 => partition / 3_i32.pow(u32::try_from(index).unwrap()) % 3,
        _ => 0,
    };
    for (indexes, turn) in [
        (0..2, 0),
        (2..4, 0),
        (4..6, 0),
        (0..6, 1),
        (0..6, 2),
        (6..7, 0),
        (7..8, 0),
    ] {
        let of_partition = |partition: i32| {
            let these = indexes
                .clone()
                .filter(move |index| comes(partition, *index) == turn);
            these.map(move |index| recorded_at(partition, i64::try_from(index).unwrap(), times[index]))
        };
        write(&mut *writer, partitions.clone().flat_map(of_partition).collect());
    }
    fixture.read(|snapshot| {
        for partition in partitions.clone() {
            for time in (5..100).step_by(5) {
                let found = snapshot.first_after_time(AGGREGATE, partition, Timestamp(time));
                let expected = first(&times, |_, at| at > time);
                assert_eq!(found.unwrap(), expected, "partition {partition}, time {time}");
            }
            for command in -1..4 {
                let found = snapshot.first_after_command(AGGREGATE, partition, command);
                let expected = first(&times, |index, _| i64::try_from(index).unwrap() / 3 > command);
                assert_eq!(
                    found.unwrap(),
                    expected,
                    "partition {partition}, command {command}"
                );
            }
        }
        let correlation_id = recorded_at(0, 0, 0).correlation_id;
        let conversation = snapshot.conversation(&correlation_id, 100_000).unwrap();
        assert_eq!(conversation.events.len(), 3_usize.pow(6) * times.len());
    });
}

pub(crate) fn what_touches_a_row_is_read_by_partition_in_order(fixture: &Fixture) {
    let mut writer = fixture.writer();
    recorded(&mut *writer, 1, 0, &[1, 2, 3, 4]);
    recorded(&mut *writer, 2, 0, &[1]);
    let touch = |row: &str, partition, offset| Touch {
        view: VIEW.to_owned(),
        id: id(row),
        aggregate: AGGREGATE.to_owned(),
        partition,
        offset,
    };
    let touches = vec![
        touch("r", 1, 6),
        touch("r", 1, 2),
        touch("r", 2, 0),
        touch("s", 1, 4),
    ];
    let batch = Batch {
        touches,
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    fixture.read(|snapshot| {
        let read = |view, row: &str, partition, from, limit| -> Vec<i64> {
            let from = (AGGREGATE, partition, from);
            let events = snapshot.touching(view, &id(row), from, limit).unwrap();
            events.iter().map(|event| event.offset).collect()
        };
        assert_eq!(read(VIEW, "r", 1, 0, 9), [2, 6]);
        assert_eq!(read(VIEW, "r", 1, 3, 9), [6]);
        assert_eq!(read(VIEW, "r", 1, 0, 1), [2]);
        assert_eq!(read(VIEW, "r", 2, 0, 9), [0]);
        assert_eq!(read(VIEW, "s", 1, 0, 9), [4]);
        assert_eq!(read("other", "r", 1, 0, 9), [] as [i64; 0]);
    });
}

/// A command on one aggregate, at this offset.
fn asked(command_offset: i64, is_refused: bool) -> HistoryCommand {
    HistoryCommand {
        aggregate: AGGREGATE.to_owned(),
        id: id("a"),
        partition: 1,
        offset: command_offset,
        command_id: Uuid::from_u128(command_offset.unsigned_abs().into()),
        command_type: "HangUp".to_owned(),
        command_offset,
        sequence: 1,
        issued_at: None,
        decided_at: Timestamp(command_offset),
        actor: None,
        correlation_id: "c".to_owned(),
        causation_id: Some("something".to_owned()),
        refusal: is_refused.then(|| "{}".to_owned()),
    }
}

pub(crate) fn refusals_are_read_past_what_was_accepted(fixture: &Fixture) {
    let batch = Batch {
        commands: (0..20).map(|offset| asked(offset, offset % 7 == 6)).collect(),
        ..Batch::default()
    };
    fixture.writer().commit(&batch).unwrap();
    fixture.read(|snapshot| {
        let offsets = |commands: Vec<HistoryCommand>| -> Vec<i64> {
            commands.iter().map(|command| command.command_offset).collect()
        };
        let refused = |after, limit| offsets(snapshot.refusals(AGGREGATE, &id("a"), after, limit).unwrap());
        assert_eq!(refused(-1, 9), [6, 13]);
        assert_eq!(refused(-1, 1), [6]);
        assert_eq!(refused(6, 9), [13]);
        assert_eq!(refused(13, 9), [] as [i64; 0]);
        let all = snapshot.commands(AGGREGATE, &id("a"), 4, 3).unwrap();
        assert_eq!(offsets(all), [5, 6, 7]);
    });
}

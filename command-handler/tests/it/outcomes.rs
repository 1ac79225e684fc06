//! What became of a command, asked by its id.

use foldline_command_handler::{CommandStatus, DeadLettered, Place};
use foldline_core::{CommandMeta, Outcome, Refusal, RefusalKind, Timestamp};
use uuid::Uuid;

use super::client::{Answer, Client};
use super::engine::{Then, event, result};

const ID: Uuid = Uuid::from_u128(9);

fn meta() -> CommandMeta {
    CommandMeta {
        command_type: "SendParcel".into(),
        ..CommandMeta::new(ID, "p-1".parse().unwrap(), Timestamp(0))
    }
}

async fn outcome(status: CommandStatus) -> Answer {
    let client = Client::when(Then::Silence);
    client.engine.known.lock().unwrap().push((ID, status));
    client.get(&format!("/commands/{ID}")).await
}

#[tokio::test]
async fn a_command_that_nobody_knows_is_404() {
    let client = Client::when(Then::Silence);
    let answer = client.get(&format!("/commands/{ID}")).await;
    answer.is_problem(404, "unknown-command", &[]);
}

#[tokio::test]
async fn a_command_is_pending_until_it_is_decided() {
    let answer = outcome(CommandStatus::Pending).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &"pending".into())
    );
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_its_reason_and_its_places() {
    let place = |topic: &str, offset| Place {
        topic: topic.to_owned(),
        partition: 2,
        offset,
    };
    let letter = DeadLettered {
        reason: "the key is another one".into(),
        command: place("post.parcels.commands", 7),
        set_aside: place("post.parcels.commands.dlt", 0),
    };
    let answer = outcome(CommandStatus::DeadLettered(Box::new(letter))).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &"dead-lettered".into())
    );
    assert_eq!(answer.body["problem"]["type"], "/problems/dead-lettered");
    assert_eq!(answer.body["problem"]["detail"], "the key is another one");
    assert_eq!(answer.body["command"]["offset"], 7);
    assert_eq!(answer.body["dead_letter"]["topic"], "post.parcels.commands.dlt");
}

#[tokio::test]
async fn an_accepted_command_is_shown_as_it_was_answered() {
    let decided = result(&meta(), 1, Outcome::Accepted(vec![event(1)]));
    let answer = outcome(CommandStatus::Decided(Box::new(decided))).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &"accepted".into())
    );
    assert_eq!(answer.body["aggregate"], "/parcels/p-1");
    assert_eq!(answer.body["events"][0]["event_type"], "ParcelSent");
    assert_eq!(answer.body["links"]["view"], "http://read.test/parcels/p-1");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_refused_command_is_shown_with_its_problem() {
    let refusal = Refusal::engine("container-full", RefusalKind::State, "it is full".into());
    let decided = result(&meta(), 3, Outcome::Refused(refusal));
    let answer = outcome(CommandStatus::Decided(Box::new(decided))).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &"refused".into())
    );
    let problem = &answer.body["problem"];
    assert_eq!(problem["type"], "/problems/container-full");
    assert_eq!(problem["status"], 409);
    assert_eq!(problem["detail"], "it is full");
}

#[tokio::test]
async fn a_command_of_what_is_no_longer_installed_is_shown_all_the_same() {
    let mut decided = result(&meta(), 3, Outcome::Accepted(vec![]));
    decided.command_type = "BurnParcel".into();
    let answer = outcome(CommandStatus::Decided(Box::new(decided))).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &"accepted".into())
    );
    assert_eq!(answer.body["aggregate_id"], "p-1");
}

use foldline_tests::{domains, stack};

use super::engines::{assert_checkpoints_hold, assert_knows_all, folder, start, work};

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_the_fold_of_all_events() {
    let domains = domains();
    let kafka = stack::kafka("restore", &domains).await;
    let state = folder();

    let engine = start(&kafka, &state, &domains, 10).await;
    work(&engine, &domains, 0..10).await;
    engine.stop().await;
    let (snapshots, covered) = assert_checkpoints_hold(&kafka, &domains).await;
    assert!(
        snapshots > 150 && covered > 400,
        "{snapshots} snapshots cover {covered} events"
    );

    // Events behind the last checkpoint.
    let engine = start(&kafka, &state, &domains, 0).await;
    work(&engine, &domains, 10..13).await;
    engine.stop().await;
    assert_eq!(
        assert_checkpoints_hold(&kafka, &domains).await,
        (snapshots, covered)
    );

    // With what it knows, what it has, and what it does next.
    let elsewhere = folder();
    let engine = start(&kafka, &elsewhere, &domains, 10).await;
    let aggregates = assert_knows_all(&engine, &kafka, &domains).await;
    work(&engine, &domains, 13..16).await;
    assert!(assert_knows_all(&engine, &kafka, &domains).await > aggregates);
    engine.stop().await;
    let (_, later) = assert_checkpoints_hold(&kafka, &domains).await;
    assert!(later > covered, "{later} events are covered");
    println!("{aggregates} aggregates, {snapshots} snapshots");
}

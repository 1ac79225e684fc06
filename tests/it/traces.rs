//! A trace goes from a request into the records that it makes, and on into the spans of whoever reads them.

use std::time::Duration;

use foldline_tests::client::{Answer, eventually};
use foldline_tests::records;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::json;

use crate::PROGRAM;

/// The trace in a `traceparent`.
fn trace_of(answer: &Answer) -> String {
    let parent = answer.header("traceparent").expect("a traceparent");
    parent.split('-').nth(1).expect("a trace id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_request_is_in_its_records_and_in_the_projectors_spans() {
    let mut system = System::start("traces", PROGRAM).await;
    system.stop(Service::Projector).await;
    system.log_level = Some("info,foldline_projector=debug");
    system.restart(Service::Projector).await;
    let write = system.write();
    let post = async |id: &str, parent: Option<&str>| {
        let price = json!({"amount": 1, "currency": "EUR"});
        let body = json!({"type": "AddMenuItem", "description": "Soup", "price": price});
        let request = write.request(Method::POST, &format!("/menu/items/{id}/commands"));
        let request = parent
            .into_iter()
            .fold(request, |request, parent| request.header("traceparent", parent));
        write.send(request.json(&body)).await.expect(201)
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = post("given", Some(&format!("00-{trace}-00f067aa0ba902b7-01"))).await;
    assert_eq!(trace_of(&given), trace);
    // Who comes without one is given one.
    let made = post("made", None).await;

    for (id, answer) in [("given", given), ("made", made)] {
        let trace = trace_of(&answer);
        let events = records::events_of(&system.kafka, "restaurant.menu", id);
        let header = events[0]
            .record
            .header("traceparent")
            .expect("it goes with the event");
        assert!(header.contains(&trace), "{header}");
        let path = format!("/menu/items/{id}");
        system
            .read()
            .get_after(&path, answer.text("/consistency_token"))
            .await
            .expect(200);
        let span = format!("trace_id=\"{trace}\"");
        let is_told = |line: &&str| line.contains(&span) && line.contains("folded") && line.contains(id);
        let told = || async {
            let log = system.log_of(Service::Projector);
            log.lines().find(is_told).map(str::to_owned)
        };
        let line = eventually("the projector tells of it", Duration::from_secs(10), told).await;
        for part in ["MenuItemAdded", "restaurant.menu", "sequence=1"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}

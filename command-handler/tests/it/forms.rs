//! What can be asked.

use super::client::Client;
use super::engine::{Engine, Then};

fn with_one_parcel() -> Client {
    let mut engine = Engine::new(Then::Silence);
    engine.exists = Some(("p-1".parse().unwrap(), 3));
    Client::of(engine)
}

#[tokio::test]
async fn the_commands_of_an_aggregate_are_links_and_say_which_are_possible() {
    let answer = with_one_parcel().get("/parcels/p-1/commands").await;
    assert_eq!(answer.header("etag"), "\"3\"");
    assert_eq!(
        (&answer.body["exists"], &answer.body["sequence"]),
        (&true.into(), &3.into())
    );
    let [send, deliver] = &answer.body["commands"].as_array().unwrap()[..] else {
        panic!("{}", answer.body)
    };
    assert_eq!(send["possible"], false);
    assert_eq!(deliver["possible"], true);
    assert_eq!(deliver["type"], "DeliverParcel");
    assert_eq!(deliver["description"], "Brings it to who awaits it.");
    assert_eq!(
        (&deliver["method"], &deliver["href"]),
        (&"POST".into(), &"/parcels/p-1/commands".into())
    );
}

#[tokio::test]
async fn only_creating_is_possible_where_nothing_is() {
    let answer = with_one_parcel().get("/parcels/p-2/commands").await;
    assert_eq!(answer.body["exists"], false);
    assert!(!answer.headers.contains_key("etag"));
    assert_eq!(answer.body["commands"][0]["possible"], true);
    assert_eq!(answer.body["commands"][1]["possible"], false);
}

#[tokio::test]
async fn the_schema_takes_what_the_api_takes() {
    let answer = with_one_parcel().get("/parcels/p-1/commands").await;
    let schema = &answer.body["commands"][0]["schema"];
    assert_eq!(schema["properties"]["type"]["enum"][0], "SendParcel");
    let required = schema["required"].as_array().unwrap();
    assert!(
        required.contains(&"type".into()) && required.contains(&"weight".into()),
        "{schema}"
    );
    assert_eq!(answer.body["commands"][1]["schema"]["required"][0], "type");
}

#[tokio::test]
async fn the_commands_of_a_type_say_where_they_are_sent() {
    let answer = with_one_parcel().get("/parcels/commands").await;
    let commands = &answer.body["commands"];
    assert_eq!(commands[0]["href"], "/parcels");
    assert_eq!(commands[0]["also_at"][0], "/parcels/{id}/commands");
    assert_eq!(commands[1]["href"], "/parcels/{id}/commands");
}

#[tokio::test]
async fn the_index_leads_to_them() {
    let answer = with_one_parcel().get("/").await;
    let parcels = &answer.body["aggregates"][0];
    assert_eq!(parcels["links"]["forms"], "/parcels/commands");
    assert_eq!(parcels["created_by"], "SendParcel");
    assert_eq!(answer.body["links"]["query_api"], "http://read.test");
}

//! What a caller is told by the scopes of their token.

use std::time::Duration;

use axum::body::Body;
use axum::{Extension, Router};
use foldline_query_api::{StreamOptions, router};
use foldline_service::Caller;
use http::Request;
use serde_json::{Value, json};

use crate::toy::{Answer, Fixture, api, ask};
use crate::world::World;

/// The same store, as it answers somebody with these scopes.
fn asked_by(world: &World, fixture: &Fixture, subject: &str, scopes: &str) -> Router {
    let streams = StreamOptions {
        most: 9,
        keep_alive: Duration::from_secs(60),
    };
    let api = api(fixture.folder.path(), &world.domains, streams, &fixture.shutdown);
    let caller = Caller::new(subject, scopes.split(' ').map(str::to_owned));
    router(&api).unwrap().layer(Extension(caller))
}

async fn get(app: &Router, uri: &str) -> Answer {
    ask(app.clone(), Request::get(uri).body(Body::empty()).unwrap()).await
}

const ORDER: &str = "/orders/o0?explain=true";
const ITEM: &str = "/menu/items/m0?explain=true";

/// Customer c0 has ordered item m0, in order o0.
fn evening() -> (World, Fixture) {
    let world = World::after(&[(6, 0, 0, 2, 10), (9, 0, 0, 1, 10), (10, 0, 0, 3, 10)]);
    let fixture = world.shown(100);
    (world, fixture)
}

#[tokio::test]
async fn who_may_not_see_the_history_is_not_told_which_event_made_a_field() {
    let (world, fixture) = evening();
    let explained = async |subject: &str, scopes: &str| {
        let answer = get(&asked_by(&world, &fixture, subject, scopes), ORDER).await;
        (
            answer.status.as_u16(),
            answer.body["explained"]["/status"].clone(),
        )
    };
    let none = Value::Null;
    assert_eq!(
        explained("ada", "restaurant.orders:read").await,
        (403, none.clone())
    );
    let (status, cited) = explained("ada", "restaurant.orders:read restaurant.orders:history").await;
    assert_eq!((status, &cited["event_type"]), (200, &json!("OrderPlaced")));

    let own = "restaurant.orders:read restaurant.orders:history-own";
    let (status, cited) = explained("c0", own).await;
    assert_eq!((status, &cited["event_type"]), (200, &json!("OrderPlaced")));
    assert_eq!(explained("c1", own).await, (404, none));
}

#[tokio::test]
async fn an_explanation_leaves_out_what_happened_to_something_else() {
    let (world, fixture) = evening();
    let of_menu = "restaurant.menu:read restaurant.menu:history";
    let with_orders = format!("{of_menu} restaurant.orders:history");
    let with_own = format!("{of_menu} restaurant.orders:history-own");
    for (subject, scopes, sees_orders) in [
        ("ada", of_menu, false),
        ("ada", with_orders.as_str(), true),
        ("c0", with_own.as_str(), true),
        ("c1", with_own.as_str(), false),
    ] {
        let answer = get(&asked_by(&world, &fixture, subject, scopes), ITEM).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let explained = &answer.body["explained"];
        assert_eq!(explained["/description"]["aggregate"], "restaurant.menu");
        let is_told = explained["/popularity"]["aggregate"] == "restaurant.orders";
        assert_eq!(is_told, sees_orders, "{subject} with {scopes}: {explained}");
    }
}

//! A view that another generation is served of, and one that is served in another form.

use foldline_core::{Claim, Domain, Domains, Field, Projection, Source, from, schemars};
use foldline_views::{Build, SqliteStore, ViewStore};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::toy::{CLUSTER, Fixture, commit, domains, put};

#[tokio::test]
async fn a_row_of_another_generation_has_another_etag() {
    let (fixture, _writer) = Fixture::with("coats", &[("7", "{\"colour\":\"red\"}")]);
    let before = fixture.get("/cloakroom/coats/7").await.header("etag").to_owned();
    let store = SqliteStore::new(fixture.folder.path().join("views.db"));
    let domains = domains();
    let view = domains.views()[0].info();
    let build = Build::Anew { program: "ours" };
    let mut builder = store.builder(view, build, CLUSTER).unwrap();
    commit(
        &mut *builder,
        vec![put("coats", "7", "{\"colour\":\"blue\"}")],
        vec![],
    );
    let answer = fixture.get("/cloakroom/coats/7").await;
    assert_eq!(answer.body["colour"], "red", "nobody sees what is being built");
    builder.hold().unwrap().serve().unwrap();

    let answer = fixture
        .get_with("/cloakroom/coats/7", &[("if-none-match", &before)])
        .await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"3-g2\""));
    assert_eq!(answer.body["colour"], "blue");

    store.desk().unwrap().serve("coats", 1).unwrap();
    let answer = fixture
        .get_with("/cloakroom/coats/7", &[("if-none-match", &before)])
        .await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn who_follows_a_row_is_told_when_another_generation_is_served() {
    let (fixture, _writer) = Fixture::with("coats", &[("7", "{\"colour\":\"red\"}")]);
    let mut stream = fixture.follow("/cloakroom/coats/7", None).await;
    assert_eq!(stream.event().await.unwrap().json()["colour"], "red");
    let store = SqliteStore::new(fixture.folder.path().join("views.db"));
    let domains = domains();
    let build = Build::Anew { program: "ours" };
    let mut builder = store.builder(domains.views()[0].info(), build, CLUSTER).unwrap();
    let row = put("coats", "7", "{\"colour\":\"blue\"}");
    commit(&mut *builder, vec![row], vec![]);
    // Nothing has moved.
    builder.hold().unwrap().serve().unwrap();
    assert_eq!(stream.event().await.unwrap().json()["colour"], "blue");
}

#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
struct Ticket {
    colour: String,
}

macro_rules! tickets {
    ($name:ident, $version:literal, $fields:expr) => {
        struct $name;
        impl Projection for $name {
            const NAME: &'static str = "tickets";
            const VERSION: u32 = $version;
            const PATH: &'static str = "/tickets";
            const FIELDS: &'static [Field] = $fields;
            type View = Ticket;
            fn sources() -> Vec<Source<Ticket>> {
                vec![from::<Claim, _>(|_| Vec::new(), |view, _, _| view)]
            }
        }
    };
}
tickets!(Tickets, 1, &[]);
tickets!(NewTickets, 2, &[Field::text("colour")]);

fn of<P: Projection>() -> Domains {
    Domains::new([Domain::new("cloakroom").aggregate::<Claim>().view::<P>()]).unwrap()
}

#[tokio::test]
async fn a_view_that_is_served_in_an_older_form_is_read_and_what_it_lacks_is_said() {
    let fixture = Fixture::of(&of::<Tickets>());
    let store = SqliteStore::new(fixture.folder.path().join("views.db"));
    let mut writer = store.writer(&of::<Tickets>(), CLUSTER).unwrap();
    commit(
        &mut *writer,
        vec![put("tickets", "1", "{\"colour\":\"red\"}")],
        vec![],
    );
    let newer = fixture.restarted_as(&of::<NewTickets>());

    newer.get("/readyz").await.is_problem(503, "not-ready");
    assert_eq!(newer.get("/tickets/1").await.body["colour"], "red");
    let list = newer.get("/tickets").await;
    assert_eq!(list.body["items"][0]["colour"], "red");
    let by_field = newer.get("/tickets?colour=red").await;
    by_field.is_problem(503, "unavailable");
    let detail = by_field.body["detail"].as_str().unwrap();
    assert!(detail.contains("without the field colour"), "{detail}");

    let newer_domains = of::<NewTickets>();
    let build = Build::Anew { program: "ours" };
    let mut builder = store
        .builder(newer_domains.views()[0].info(), build, CLUSTER)
        .unwrap();
    commit(
        &mut *builder,
        vec![put("tickets", "1", "{\"colour\":\"red\"}")],
        vec![],
    );
    builder.hold().unwrap().serve().unwrap();
    assert_eq!(newer.get("/readyz").await.status, 200);
    let by_field = newer.get("/tickets?colour=red").await;
    assert_eq!(by_field.body["items"][0]["colour"], json!("red"));
}

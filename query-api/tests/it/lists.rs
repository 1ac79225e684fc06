use serde_json::json;

use crate::toy::Fixture;

const ROWS: &[(&str, &str)] = &[
    (
        "a",
        r#"{"id":"a","colour":"red","price":{"amount":30},"wet":true}"#,
    ),
    (
        "b",
        r#"{"id":"b","colour":"blue & grün","price":{"amount":10},"wet":false}"#,
    ),
    (
        "c",
        r#"{"id":"c","colour":"red","price":{"amount":20},"wet":false}"#,
    ),
    ("d", r#"{"id":"d","price":{"amount":30},"wet":true}"#),
    (
        "e",
        r#"{"id":"e","colour":"green","price":{"amount":-5},"wet":false}"#,
    ),
];

#[tokio::test]
async fn a_list_is_filtered_and_sorted() {
    let (fixture, _writer) = Fixture::with("coats", ROWS);
    for (query, expected) in [
        ("", "abcde"),
        ("?colour=red", "ac"),
        ("?colour=red&colour=green", "ace"),
        ("?colour=blue%20%26%20gr%C3%BCn", "b"),
        ("?colour=blue+%26+gr%C3%BCn", "b"),
        ("?price.amount[gte]=20&price.amount[lt]=30", "c"),
        ("?price.amount%5Bgt%5D=20", "ad"),
        ("?wet=false&price.amount[lte]=10", "be"),
        ("?id=b", "b"),
        ("?sort=-price.amount,id", "adcbe"),
        ("?sort=price.amount", "ebcad"),
        ("?sort=colour,-id", "dbeca"),
        ("?sort=-id&limit=2", "ed"),
        ("?colour=none", ""),
    ] {
        let answer = fixture.get(&format!("/cloakroom/coats{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        assert_eq!(answer.ids(), expected, "{query}");
    }
}

#[tokio::test]
async fn the_links_lead_through_all_pages() {
    let (fixture, _writer) = Fixture::with("coats", ROWS);
    for query in [
        "?limit=2",
        "?sort=-price.amount&limit=1",
        "?price.amount%5Bgte%5D=10&sort=colour&limit=2",
    ] {
        let start = format!("/cloakroom/coats{query}");
        let whole = fixture
            .get(&start.replace("limit=1", "limit=9").replace("limit=2", "limit=9"))
            .await;
        let mut uri = start.clone();
        let mut ids = String::new();
        loop {
            let answer = fixture.get(&uri).await;
            ids += &answer.ids();
            assert_eq!(answer.body["self"], uri);
            assert_eq!(answer.body["first"], start);
            let Some(next) = answer.body["next"].as_str() else {
                assert!(!answer.header("link").contains("next"));
                break;
            };
            let link = answer.header("link");
            assert!(link.contains(&format!("<{next}>; rel=\"next\"")), "{link}");
            next.clone_into(&mut uri);
        }
        assert_eq!(ids, whole.ids(), "{query}");
    }
}

#[tokio::test]
async fn an_item_leads_to_itself_and_is_otherwise_as_it_was_written() {
    let (fixture, _writer) = Fixture::with("coats", &ROWS[..1]);
    let answer = fixture.get("/cloakroom/coats").await;
    assert_eq!(
        answer.body["items"],
        json!([{
            "id": "a", "colour": "red", "price": { "amount": 30 }, "wet": true,
            "links": { "self": "/cloakroom/coats/a" },
        }])
    );
    assert_eq!(answer.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn a_list_within_a_row_is_a_list_too() {
    let doc = r#"{"id":"a","pockets":[
        {"id":"l","side":"left","coins":3},{"id":"r","side":"right","coins":7},{"id":"i","side":"inside"}]}"#;
    let (fixture, _writer) = Fixture::with("coats", &[("a", doc), ("b", r#"{"id":"b"}"#)]);
    for (query, expected) in [
        ("", "lri"),
        ("?side=left&side=right", "lr"),
        ("?coins[gt]=3", "r"),
        ("?sort=-coins", "rli"),
        ("?sort=coins&limit=2", "il"),
    ] {
        let answer = fixture.get(&format!("/cloakroom/coats/a/pockets{query}")).await;
        assert_eq!(answer.ids(), expected, "{query}");
        assert_eq!(answer.header("etag"), "\"3\"");
    }
    let first = fixture.get("/cloakroom/coats/a/pockets?sort=coins&limit=2").await;
    let next = fixture.get(first.body["next"].as_str().unwrap()).await;
    assert_eq!((next.ids().as_str(), &next.body["next"]), ("r", &json!(null)));
    assert_eq!(
        next.body["items"][0],
        json!({ "id": "r", "side": "right", "coins": 7 })
    );
    assert_eq!(
        fixture.get("/cloakroom/coats/b/pockets").await.body["items"],
        json!([])
    );
    fixture
        .get("/cloakroom/coats/none/pockets")
        .await
        .is_problem(404, "not-found");
}

#[tokio::test]
async fn an_entry_is_served_where_its_link_says() {
    let doc = r#"{"pockets":[{"pocket":"/cloakroom/coats/a/pockets/left%20one","coins":3},{"pocket":"/x"}]}"#;
    let (fixture, _writer) = Fixture::with("coats", &[("a", doc)]);
    let answer = fixture.get("/cloakroom/coats/a/pockets/left%20one").await;
    assert_eq!((answer.status.as_u16(), &answer.body["coins"]), (200, &json!(3)));
    assert_eq!(answer.header("etag"), "\"3\"");
    for uri in [
        "/cloakroom/coats/a/pockets/left",
        "/cloakroom/coats/b/pockets/left%20one",
    ] {
        fixture.get(uri).await.is_problem(404, "not-found");
    }
}

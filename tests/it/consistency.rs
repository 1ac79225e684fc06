//! A read with the token of a write shows it.

use foldline_tests::shared;
use serde_json::json;

use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_the_token_of_a_write_shows_it_each_time() {
    let system = shared::system(PROGRAM).await;
    let (write, read) = (system.write(), system.read());
    let body = |amount: i64| json!({"description": "Soup of the day", "price": {"amount": amount, "currency": "USD"}});
    let added = write.post("/menu/items", &body(1)).await.expect(201);
    let item = added.text("/aggregate").to_owned();
    for amount in 2..=300 {
        let mut modify = body(amount);
        modify["type"] = json!("ModifyMenuItem");
        let written = write.post(&format!("{item}/commands"), &modify).await.expect(200);
        let token = written.header("consistency-token").expect("a token");
        let row = read.get_after(&item, token).await.expect(200);
        assert_eq!(row.body["price"]["amount"], amount);
        assert!(row.header("consistency-token").is_some());
        if amount % 50 == 0 {
            let events = read
                .get_after(&format!("{item}/events?after={}", amount - 1), token)
                .await;
            assert_eq!(events.expect(200).body["items"].as_array().map(Vec::len), Some(1));
            let list = format!("/menu/items?price.amount={amount}&description=Soup%20of%20the%20day");
            let list = read.get_after(&list, token).await.expect(200);
            assert_eq!(list.body["items"].as_array().map(Vec::len), Some(1));
        }
    }
}

//! Everything that the read API shows, page by page.

use serde_json::Value;

use crate::client::Client;

/// Every item of a list, in the order of the list.
pub async fn list(read: &Client, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(page) = next {
        let answer = read.get(&page).await.expect(200);
        items.extend(answer.body["items"].as_array().expect("items").clone());
        next = answer.body["next"].as_str().map(str::to_owned);
    }
    items
}

/// Every row of some lists, each whole, with its history.
pub async fn dump(read: &Client, paths: &[&str]) -> Vec<Value> {
    let mut rows = Vec::new();
    for path in paths {
        for item in list(read, &format!("{path}?sort=id&limit=500")).await {
            let row = item["links"]["self"].as_str().expect("a link").to_owned();
            rows.push(read.get(&row).await.expect(200).body);
            rows.extend(list(read, &format!("{row}/events")).await);
        }
    }
    rows
}

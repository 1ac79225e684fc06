//! What a service counts, as a monitoring system reads it.

use reqwest::Method;

use crate::client::Client;

/// The sum of a counter over the series whose labels contain this text.
pub async fn sum(service: &Client, counter: &str, labels: &str) -> u64 {
    let answer = service.request(Method::GET, "/metrics").send().await;
    let text = answer.expect("the service answers").text().await.expect("text");
    let series = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once('{')?;
        let (found, value) = rest.rsplit_once("} ")?;
        (name == counter && found.contains(labels)).then_some(value)
    });
    series.map(|value| value.parse::<u64>().expect("a count")).sum()
}

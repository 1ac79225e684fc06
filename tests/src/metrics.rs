//! What a service counts, as a monitoring system reads it.

use reqwest::Method;

use crate::client::Client;

/// The sum of a counter over the series whose labels contain this text.
pub async fn sum(service: &Client, counter: &str, labels: &str) -> u64 {
    let sum = sum_if_up(service, counter, labels).await;
    sum.expect("the service answers")
}

/// As [`sum`]; `None` if the service does not answer.
pub async fn sum_if_up(service: &Client, counter: &str, labels: &str) -> Option<u64> {
    let answer = service.request(Method::GET, "/metrics").send().await.ok()?;
    let text = answer.text().await.ok()?;
    let series = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once('{')?;
        let (found, value) = rest.rsplit_once("} ")?;
        (name == counter && found.contains(labels)).then_some(value)
    });
    Some(series.map(|value| value.parse::<u64>().expect("a count")).sum())
}

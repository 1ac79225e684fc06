//! Requests: each is answered, and what cannot be heeded with a problem that names what is wrong.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldline_tests::client::Client;
use foldline_tests::fuzz::{Inputs, corpus, time};
use foldline_tests::shared;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::PROGRAM;

/// Requests that are under way at the same time: some wait for what never comes.
const AT_ONCE: usize = 16;
/// Longer than anything waits, but for what follows.
const ANSWER_MAX: Duration = Duration::from_secs(70);
/// Members by which a problem says what is wrong, and types that say it themselves.
const NAMED_BY: [&str; 5] = ["errors", "header", "parameter", "line", "bytes_max"];
const SAYS_IT_ITSELF: [&str; 4] = [
    "invalid-id",
    "invalid-consistency-token",
    "moment-in-the-future",
    "bad-request",
];

/// As it stands in a file of the corpus: `POST write /path?query`, headers, an empty line, the body.
struct Request {
    method: Method,
    client: &'static str,
    target: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Request {
    /// `None` for what no client can send.
    fn read(text: &[u8]) -> Option<Self> {
        let end = text.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next()?).into_owned();
        let mut words = first.splitn(3, ' ');
        let method = words.next()?.parse().ok()?;
        let client = ["write", "read"]
            .into_iter()
            .find(|known| words.clone().next() == Some(known))?;
        let target = words.nth(1)?.to_owned();
        let header = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            // What says how long the body is, the client says itself.
            let is_ours = ![
                "content-length",
                "transfer-encoding",
                "connection",
                "host",
                "expect",
            ]
            .contains(&name.as_str());
            let value = HeaderValue::from_bytes(line.get(colon + 2..)?).ok()?;
            is_ours.then_some((name, value))
        };
        Some(Self {
            method,
            client,
            target: target.starts_with('/').then_some(target)?,
            headers: lines.filter_map(header).collect(),
            body: body.to_vec(),
        })
    }

    /// Sends it; what became of it, in a few words. Panics if that must not be.
    async fn check(self, clients: &[Client; 2]) -> Option<String> {
        let client = &clients[usize::from(self.client == "read")];
        let url: Url = format!("http://{}{}", client.address(), self.target)
            .parse()
            .ok()?;
        let said = format!(
            "{} {url} {:?} {}",
            self.method,
            self.headers,
            String::from_utf8_lossy(&self.body)
        );
        let request = client.request(self.method, url.as_str()).body(self.body);
        let request = self
            .headers
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value));
        let response = request.timeout(ANSWER_MAX).send().await;
        let response = response.unwrap_or_else(|error| panic!("no answer: {error:?}\n{said}"));
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").cloned();
        let kind = kind
            .as_ref()
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if status < 400 || kind.starts_with("text/event-stream") {
            return Some(format!("{status} {kind}"));
        }
        let text = response.text().await.unwrap_or_default();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let code = problem["type"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("/problems/")
            .to_owned();
        // The HTTP library itself answers to what is not HTTP.
        if [414, 431].contains(&status) || (status == 400 && text.is_empty()) {
            return Some(status.to_string());
        }
        assert_eq!(kind, "application/problem+json", "{status} {text}\n{said}");
        assert!(status < 500 || status == 503, "{text}\n{said}");
        assert!(!code.is_empty() && problem["next"].is_array(), "{text}\n{said}");
        let names = NAMED_BY.iter().any(|member| !problem[*member].is_null());
        assert!(
            status != 400 || names || SAYS_IT_ITSELF.contains(&&*code),
            "what is wrong? {text}\n{said}"
        );
        Some(format!("{status} {code} {}", problem["detail"]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_answered_and_what_is_wrong_with_it_is_named() {
    let system = shared::system(PROGRAM).await;
    let clients = Arc::new([system.write(), system.read()]);
    let inputs = Arc::new(Mutex::new(Inputs::new("requests", corpus("http"))));
    let seeds: Vec<_> = inputs.lock().unwrap().pool().to_vec();
    for seed in seeds {
        let request = Request::read(&seed).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&seed)));
        request.check(&clients).await.expect("it can be sent");
    }
    let until = Instant::now() + 4 * time();
    let mut trying = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (clients, inputs) = (Arc::clone(&clients), Arc::clone(&inputs));
        trying.spawn(async move {
            let mut count = 0_usize;
            while Instant::now() < until {
                let input = inputs.lock().unwrap_or_else(PoisonError::into_inner).changed();
                let Some(request) = Request::read(&input) else {
                    continue;
                };
                if let Some(answer) = request.check(&clients).await {
                    inputs
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .answered(input, &answer);
                    count += 1;
                }
            }
            count
        });
    }
    let count: usize = trying.join_all().await.into_iter().sum();
    let answers = inputs.lock().unwrap().answers();
    println!("requests: {count}, {answers} kinds of answers");
    assert!(count >= AT_ONCE, "no result: only {count} requests");
    for client in clients.iter() {
        assert!(client.is_ready().await);
    }
}

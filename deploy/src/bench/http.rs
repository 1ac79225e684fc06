//! An HTTP client that costs as little as one can: it runs on the cores that it measures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::header::{CONTENT_TYPE, HOST, HeaderMap};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::figures::Sample;

/// No answer takes so long, or there is nothing to measure.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What is sent.
pub(crate) type Ask = Request<Full<Bytes>>;

/// A GET.
pub(crate) fn get(path: &str) -> Ask {
    ask(Method::GET, path, Bytes::new())
}

/// A POST of JSON.
pub(crate) fn post(path: &str, body: &serde_json::Value) -> Ask {
    let mut ask = ask(Method::POST, path, body.to_string().into());
    let json = http::HeaderValue::from_static("application/json");
    ask.headers_mut().insert(CONTENT_TYPE, json);
    ask
}

fn ask(method: Method, path: &str, body: Bytes) -> Ask {
    let ask = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "127.0.0.1");
    ask.body(Full::new(body))
        .expect("paths are put together from ids, which need no escaping")
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A figure of errors would look good, and mean nothing.
    pub(crate) fn successful(self) -> anyhow::Result<Self> {
        if !self.status.is_success() {
            let body = String::from_utf8_lossy(&self.body);
            bail!("the benchmark's own request got {}: {body}", self.status);
        }
        Ok(self)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.with_context(|| format!("an answer has no {name}"))
    }
}

/// A connection that is kept, with one request on it at a time.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what goes wrong on it, the sender's next request tells.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(sender))
    }

    pub(crate) async fn ask(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        let asked = async {
            self.0.ready().await?;
            let (head, body) = self.0.send_request(ask).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        timeout(ANSWER_MAX, asked)
            .await
            .context("an answer did not come")?
    }
}

/// So many clients for so long, each on a connection of its own, each sending its next request when it has the answer
/// to the last one. `client` makes, for a client's number, what yields its requests.
pub(crate) async fn closed_loop<F>(
    address: SocketAddr,
    clients: usize,
    length: Duration,
    client: impl Fn(usize) -> F,
) -> anyhow::Result<Sample>
where
    F: FnMut() -> Ask + Send + 'static,
{
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let mut next = client(number);
        running.spawn(async move {
            let mut each = Vec::new();
            while started.elapsed() < length {
                let ask = next();
                let asked = Instant::now();
                connection.ask(ask).await?.successful()?;
                each.push(asked.elapsed());
            }
            anyhow::Ok(each)
        });
    }
    Sample::collect(running, started).await
}

/// The sum of a metric's values at a service's `/metrics`, over the series that have all these labels.
pub(crate) async fn metric(
    address: SocketAddr,
    name: &str,
    labels: &[(&str, &str)],
) -> anyhow::Result<usize> {
    let answer = Connection::open(address).await?.ask(get("/metrics")).await?;
    let text = String::from_utf8_lossy(&answer.successful()?.body).into_owned();
    Ok(sum(&text, name, labels))
}

fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> usize {
    let value = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        let has = |(key, value): &(&str, &str)| rest.contains(&format!("{key}=\"{value}\""));
        let is_it = found == name && labels.iter().all(has);
        is_it.then(|| value.parse::<usize>().ok())?
    };
    text.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn a_metric_is_summed_over_the_series_that_have_the_labels() {
        let text = "# TYPE done_total counter\n\
            done_total{kind=\"a\",outcome=\"accepted\"} 3\n\
            done_total{kind=\"b\",outcome=\"accepted\"} 4\n\
            done_total{kind=\"b\",outcome=\"refused\"} 5\n\
            done_total_more{kind=\"b\"} 6\n\
            plain 7\n";
        assert_eq!(sum(text, "done_total", &[]), 12);
        assert_eq!(sum(text, "done_total", &[("outcome", "accepted")]), 7);
        assert_eq!(
            sum(text, "done_total", &[("outcome", "accepted"), ("kind", "b")]),
            4
        );
        assert_eq!(sum(text, "plain", &[]), 7);
        assert_eq!(sum(text, "absent", &[]), 0);
    }
}

//! Whether a program answers, asked in its own protocol, by hand: no Kafka client and no HTTP client for two
//! requests.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A program that does not answer one request in this time is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Metadata request, version 1, for no topics: length, API key 3, version, correlation id, no client id, an
/// empty array.
const METADATA_REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];

/// Whether the broker on this port serves: it names a live broker, which is itself. An open port is not
/// enough, it opens before the controller has let the broker into the cluster.
pub(crate) async fn kafka_answers(port: u16) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(&METADATA_REQUEST).await?;
        // Length, correlation id, then the array of brokers, which begins with its length.
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        let [.., a, b, c, d] = head;
        Ok::<_, io::Error>(i32::from_be_bytes([a, b, c, d]))
    };
    matches!(timeout(ANSWER_MAX, exchange).await, Ok(Ok(brokers)) if brokers > 0)
}

/// Whether `GET path` is answered with 200.
pub(crate) async fn http_answers(port: u16, path: &str) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        Ok::<_, io::Error>(status)
    };
    matches!(timeout(ANSWER_MAX, exchange).await, Ok(Ok(status)) if status == *b"HTTP/1.1 200")
}

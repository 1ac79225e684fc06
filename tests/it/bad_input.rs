//! Bad input, and what it gets: over HTTP, on the topics, and while Kafka is away.

mod http;
mod kafka_away;
mod topics;

//! A bearer token (JWT) by which Kafka knows this process. Somebody else keeps it fresh in a file: an agent beside the
//! process, or Kubernetes. The file is read again before the token that was read last expires.

use std::error::Error;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use foldline_kafka_native::set_token;
use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};
use serde::Deserialize;

/// The setting by which librdkafka hands the file's name to whoever makes tokens for it.
pub(crate) const FILE: &str = "sasl.oauthbearer.config";

/// The file does not hold a token. Nothing of what it holds is told: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("cannot read {file}: {source}")]
    Unreadable { file: String, source: std::io::Error },
    #[error("{file} holds no token: {reason}")]
    NoToken { file: String, reason: &'static str },
}

/// What of a token is ours to know. Whether it is good, Kafka says.
#[derive(Deserialize)]
struct Claims {
    /// When it expires, in seconds since 1970.
    exp: Option<f64>,
    sub: Option<String>,
}

/// Reads the token that is in the file now.
pub(crate) fn read(file: &Path) -> Result<OAuthToken, TokenError> {
    let name = || file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|source| TokenError::Unreadable { file: name(), source })?;
    let no_token = |reason| TokenError::NoToken { file: name(), reason };
    let token = text.trim_end_matches(['\r', '\n']);
    let claims = token.split('.').nth(1);
    let claims = claims.ok_or_else(|| no_token("a JWT has three parts with dots between them"))?;
    let claims = BASE64_URL_SAFE_NO_PAD
        .decode(claims)
        .map_err(|_| no_token("its claims are not base64url"))?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| no_token("its claims are no JSON"))?;
    let expires_at = claims.exp.ok_or_else(|| no_token("it has no exp"))?;
    Ok(OAuthToken {
        token: token.to_owned(),
        // For librdkafka's own log.
        principal_name: claims.sub.unwrap_or_else(|| "unknown".to_owned()),
        // A time in milliseconds has room in both.
        #[allow(clippy::cast_possible_truncation)]
        lifetime_ms: (expires_at * 1000.0) as i64,
    })
}

/// What each context of a client answers when librdkafka wants a fresh token.
pub(crate) fn fresh(file: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
    let token = read(Path::new(file.unwrap_or_default()));
    if let Err(error) = &token {
        tracing::warn!(%error, "no fresh token for Kafka; the old one is used for as long as it is good");
    }
    Ok(token?)
}

/// Makes a consumer that has its token before anything is asked of it.
pub(crate) fn consumer<C: ConsumerContext + 'static>(
    config: &ClientConfig,
    context: C,
) -> Result<BaseConsumer<C>, KafkaError> {
    use rdkafka::consumer::Consumer;
    let consumer: BaseConsumer<C> = config.create_with_context(context)?;
    introduce(config, consumer.client())?;
    Ok(consumer)
}

/// A producer that can be asked at once.
pub(crate) fn producer(config: &ClientConfig) -> Result<BaseProducer<Plain>, KafkaError> {
    use rdkafka::producer::Producer;
    let producer: BaseProducer<Plain> = config.create_with_context(Plain)?;
    introduce(config, producer.client())?;
    Ok(producer)
}

/// Gives a client its first token, if it needs one. It is given the next ones when it is polled; some of ours ask
/// something before that, or are never polled.
pub(crate) fn introduce<C: ClientContext>(
    config: &ClientConfig,
    client: &Client<C>,
) -> Result<(), KafkaError> {
    let Some(file) = config.get(FILE) else {
        return Ok(());
    };
    let token = read(Path::new(file)).map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    set_token(client, &token.token, &token.principal_name, token.lifetime_ms)
        .map_err(|reason| KafkaError::ClientCreation(format!("the token in {file} is not taken: {reason}")))
}

/// The context of a client of which nothing is to be heard but that it needs a token.
#[derive(Clone, Default)]
pub(crate) struct Plain;

impl ClientContext for Plain {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, file: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        fresh(file)
    }
}

impl ConsumerContext for Plain {}

impl ProducerContext for Plain {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::read;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_says_itself_when_it_expires_and_whose_it_is() {
        let token = read(file(&(jwt(r#"{"exp": 1700000000, "sub": "ada"}"#) + "\n")).path()).unwrap();
        assert_eq!(
            (token.lifetime_ms, token.principal_name.as_str()),
            (1_700_000_000_000, "ada")
        );
        assert_eq!(token.token, jwt(r#"{"exp": 1700000000, "sub": "ada"}"#));
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        for (text, said) in [
            ("kestrel-canary".to_owned(), "three parts"),
            ("a.kestrel-canary!.b".to_owned(), "base64url"),
            (jwt("kestrel-canary"), "no JSON"),
            (jwt(r#"{"sub": "kestrel-canary"}"#), "no exp"),
        ] {
            let error = read(file(&text).path()).map(|_| ()).unwrap_err().to_string();
            assert!(
                error.contains(said) && !error.contains("canary"),
                "{text}: {error}"
            );
        }
    }
}

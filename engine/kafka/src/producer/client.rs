//! krafka's client, from the same settings as librdkafka's.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krafka::Kafka;
use krafka::auth::{AuthConfig, OAuthBearerToken, TlsConfig};
use krafka::error::KrafkaError;
use rdkafka::ClientConfig;

use crate::KafkaSettings;
use crate::security::token;

/// A request of a transaction is answered in milliseconds, or by a broker that has gone.
const REQUEST_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// As librdkafka's clients have it: see [`KafkaSettings::client`].
const METADATA_MAX: Duration = Duration::from_secs(5);

/// A second more than what krafka takes for too short.
const TOKEN_KEPT_MIN: Duration = Duration::from_secs(31);

/// There is no client that writes transactions.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// A setting that the other clients know, and this one does not.
    #[error("{key} cannot be {value} for transactions; it can be {instead}")]
    Unknown {
        key: &'static str,
        value: String,
        instead: &'static str,
    },
    #[error(transparent)]
    Client(#[from] KrafkaError),
}

/// Connects, to begin with to one of the brokers that are to be asked first.
pub(crate) async fn connect(kafka: &KafkaSettings) -> Result<Kafka, ClientError> {
    let config = kafka.client();
    let client = Kafka::builder(kafka.bootstrap_servers.as_str())
        .client_id(config.get("client.id").unwrap_or_default())
        .request_timeout(REQUEST_MAX)
        .connect_timeout(CONNECT_MAX)
        .metadata_max_age(METADATA_MAX)
        .security(security(&config)?);
    Ok(client.connect().await?)
}

/// Who we are, and whom we trust. From librdkafka's settings, because an operator may have given them as such.
fn security(config: &ClientConfig) -> Result<AuthConfig, ClientError> {
    let protocol = config.get("security.protocol").unwrap_or("plaintext");
    let (has_tls, has_identity) = match protocol.to_ascii_lowercase().as_str() {
        "plaintext" => (false, false),
        "ssl" => (true, false),
        "sasl_plaintext" => (false, true),
        "sasl_ssl" => (true, true),
        _ => {
            return Err(ClientError::Unknown {
                key: "security.protocol",
                value: protocol.to_owned(),
                instead: "plaintext, ssl, sasl_plaintext or sasl_ssl",
            });
        }
    };
    match (has_identity, has_tls) {
        (false, false) => Ok(AuthConfig::plaintext()),
        (false, true) => Ok(AuthConfig::ssl(tls(config))),
        (true, false) => identity(config),
        (true, true) => Ok(identity(config)?.with_tls(tls(config))),
    }
}

fn tls(config: &ClientConfig) -> TlsConfig {
    let tls = match config.get("ssl.ca.location") {
        Some(file) => TlsConfig::new().with_ca_cert(file),
        None => TlsConfig::new().with_native_roots(),
    };
    match (
        config.get("ssl.certificate.location"),
        config.get("ssl.key.location"),
    ) {
        (Some(certificate), Some(key)) => tls.with_client_cert(certificate, key),
        _ => tls,
    }
}

fn identity(config: &ClientConfig) -> Result<AuthConfig, ClientError> {
    let text = |key: &str| config.get(key).unwrap_or_default().to_owned();
    let (name, password) = (text("sasl.username"), text("sasl.password"));
    let mechanism = config.get("sasl.mechanism").or(config.get("sasl.mechanisms"));
    match mechanism.unwrap_or_default() {
        "PLAIN" => Ok(AuthConfig::sasl_plain(name, password)),
        "SCRAM-SHA-256" => Ok(AuthConfig::sasl_scram_sha256(name, password)),
        "SCRAM-SHA-512" => Ok(AuthConfig::sasl_scram_sha512(name, password)),
        "OAUTHBEARER" => {
            let file = PathBuf::from(text(token::FILE));
            Ok(AuthConfig::sasl_oauthbearer_provider(move || {
                std::future::ready(bearer(&file))
            }))
        }
        other => Err(ClientError::Unknown {
            key: "sasl.mechanism",
            value: other.to_owned(),
            instead: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
        }),
    }
}

/// The token that is in the file now. krafka keeps one until 30 s before its end, and from then on reads the file without a pause:
/// of one that is good for less it is told another end, by which it is read again after a second. Whether it is good, Kafka says.
fn bearer(file: &Path) -> Result<OAuthBearerToken, KrafkaError> {
    let token = token::read(file).map_err(|error| KrafkaError::Auth {
        message: error.to_string(),
        source: None,
    })?;
    let soonest = SystemTime::now() + TOKEN_KEPT_MIN;
    let soonest = soonest.duration_since(UNIX_EPOCH).unwrap_or_default();
    let soonest = i64::try_from(soonest.as_millis()).unwrap_or(i64::MAX);
    Ok(OAuthBearerToken::new(token.token).with_lifetime_ms(token.lifetime_ms.max(soonest)))
}

#[cfg(test)]
mod tests {
    use krafka::auth::{SaslMechanism, SecurityProtocol};
    use rdkafka::ClientConfig;

    use super::{ClientError, security};

    fn config(settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config
    }

    #[test]
    fn transactions_are_secured_as_all_else_is() {
        let of = |settings: &[(&str, &str)]| {
            let auth = security(&config(settings)).unwrap();
            (auth.security_protocol().clone(), auth.sasl_mechanism().cloned())
        };
        assert_eq!(of(&[]), (SecurityProtocol::Plaintext, None));
        assert_eq!(
            of(&[("security.protocol", "SSL"), ("ssl.ca.location", "ca.pem")]),
            (SecurityProtocol::Ssl, None)
        );
        for (name, mechanism) in [
            ("PLAIN", SaslMechanism::Plain),
            ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
            ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
            ("OAUTHBEARER", SaslMechanism::OAuthBearer),
        ] {
            let plain = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", name)];
            assert_eq!(
                of(&plain),
                (SecurityProtocol::SaslPlaintext, Some(mechanism.clone()))
            );
            // librdkafka has two names for it.
            let over_tls = [("security.protocol", "sasl_ssl"), ("sasl.mechanisms", name)];
            assert_eq!(of(&over_tls), (SecurityProtocol::SaslSsl, Some(mechanism)));
        }
    }

    #[test]
    fn who_we_are_is_not_guessed() {
        for (settings, said) in [
            (
                vec![("security.protocol", "tls")],
                "security.protocol cannot be tls",
            ),
            (
                vec![("security.protocol", "sasl_ssl"), ("sasl.mechanism", "GSSAPI")],
                "sasl.mechanism cannot be GSSAPI",
            ),
        ] {
            let error = security(&config(&settings)).map(|_| ()).unwrap_err();
            assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
            assert!(error.to_string().starts_with(said), "{error}");
        }
    }
}

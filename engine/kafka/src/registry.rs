//! The schema registry, and records that name their schema in it.

mod inspect;
mod record;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use apache_avro::Schema;
use foldline_core::{AggregateType, Domains, result_codec, snapshot_codec};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use schema_registry_converter::async_impl::schema_registry::{SrSettings, get_schema_by_id, post_schema};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};
use serde_json::{Value, json};

pub use self::inspect::{Accepts, Inspected};
pub use self::record::{ReadError, RecordReader, wire_format};
pub(crate) use self::record::{begin_wire_format, split_wire_format};
use crate::security::SecuritySettings;
use crate::{KafkaSettings, TopicNames};

const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Of what a registry says, for whoever reads the error.
const REASON_CHARS_MAX: usize = 500;
/// The registry's own code, in the body of a 404:
/// <https://docs.confluent.io/platform/current/schema-registry/develop/api.html#schemas>.
const SCHEMA_NOT_FOUND: u32 = 40403;
/// What the converter puts in place of the code of an answer that has none: whoever gave it is no registry.
const NO_CODE: u32 = 0;
/// How the converter begins what it says of an answer that is no success.
const WITH_STATUS: &str = "HTTP request to schema registry failed with status ";

/// Which changes of a subject's schema are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Every version reads what every other one has written: all but commands.
    FullTransitive,
    /// The newest version reads what every older one has written: commands.
    BackwardTransitive,
}

impl Compatibility {
    /// As the registry has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullTransitive => "FULL_TRANSITIVE",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
        }
    }
}

/// A subject and its schema.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name: that of the topic, and `-value`.
    pub name: String,
    /// The schema that the code has.
    pub schema: Value,
    /// Which changes of it are allowed.
    pub compatibility: Compatibility,
}

/// A subject that was registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its name.
    pub subject: String,
    /// The id of its schema.
    pub id: u32,
    /// Whether the registry did not have this schema before.
    pub new: bool,
}

/// The registry's no.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It does not answer, or what answers in its place is no registry that works: try again.
    #[error("the schema registry at {url} does not answer: {reason}")]
    Unavailable {
        /// Who was asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The schema breaks its subject's compatibility.
    #[error("the schema of {subject} is not {compatibility} with those registered before: {reason}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// What is asked of it.
        compatibility: &'static str,
        /// What breaks it.
        reason: String,
    },
    /// A service's schema is not registered.
    #[error("the schema of {subject} is not registered; `foldline schemas register` does it")]
    NotRegistered {
        /// The subject.
        subject: String,
    },
    /// It gives two answers that cannot both be true. What was written by either could not be read again.
    #[error(
        "the schema registry at {url} says that the schema of {subject} has the id {id}, and has another one by that \
         id, or none: nothing is read or written by its answers"
    )]
    Contradicts {
        /// Who was asked.
        url: String,
        /// The subject.
        subject: String,
        /// The id of its schema, as it says.
        id: u32,
    },
    /// Something else.
    #[error("the schema registry answers {status} to {doing}: {reason}")]
    Refused {
        /// The status code.
        status: u16,
        /// What was asked.
        doing: String,
        /// What it says.
        reason: String,
    },
}

/// Every subject that the domains need.
pub fn subjects(names: &TopicNames, domains: &Domains) -> Vec<Subject> {
    let of = |aggregate: &Arc<dyn AggregateType>| {
        let info = aggregate.info();
        let subject = |topic: String, schema: Value, compatibility| Subject {
            name: format!("{topic}-value"),
            schema,
            compatibility,
        };
        let commands = aggregate.command_codec().schema().clone();
        let events = aggregate.event_codec().schema().clone();
        let results = result_codec(info).schema().clone();
        let snapshots = snapshot_codec(info).schema().clone();
        [
            subject(names.commands(info), commands, Compatibility::BackwardTransitive),
            subject(names.events(info), events, Compatibility::FullTransitive),
            subject(names.results(info), results, Compatibility::FullTransitive),
            subject(names.snapshots(info), snapshots, Compatibility::FullTransitive),
        ]
    };
    domains.aggregates().iter().flat_map(of).collect()
}

/// Registers every schema, and sets what changes are allowed from then on. Done at deployment, never by a
/// running service.
pub async fn register_schemas(
    kafka: &KafkaSettings,
    domains: &Domains,
) -> Result<Vec<Registered>, RegistryError> {
    let registry = Registry::new(kafka)?;
    let mut registered = Vec::new();
    for subject in subjects(&kafka.topics(), domains) {
        registered.push(registry.register(&subject).await?);
    }
    Ok(registered)
}

/// A client of the registry.
#[derive(Clone)]
pub struct Registry {
    url: String,
    http: reqwest::Client,
    converter: SrSettings,
}

impl Registry {
    /// A client; nothing is asked yet.
    pub fn new(kafka: &KafkaSettings) -> Result<Self, RegistryError> {
        let url = kafka.schema_registry.trim_end_matches('/').to_owned();
        let unusable = |reason: String| RegistryError::Unavailable {
            url: url.clone(),
            reason,
        };
        let client = || client(&kafka.security).map_err(unusable);
        let http = client()?.timeout(REQUEST_MAX).no_proxy().build();
        let mut converter = SrSettings::new_builder(url.clone());
        let converter = converter.no_proxy().set_timeout(REQUEST_MAX);
        let converter = converter.build_with(client()?);
        Ok(Self {
            http: http.map_err(|error| unusable(error.to_string()))?,
            converter: converter.map_err(|error| unusable(error.to_string()))?,
            url,
        })
    }

    /// Registers a subject's schema.
    pub async fn register(&self, subject: &Subject) -> Result<Registered, RegistryError> {
        let known = self.find(subject).await?;
        if known.is_none() {
            // Apicurio enforces nothing unless told to, and a subject has no setting before its first version.
            if self.exists(&subject.name).await? {
                self.set_compatibility(subject).await?;
            }
            let text = subject.schema.to_string();
            let schema = SuppliedSchema::new(None, SchemaType::Avro, text);
            let posted = post_schema(&self.converter, subject.name.clone(), schema).await;
            posted.map_err(|error| self.not_posted(subject, &error))?;
        }
        self.set_compatibility(subject).await?;
        let id = self.id_of(subject).await?;
        Ok(Registered {
            subject: subject.name.clone(),
            id,
            new: known.is_none(),
        })
    }

    /// The id of a subject's schema, which must be registered.
    pub async fn id_of(&self, subject: &Subject) -> Result<u32, RegistryError> {
        let id = self.find(subject).await?;
        id.ok_or_else(|| RegistryError::NotRegistered {
            subject: subject.name.clone(),
        })
    }

    async fn find(&self, subject: &Subject) -> Result<Option<u32>, RegistryError> {
        let url = format!("{}/subjects/{}", self.url, subject.name);
        let body = json!({ "schema": subject.schema.to_string() });
        let response = self
            .http
            .post(url)
            .json(&body)
            .send()
            .await
            .map_err(|error| self.away(&error))?;
        if response.status() == StatusCode::NOT_FOUND {
            // A proxy, or another program at this address, has no codes.
            let said = response.json::<RawError>().await;
            return said
                .map(|_| None)
                .map_err(|_| self.unusable("its answer is a 404 of no registry"));
        }
        let answer = self.answer(response, "a schema's id").await?;
        let id = answer.get("id").and_then(Value::as_u64);
        let id = id.and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| self.unusable("its answer has no id of a schema"))?;
        self.has_by(id, subject).await?;
        Ok(Some(id))
    }

    /// Asks for the schema of an id that was given for ours: whatever was written by a wrong id stays in the log for ever.
    async fn has_by(&self, id: u32, subject: &Subject) -> Result<(), RegistryError> {
        let ours = Schema::parse(&subject.schema).map(|schema| schema.canonical_form());
        let theirs = self.schema(id).await?.map(|schema| schema.canonical_form());
        if theirs.is_some() && theirs == ours.ok() {
            return Ok(());
        }
        Err(RegistryError::Contradicts {
            url: self.url.clone(),
            subject: subject.name.clone(),
            id,
        })
    }

    async fn exists(&self, subject: &str) -> Result<bool, RegistryError> {
        let url = format!("{}/subjects/{subject}/versions", self.url);
        let response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| self.away(&error))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.answer(response, "the versions of a subject").await?;
        Ok(true)
    }

    async fn set_compatibility(&self, subject: &Subject) -> Result<(), RegistryError> {
        let url = format!("{}/config/{}", self.url, subject.name);
        let body = json!({ "compatibility": subject.compatibility.name() });
        let response = self
            .http
            .put(url)
            .json(&body)
            .send()
            .await
            .map_err(|error| self.away(&error))?;
        self.answer(response, "setting a subject's compatibility").await?;
        Ok(())
    }

    async fn answer(&self, response: reqwest::Response, doing: &str) -> Result<Value, RegistryError> {
        let status = response.status();
        let text = response.text().await.map_err(|error| self.away(&error))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|_| self.unusable("its answer is not JSON"));
        }
        let reason: String = text.chars().take(REASON_CHARS_MAX).collect();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.unusable(&format!("it answers {status} to {doing}: {reason}")));
        }
        Err(RegistryError::Refused {
            status: status.as_u16(),
            doing: doing.to_owned(),
            reason,
        })
    }

    /// A schema by its id; `None` if there is none.
    pub(crate) async fn schema(&self, id: u32) -> Result<Option<Schema>, RegistryError> {
        match get_schema_by_id(id, &self.converter).await {
            Ok(registered) => Ok(Schema::parse_str(&registered.schema).ok()),
            Err(error) if says_unknown(&error) => Ok(None),
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    /// Only the registry itself says that a schema breaks its rules. What is in its way, or that it is ill, is no verdict.
    fn not_posted(&self, subject: &Subject, error: &SRCError) -> RegistryError {
        let reason = error.to_string();
        let is_its_own = said(error).is_some_and(|said| said.error_code != NO_CODE);
        match status(error) {
            Some(StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) if is_its_own => {
                RegistryError::Incompatible {
                    subject: subject.name.clone(),
                    compatibility: subject.compatibility.name(),
                    reason,
                }
            }
            Some(status) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                RegistryError::Refused {
                    status: status.as_u16(),
                    doing: "registering a schema".to_owned(),
                    reason,
                }
            }
            _ => self.unusable(&reason),
        }
    }

    fn away(&self, error: &reqwest::Error) -> RegistryError {
        self.unusable(&error.to_string())
    }

    fn unusable(&self, reason: &str) -> RegistryError {
        RegistryError::Unavailable {
            url: self.url.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// Whether it is the registry that says that it has no such schema. Any other refusal, of a proxy before it, or of a registry
/// that is ill, says nothing about the record that was to be read: for that one to be set aside would be wrong.
fn says_unknown(error: &SRCError) -> bool {
    said(error).is_some_and(|said| said.error_code == SCHEMA_NOT_FOUND)
}

/// The body of an answer that was no success.
fn said(error: &SRCError) -> Option<&RawError> {
    error.source()?.downcast_ref()
}

/// The status of that answer, which the converter tells in its text alone.
fn status(error: &SRCError) -> Option<StatusCode> {
    let status = error.error.strip_prefix(WITH_STATUS)?;
    status.split(' ').next()?.parse().ok()
}

/// A client that shows who this process is, and trusts whom it is to.
fn client(security: &SecuritySettings) -> Result<reqwest::ClientBuilder, String> {
    let mut client = reqwest::Client::builder();
    if let Some(path) = &security.registry_ca {
        let unusable = |error: &dyn std::fmt::Display| format!("cannot use {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
        let known = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&error))?;
        client = client.tls_certs_merge(known);
    }
    if let Some(authorization) = security.registry_authorization() {
        let value = HeaderValue::from_str(&authorization);
        let mut value =
            value.map_err(|_| "the registry's password or token is not of a header".to_owned())?;
        value.set_sensitive(true);
        client = client.default_headers([(AUTHORIZATION, value)].into_iter().collect());
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use schema_registry_converter::error::SRCError;
    use schema_registry_converter::schema_registry_common::RawError;
    use serde_json::json;

    use super::{Compatibility, Registry, RegistryError, Subject, WITH_STATUS};
    use crate::sim::nowhere;

    /// What becomes of an answer to a schema that was posted.
    fn answered(status: &str, error_code: u32) -> RegistryError {
        let body = json!({"error_code": error_code, "message": "so it is"});
        let body: RawError = serde_json::from_value(body).unwrap();
        let error = SRCError::non_retryable_with_cause(body, &format!("{WITH_STATUS}{status}"));
        let subject = Subject {
            name: "coats-value".to_owned(),
            schema: json!({}),
            compatibility: Compatibility::FullTransitive,
        };
        Registry::new(&nowhere()).unwrap().not_posted(&subject, &error)
    }

    #[test]
    fn only_the_registry_says_that_a_schema_is_not_compatible() {
        for (status, code) in [("409 Conflict", 409), ("422 Unprocessable Entity", 42201)] {
            let error = answered(status, code);
            assert!(matches!(error, RegistryError::Incompatible { .. }), "{error}");
            // By a proxy, or by another program at this address.
            let error = answered(status, 0);
            assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
        }
        let error = answered("403 Forbidden", 403);
        assert!(
            matches!(error, RegistryError::Refused { status: 403, .. }),
            "{error}"
        );
        for status in ["500 Internal Server Error", "429 Too Many Requests", ""] {
            let error = answered(status, 50001);
            assert!(matches!(error, RegistryError::Unavailable { .. }), "{error}");
        }
    }
}

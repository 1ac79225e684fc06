//! What a registry has of a subject, and what it would say to the code's schema.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Registry, RegistryError, Subject};

/// A subject, as the registry has it.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Its versions, the oldest first, with their numbers.
    pub versions: Vec<(u64, Value)>,
    /// The changes that it allows; `None` if it has no setting of its own.
    pub compatibility: Option<String>,
    /// What it says to the code's schema.
    pub answer: Accepts,
}

/// What a registry says to a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepts {
    /// It has it, as this version.
    Has(u64),
    /// It would take it.
    Would,
    /// It would not, because of this.
    Refuses(String),
}

impl Registry {
    /// Asks, and changes nothing.
    pub async fn inspect(&self, subject: &Subject) -> Result<Inspected, RegistryError> {
        let mut versions = Vec::new();
        let path = format!("/subjects/{}/versions", subject.name);
        let listed = self
            .ask(&path, "the versions of a subject")
            .await?
            .unwrap_or_default();
        for version in listed.as_array().into_iter().flatten().filter_map(Value::as_u64) {
            let found = self
                .ask(&format!("{path}/{version}"), "a version of a subject")
                .await?;
            let text = found
                .as_ref()
                .and_then(|found| found["schema"].as_str())
                .unwrap_or_default();
            versions.push((version, serde_json::from_str(text).unwrap_or_default()));
        }
        let setting = self
            .ask(&format!("/config/{}", subject.name), "what a subject allows")
            .await?;
        let compatibility = setting
            .as_ref()
            .and_then(|found| found["compatibilityLevel"].as_str());
        let known = versions.iter().find(|(_, schema)| *schema == subject.schema);
        Ok(Inspected {
            compatibility: compatibility.map(str::to_owned),
            answer: match known {
                Some((version, _)) => Accepts::Has(*version),
                None if versions.is_empty() => Accepts::Would,
                None => self.would_take(subject).await?,
            },
            versions,
        })
    }

    async fn would_take(&self, subject: &Subject) -> Result<Accepts, RegistryError> {
        let url = format!(
            "{}/compatibility/subjects/{}/versions?verbose=true",
            self.url, subject.name
        );
        let body = json!({ "schema": subject.schema.to_string(), "schemaType": "AVRO" });
        let response = self
            .http
            .post(url)
            .json(&body)
            .send()
            .await
            .map_err(|error| self.away(&error))?;
        let answer = self.answer(response, "whether it would take a schema").await?;
        match answer["is_compatible"].as_bool() {
            Some(true) => Ok(Accepts::Would),
            _ => {
                let messages = answer["messages"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                Ok(Accepts::Refuses(messages.collect::<Vec<_>>().join("; ")))
            }
        }
    }

    /// GET; `None` if there is no such thing.
    async fn ask(&self, path: &str, doing: &str) -> Result<Option<Value>, RegistryError> {
        let response = self
            .http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .map_err(|error| self.away(&error))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.answer(response, doing).await.map(Some)
    }
}

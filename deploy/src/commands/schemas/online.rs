//! What the registry would say, before anything is deployed.

use std::path::Path;

use foldline_core::{Contract, Domains, contracts};
use foldline_kafka::{Accepts, Inspected, KafkaSettings, Registry, Subject, subjects};
use serde_json::Value;

/// Prints what the registry has of each subject; returns what is wrong. Nothing is changed there.
pub(super) async fn check(
    kafka: &KafkaSettings,
    domains: &Domains,
    read: impl Fn(&Path) -> Option<String>,
) -> anyhow::Result<Vec<String>> {
    let registry = Registry::new(kafka)?;
    let contracts = contracts(domains);
    let mut problems = Vec::new();
    for subject in subjects(&kafka.topics(), domains) {
        let contract = contracts
            .iter()
            .find(|contract| format!("{}{}-value", kafka.topic_prefix, contract.topic()) == subject.name);
        let kept = contract.map(|contract| contract.kept(&read)).unwrap_or_default();
        let found = registry.inspect(&subject).await?;
        println!("{}: {}", subject.name, said(&found));
        problems.extend(wrong(&subject, &found, contract, &kept));
    }
    Ok(problems)
}

fn said(found: &Inspected) -> String {
    let versions = match found.versions.as_slice() {
        [] => return "not registered".to_owned(),
        [(only, _)] => format!("version {only}"),
        [(first, _), .., (last, _)] => format!("versions {first} to {last}"),
    };
    let allows = found.compatibility.as_deref().unwrap_or("no rule of its own");
    let answer = match &found.answer {
        Accepts::Has(version) => format!("the code's schema is version {version}"),
        Accepts::Would => "the code's schema is not registered, and would be accepted".to_owned(),
        Accepts::Refuses(_) => "the code's schema would be refused".to_owned(),
    };
    format!("{versions}, {allows}; {answer}")
}

fn wrong(subject: &Subject, found: &Inspected, contract: Option<&Contract>, kept: &[String]) -> Vec<String> {
    let (name, wanted) = (&subject.name, subject.compatibility.name());
    let mut problems = Vec::new();
    if let Accepts::Refuses(reason) = &found.answer {
        problems.push(format!("{name} would refuse the code's schema: {reason}"));
    }
    let allows = found.compatibility.as_deref().unwrap_or("nothing of its own");
    if !found.versions.is_empty() && allows != wanted {
        problems.push(format!(
            "{name} allows {allows}, and must allow {wanted}: `foldline schemas register` sets it"
        ));
    }
    let is_kept = |schema: &Value| {
        let same = |text: &String| serde_json::from_str::<Value>(text).is_ok_and(|kept| kept == *schema);
        kept.iter().any(same) || *schema == subject.schema
    };
    let unknown = found.versions.iter().filter(|(_, schema)| !is_kept(schema));
    problems.extend(unknown.map(|(version, _)| {
        let folder = contract.map(|contract| contract.folder.display().to_string()).unwrap_or_default();
        format!("version {version} of {name} is none of those that are kept in {folder}: somebody else registered it")
    }));
    problems
}

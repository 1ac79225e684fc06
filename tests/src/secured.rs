//! A broker with one more listener, at which clients must say who they are.

use std::path::Path;

use clap::Parser;
use foldline_kafka::KafkaSettings;

/// Settings of a broker with a listener `SECURE` at this port, which speaks this protocol. More settings of that listener
/// follow, without `listener.name.secure.`.
pub fn listener(port: u16, protocol: &str, more: Vec<(&str, String)>) -> Vec<(String, String)> {
    let all = format!(
        "BROKER://127.0.0.1:@port@,SECURE://127.0.0.1:{port},CONTROLLER://127.0.0.1:@controller_port@"
    );
    let advertised = format!("BROKER://127.0.0.1:@port@,SECURE://127.0.0.1:{port}");
    let protocols = format!("BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:{protocol}");
    let settings = [
        ("listeners", all),
        ("advertised.listeners", advertised),
        ("listener.security.protocol.map", protocols),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value)).into_iter();
    let more = more.into_iter();
    settings
        .chain(more.map(|(key, value)| (format!("listener.name.secure.{key}"), value)))
        .collect()
}

/// As [`listener`], for clients with these names and passwords, over connections that are not encrypted.
pub fn with_passwords(port: u16, users: &[(&str, &str)]) -> Vec<(String, String)> {
    let users = users.iter();
    let users: Vec<String> = users
        .map(|(name, password)| format!("user_{name}=\"{password}\""))
        .collect();
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let login = format!("{module} {};", users.join(" "));
    let more = vec![
        ("sasl.enabled.mechanisms", "PLAIN".to_owned()),
        ("plain.sasl.jaas.config", login),
    ];
    listener(port, "SASL_PLAINTEXT", more)
}

/// Settings of a broker that lets nobody do anything that no list says, but for those who come by its other listeners.
pub fn with_lists() -> [(String, String); 2] {
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let settings = [
        ("authorizer.class.name", authorizer),
        ("super.users", "User:ANONYMOUS"),
    ];
    settings.map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// Arguments by which a process shows who it is at a listener of [`with_passwords`]. The password goes into a file in the
/// folder.
pub fn identity(folder: &Path, name: &str, password: &str) -> Vec<String> {
    let file = folder.join(format!("password-of-{name}"));
    std::fs::write(&file, password).expect("a file");
    let arguments = [
        ["--kafka-protocol", "sasl_plaintext"],
        ["--kafka-mechanism", "PLAIN"],
        ["--kafka-username", name],
        ["--kafka-password-file", &file.display().to_string()],
    ];
    let arguments = arguments.as_flattened().iter();
    arguments.map(|text| (*text).to_owned()).collect()
}

/// The same Kafka by the listener at this port, for a process with these arguments.
pub fn settings(kafka: &KafkaSettings, port: u16, identity: &[String]) -> KafkaSettings {
    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        kafka: KafkaSettings,
    }
    let own = [
        "program".to_owned(),
        format!("--bootstrap-servers=127.0.0.1:{port}"),
        format!("--schema-registry={}", kafka.schema_registry),
        format!("--topic-prefix={}", kafka.topic_prefix),
    ];
    Program::parse_from(own.iter().chain(identity)).kafka
}

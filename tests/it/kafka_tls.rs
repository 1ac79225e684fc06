//! TLS both ways and SCRAM, for a program that was built with OpenSSL (`--features kafka-tls`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foldline_kafka::KafkaSettings;
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::{python, secured, stack};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use serde_json::json;

use crate::PROGRAM;

const PASSWORD: &str = "kestrel-4711";
const PATIENCE: Duration = Duration::from_secs(60);
/// The client of the examples makes the user: rdkafka has no call for it.
const ADD_USER: &str = "
import sys
from confluent_kafka.admin import (AdminClient, ScramCredentialInfo, ScramMechanism,
                                   UserScramCredentialUpsertion)
admin = AdminClient({'bootstrap.servers': sys.argv[1]})
how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
user = UserScramCredentialUpsertion('foldline', how, sys.argv[2].encode())
for done in admin.alter_user_scram_credentials([user]).values():
    done.result()
";

/// An authority, and what it vouches for.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = folder.to_owned();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes `<name>.pem` and `<name>.key`, and both into `<name>.all` as Kafka has it.
    fn vouches_for(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = named(name);
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        std::fs::write(self.folder.join(format!("{name}.pem")), &cert).unwrap();
        std::fs::write(self.folder.join(format!("{name}.key")), &key).unwrap();
        let all = format!("{key}{cert}{}", self.issuer.pem());
        std::fs::write(self.folder.join(format!("{name}.all")), all).unwrap();
    }
}

/// A certificate that has the name of its issuer is taken for self-signed by OpenSSL.
fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// As Kafka has it.
fn listener(port: u16, authority: &Authority) -> Vec<(String, String)> {
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let more = vec![
        ("sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
        ("scram-sha-512.sasl.jaas.config", login.to_owned()),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", authority.file("broker.all")),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", authority.file("ca.pem")),
        ("ssl.client.auth", "required".to_owned()),
    ];
    secured::listener(port, "SASL_SSL", more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_and_its_clients_know_each_other_by_certificates_and_passwords() {
    let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [authority, other] = [&folder, &elsewhere].map(|folder| Authority::new(folder.path()));
    authority.vouches_for("broker");
    authority.vouches_for("client");
    other.vouches_for("client");
    let port = stack::free_port();
    let settings = listener(port, &authority);
    let (_stack, kafka) = stack::own("tls", |options| options.broker_config.extend(settings)).await;
    let python = python::with_examples_packages().expect("a Python with the packages of examples/python");
    let mut add = Command::new(python);
    add.args(["-c", ADD_USER, &kafka.bootstrap_servers, PASSWORD]);
    assert!(add.status().unwrap().success());

    let behind = KafkaSettings {
        bootstrap_servers: format!("127.0.0.1:{port}"),
        ..kafka
    };
    let password = |text: &str| {
        let path = folder.path().join(format!("password-{text}"));
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let identity = |trusts: &Authority, is: &Authority, password: &str| {
        let arguments = [
            ["--kafka-protocol", "sasl_ssl"],
            ["--kafka-ca", &trusts.file("ca.pem")],
            ["--kafka-cert", &is.file("client.pem")],
            ["--kafka-key", &is.file("client.key")],
            ["--kafka-mechanism", "SCRAM-SHA-512"],
            ["--kafka-username", "foldline"],
            ["--kafka-password-file", password],
        ];
        let arguments = arguments.as_flattened().iter();
        arguments.map(|text| (*text).to_owned()).collect::<Vec<_>>()
    };
    let launch = async |name: &str, identity: Vec<String>| {
        let more: Vec<&str> = identity.iter().map(String::as_str).collect();
        Handler::launch_with(&behind, name, PROGRAM, &more).await
    };
    let (right, wrong) = (password(PASSWORD), password("siskin"));
    let handler = launch("known", identity(&authority, &authority, &right)).await;
    handler.wait_until_ready().await;
    let soup =
        json!({"type": "AddMenuItem", "description": "Soup", "price": {"amount": 5, "currency": "EUR"}});
    handler
        .write()
        .post("/menu/items/soup/commands", &soup)
        .await
        .expect(201);

    for (name, identity) in [
        ("unknown", identity(&authority, &authority, &wrong)),
        ("uncertified", identity(&authority, &other, &right)),
        ("misled", identity(&other, &authority, &right)),
    ] {
        let refused = launch(name, identity).await;
        let said = async || refused.log().contains("cannot start yet").then_some(());
        eventually(name, PATIENCE, said).await;
        assert!(!refused.write().is_ready().await, "{name}");
    }
}

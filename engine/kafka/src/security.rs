//! How this process shows Kafka and the registry who it is, and how it knows them. Secrets come from files: an argument
//! and an environment variable can be read by others on the machine.

pub(crate) mod token;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use rdkafka::ClientConfig;

use crate::settings::KafkaSettingsError;

/// Certificates and passwords of the connections to Kafka and to the registry.
#[derive(Debug, Clone, Default, Args)]
pub struct SecuritySettings {
    /// How connections to Kafka are secured: plaintext, ssl, sasl_plaintext or sasl_ssl. The default is plaintext.
    #[arg(long, env = "FOLDLINE_KAFKA_PROTOCOL", value_name = "NAME", value_parser = protocol)]
    pub kafka_protocol: Option<String>,
    /// The authorities that vouch for the brokers: a PEM file. Without it, those that the machine knows.
    #[arg(long, env = "FOLDLINE_KAFKA_CA", value_name = "FILE")]
    pub kafka_ca: Option<PathBuf>,
    /// The certificate by which brokers know this process: a PEM file.
    #[arg(long, env = "FOLDLINE_KAFKA_CERT", value_name = "FILE")]
    pub kafka_cert: Option<PathBuf>,
    /// The private key of that certificate: a PEM file.
    #[arg(long, env = "FOLDLINE_KAFKA_KEY", value_name = "FILE")]
    pub kafka_key: Option<PathBuf>,
    /// How brokers check the password: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN.
    #[arg(long, env = "FOLDLINE_KAFKA_MECHANISM", value_name = "NAME", value_parser = mechanism)]
    pub kafka_mechanism: Option<String>,
    /// The name that brokers know this process by.
    #[arg(long, env = "FOLDLINE_KAFKA_USERNAME", value_name = "TEXT")]
    pub kafka_username: Option<String>,
    /// A file with the password for it.
    #[arg(long, env = "FOLDLINE_KAFKA_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::in_file)]
    pub kafka_password_file: Option<Secret>,
    /// A file with a bearer token by which brokers know this process (OAUTHBEARER), instead of a name and a password. It
    /// is read again before the token expires: whoever issues tokens keeps it fresh.
    #[arg(long, env = "FOLDLINE_KAFKA_TOKEN_FILE", value_name = "FILE", value_parser = token_file)]
    pub kafka_token_file: Option<PathBuf>,

    /// The authorities that vouch for the registry, beside those that the machine knows: a PEM file.
    #[arg(long, env = "FOLDLINE_REGISTRY_CA", value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
    /// The name that the registry knows this process by (basic authentication).
    #[arg(long, env = "FOLDLINE_REGISTRY_USERNAME", value_name = "TEXT")]
    pub registry_username: Option<String>,
    /// A file with the password for it.
    #[arg(long, env = "FOLDLINE_REGISTRY_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::in_file)]
    pub registry_password_file: Option<Secret>,
    /// A file with a bearer token for the registry.
    #[arg(long, env = "FOLDLINE_REGISTRY_TOKEN_FILE", value_name = "FILE", value_parser = Secret::in_file)]
    pub registry_token_file: Option<Secret>,
}

/// What must not be seen: it is not in what `Debug` writes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// Where it was read: by that another process is told the same.
    file: PathBuf,
}

impl Secret {
    /// Reads it from a file, in which a line may end behind it.
    fn in_file(file: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{file} is empty")),
            secret => Ok(Self {
                text: secret.to_owned(),
                file: file.into(),
            }),
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Whether this program was built with TLS to Kafka: librdkafka needs OpenSSL for it.
const HAS_TLS: bool = cfg!(feature = "tls");

fn protocol(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().as_str() {
        name @ ("plaintext" | "sasl_plaintext") => Ok(name.to_owned()),
        name @ ("ssl" | "sasl_ssl") => with_tls(name),
        _ => Err("must be plaintext, ssl, sasl_plaintext or sasl_ssl".to_owned()),
    }
}

fn mechanism(text: &str) -> Result<String, String> {
    match text.to_ascii_uppercase().as_str() {
        "PLAIN" => Ok("PLAIN".to_owned()),
        name @ ("SCRAM-SHA-256" | "SCRAM-SHA-512") => with_tls(name),
        _ => Err("must be SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN".to_owned()),
    }
}

/// Refuses at the start what will never be a token, and says nothing of it.
fn token_file(text: &str) -> Result<PathBuf, String> {
    with_tls("OAUTHBEARER")?;
    let file = PathBuf::from(text);
    token::read(&file).map_err(|error| error.to_string())?;
    Ok(file)
}

fn with_tls(name: &str) -> Result<String, String> {
    if HAS_TLS {
        Ok(name.to_owned())
    } else {
        Err("needs a program that was built with OpenSSL: `cargo build --features kafka-tls`".to_owned())
    }
}

/// Refuses a secret among librdkafka's settings: they are arguments, and are shown.
pub(crate) fn check_property(key: &str) -> Result<(), KafkaSettingsError> {
    let instead = match key {
        "sasl.password" => "give it in a file: --kafka-password-file",
        "ssl.key.password"
        | "ssl.keystore.password"
        | "ssl.key.pem"
        | "sasl.oauthbearer.client.secret"
        | "sasl.oauthbearer.client.credentials.client.secret"
        | "sasl.oauthbearer.assertion.private.key.passphrase"
        | "sasl.oauthbearer.assertion.private.key.pem" => {
            "it is a secret, and would be seen: use --kafka-key with a file that only this process can read"
        }
        _ => return Ok(()),
    };
    Err(KafkaSettingsError::SecretProperty {
        key: key.to_owned(),
        instead,
    })
}

impl SecuritySettings {
    /// Finds half an identity, and two in one place. clap would look at what stands on the command line and in the environment
    /// alone: it takes what stands in the file for what nobody has given.
    pub(crate) fn check(&self) -> Result<(), KafkaSettingsError> {
        let protocol = ("kafka-protocol", self.kafka_protocol.is_some());
        let cert = ("kafka-cert", self.kafka_cert.is_some());
        let key = ("kafka-key", self.kafka_key.is_some());
        let mechanism = ("kafka-mechanism", self.kafka_mechanism.is_some());
        let username = ("kafka-username", self.kafka_username.is_some());
        let password = ("kafka-password-file", self.kafka_password_file.is_some());
        let token = ("kafka-token-file", self.kafka_token_file.is_some());
        let name_there = ("registry-username", self.registry_username.is_some());
        let password_there = ("registry-password-file", self.registry_password_file.is_some());
        let token_there = ("registry-token-file", self.registry_token_file.is_some());
        let needs = [
            (cert, key),
            (key, cert),
            (mechanism, username),
            (mechanism, protocol),
            (username, password),
            (password, mechanism),
            (token, protocol),
            (name_there, password_there),
            (password_there, name_there),
        ];
        for ((given, is_given), (missing, is_there)) in needs {
            if is_given && !is_there {
                return Err(KafkaSettingsError::Missing { given, missing });
            }
        }
        for ((one, has_one), (other, has_other)) in [(token, mechanism), (token_there, name_there)] {
            if has_one && has_other {
                return Err(KafkaSettingsError::Exclusive { one, other });
            }
        }
        Ok(())
    }

    /// The arguments by which another process is told the same. Of a secret they name the file.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let text = |text: &Option<String>| text.as_ref().map(OsString::from);
        let file = |file: &Option<PathBuf>| file.as_ref().map(OsString::from);
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| OsString::from(&secret.file));
        let given = [
            ("kafka-protocol", text(&self.kafka_protocol)),
            ("kafka-ca", file(&self.kafka_ca)),
            ("kafka-cert", file(&self.kafka_cert)),
            ("kafka-key", file(&self.kafka_key)),
            ("kafka-mechanism", text(&self.kafka_mechanism)),
            ("kafka-username", text(&self.kafka_username)),
            ("kafka-password-file", secret(&self.kafka_password_file)),
            ("kafka-token-file", file(&self.kafka_token_file)),
            ("registry-ca", file(&self.registry_ca)),
            ("registry-username", text(&self.registry_username)),
            ("registry-password-file", secret(&self.registry_password_file)),
            ("registry-token-file", secret(&self.registry_token_file)),
        ];
        let argument = |(name, value): (&str, Option<OsString>)| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(value?);
            Some(argument)
        };
        given.into_iter().filter_map(argument).collect()
    }

    /// Sets what every client of Kafka needs.
    pub(crate) fn apply(&self, config: &mut ClientConfig) {
        let file = |path: &Option<PathBuf>| path.as_deref().map(|path: &Path| path.display().to_string());
        let settings = [
            ("security.protocol", self.kafka_protocol.clone()),
            ("ssl.ca.location", file(&self.kafka_ca)),
            ("ssl.certificate.location", file(&self.kafka_cert)),
            ("ssl.key.location", file(&self.kafka_key)),
            ("sasl.mechanism", self.mechanism()),
            (token::FILE, file(&self.kafka_token_file)),
            ("sasl.username", self.kafka_username.clone()),
            (
                "sasl.password",
                self.kafka_password_file
                    .as_ref()
                    .map(|secret| secret.expose().to_owned()),
            ),
        ];
        for (key, value) in settings {
            if let Some(value) = value {
                config.set(key, value);
            }
        }
    }
}

impl SecuritySettings {
    fn mechanism(&self) -> Option<String> {
        let bearer = self.kafka_token_file.as_ref().map(|_| "OAUTHBEARER".to_owned());
        bearer.or_else(|| self.kafka_mechanism.clone())
    }

    /// What the registry is to see in `Authorization`.
    pub(crate) fn registry_authorization(&self) -> Option<String> {
        if let Some(token) = &self.registry_token_file {
            return Some(format!("Bearer {}", token.expose()));
        }
        let (name, password) = (
            self.registry_username.as_ref()?,
            self.registry_password_file.as_ref()?,
        );
        let pair = BASE64_STANDARD.encode(format!("{name}:{}", password.expose()));
        Some(format!("Basic {pair}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Parser;

    use crate::KafkaSettings;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        kafka: KafkaSettings,
    }

    fn parsed(args: &[&str]) -> Result<KafkaSettings, String> {
        let args = ["program"].iter().chain(args);
        let program = Program::try_parse_from(args).map_err(|error| error.to_string())?;
        Ok(program.kafka)
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_password_comes_from_a_file_and_goes_to_the_client_alone() {
        let password = file("kestrel-canary\n");
        let path = password.path().to_str().unwrap();
        let settings = parsed(&[
            "--kafka-protocol=SASL_PLAINTEXT",
            "--kafka-mechanism=plain",
            "--kafka-username=ada",
            "--kafka-password-file",
            path,
        ])
        .unwrap();
        let client = settings.client();
        assert_eq!(client.get("sasl.password"), Some("kestrel-canary"));
        assert_eq!(client.get("sasl.username"), Some("ada"));
        assert_eq!(client.get("security.protocol"), Some("sasl_plaintext"));
        for shown in [
            format!("{settings:?}"),
            format!("{settings:#?}"),
            format!("{client:?}"),
        ] {
            assert!(!shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn half_of_an_identity_is_refused() {
        let password = file("x");
        let path = password.path().to_str().unwrap();
        for (args, said) in [
            (vec!["--kafka-username=ada"], "--kafka-password-file"),
            (vec!["--kafka-password-file", path], "--kafka-mechanism"),
            (vec!["--kafka-cert=a.pem"], "--kafka-key"),
            (vec!["--kafka-key=a.pem"], "--kafka-key needs --kafka-cert"),
            (vec!["--registry-username=ada"], "--registry-password-file"),
            (vec!["--kafka-password-file", "/nowhere"], "cannot read /nowhere"),
            (vec!["--kafka-protocol=tls"], "must be plaintext"),
        ] {
            let error = parsed(&args).unwrap_err();
            assert!(error.contains(said), "{args:?}: {error}");
        }
        let empty = file("\n");
        let error = parsed(&["--kafka-password-file", empty.path().to_str().unwrap()]).unwrap_err();
        assert!(error.contains("is empty"), "{error}");
    }

    #[test]
    fn who_shows_two_identities_is_refused() {
        let (password, token) = (file("x"), file("y"));
        let both = [
            "--registry-username=ada",
            "--registry-password-file",
            password.path().to_str().unwrap(),
            "--registry-token-file",
            token.path().to_str().unwrap(),
        ];
        let error = parsed(&both).unwrap_err();
        let said = "--registry-token-file and --registry-username exclude each other";
        assert!(error.contains(said), "{error}");
        assert!(parsed(&both[..3]).is_ok() && parsed(&both[3..]).is_ok());
    }

    #[test]
    fn a_secret_is_no_argument_and_is_not_told_when_it_is_refused() {
        for (setting, value, said) in [
            ("--kafka", "sasl.password=kestrel-canary", "--kafka-password-file"),
            (
                "--kafka",
                "sasl.password = kestrel-canary",
                "--kafka-password-file",
            ),
            (
                "--kafka",
                "ssl.key.pem=kestrel-canary",
                "ssl.key.pem cannot be set",
            ),
            (
                "--kafka",
                "sasl.oauthbearer.client.credentials.client.secret=kestrel-canary",
                "client.secret cannot be set",
            ),
            // The semicolon was part of the password.
            ("--kafka", "linger.ms=1;kestrel-canary", "KEY=VALUE"),
            (
                "--schema-registry",
                "http://ada:kestrel-canary@127.0.0.1/apis",
                "--registry-password-file",
            ),
            (
                "--schema-registry",
                "http://ada:kestrel/canary@127.0.0.1/apis",
                "--registry-password-file",
            ),
        ] {
            let error = parsed(&[setting, value]).unwrap_err();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("kestrel") && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn another_process_is_told_the_same_without_a_secret() {
        let (password, own) = (file("kestrel-canary"), file("kestrel-canary"));
        let args = [
            "--bootstrap-servers=a:1,b:2".to_owned(),
            "--schema-registry=http://127.0.0.1:1".to_owned(),
            "--topic-prefix=".to_owned(),
            "--kafka=linger.ms=1".to_owned(),
            "--kafka=debug=all".to_owned(),
            "--kafka-protocol=sasl_plaintext".to_owned(),
            "--kafka-ca=ca.pem".to_owned(),
            "--kafka-cert=own.pem".to_owned(),
            "--kafka-key=own.key".to_owned(),
            "--kafka-mechanism=PLAIN".to_owned(),
            "--kafka-username=ada".to_owned(),
            format!("--kafka-password-file={}", password.path().display()),
            "--registry-ca=ca.pem".to_owned(),
            "--registry-username=ada".to_owned(),
            format!("--registry-password-file={}", own.path().display()),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let told = parsed(&args).unwrap().arguments();
        let told: Vec<&str> = told.iter().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(told, args);
    }

    #[test]
    fn what_needs_openssl_says_how_to_build_it() {
        let asked = [["--kafka-protocol", "ssl"], ["--kafka-protocol", "sasl_ssl"]];
        for args in asked {
            match parsed(&args) {
                Ok(settings) => {
                    assert!(super::HAS_TLS && settings.client().get("security.protocol").is_some())
                }
                Err(error) => assert!(
                    !super::HAS_TLS && error.contains("--features kafka-tls"),
                    "{error}"
                ),
            }
        }
    }
}

//! An issuer of tokens, as the services know one: by a file with its public keys.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// Its name in tokens.
pub const ISSUER: &str = "https://issuer.test";
/// For whom it issues them.
pub const AUDIENCE: &str = "foldline";

/// An issuer.
pub struct Issuer {
    keys: Vec<(String, EncodingKey)>,
    file: PathBuf,
}

impl Issuer {
    /// One with a key, in this folder.
    pub fn new(folder: &Path) -> Self {
        let mut issuer = Self {
            keys: Vec::new(),
            file: folder.join("jwks.json"),
        };
        issuer.new_key();
        issuer
    }

    /// Signs with a new key from now on, beside the ones before it.
    pub fn new_key(&mut self) {
        let pair = rcgen::KeyPair::generate().expect("a key can be made");
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        self.keys.push((format!("key-{}", self.keys.len()), key));
        let public = self.keys.iter().map(|(id, key)| {
            let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).expect("a key of this algorithm");
            jwk.common.key_id = Some(id.clone());
            json!(jwk)
        });
        let set = json!({ "keys": public.collect::<Vec<_>>() });
        std::fs::write(&self.file, set.to_string()).expect("the file can be written");
    }

    /// How a service is told of it.
    pub fn arguments(&self) -> Vec<String> {
        let file = self.file.display().to_string();
        let arguments = [
            ["--auth", "jwt"],
            ["--auth-issuer", ISSUER],
            ["--auth-audience", AUDIENCE],
            ["--auth-jwks", &file],
            ["--auth-leeway", "1s"],
        ];
        arguments
            .as_flattened()
            .iter()
            .map(|text| (*text).to_owned())
            .collect()
    }

    /// A good token for some minutes.
    pub fn token(&self, subject: &str, scopes: &str) -> String {
        self.sign(&claims(subject, scopes))
    }

    /// A token that claims this.
    pub fn sign(&self, claims: &Value) -> String {
        let (id, key) = self.keys.last().expect("it has one from the beginning");
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(id.clone());
        encode(&header, claims, key).expect("claims are JSON")
    }
}

/// What a good token claims.
pub fn claims(subject: &str, scopes: &str) -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scopes, "exp": in_seconds(600) })
}

/// A time, as tokens have it.
pub fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is past 1970");
    i64::try_from(now.as_secs()).expect("there is time") + seconds
}

//! A token: whose it is and what it allows, once everything about it is right.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use super::caller::Caller;
use super::keys::{Keys, NoKey};

/// Longer ones are not looked at.
const BYTES_MAX: usize = 16 * 1024;

/// What an actor may have in a record, in bytes.
const SUBJECT_MAX: usize = 255;

/// What a token must be like.
pub(super) struct Verifier {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) leeway: Duration,
    pub(super) keys: Keys,
}

/// A caller, and how long its token is still good.
pub(super) struct Known {
    pub(super) caller: Caller,
    pub(super) lives_for: Duration,
}

/// Why a token is not taken. The texts go to clients: they say nothing of us.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is no bearer token")]
    Missing,
    #[error("the token is no JWT")]
    Malformed,
    #[error("the token is signed with an algorithm that is not allowed")]
    Algorithm,
    #[error("the token names a key that the issuer does not have")]
    UnknownKey,
    #[error("the token is not signed by the issuer")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is of another issuer")]
    Issuer,
    #[error("the token is for somebody else")]
    Audience,
    #[error("the token lacks a claim, or has one that cannot be understood")]
    Claims,
    #[error("the keys of the issuer cannot be read: {0}")]
    NoKeys(String),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    /// RFC 8693 and 9068: separated by spaces.
    #[serde(default)]
    scope: Scopes,
    /// What some issuers call it, as a list.
    #[serde(default)]
    scp: Scopes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    Text(String),
    List(Vec<String>),
}

impl Default for Scopes {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Scopes {
    fn names(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            Self::List(names) => names,
        }
    }
}

impl Verifier {
    pub(super) async fn verify(&self, token: Result<&str, Refused>) -> Result<Known, Refused> {
        let token = token?;
        if token.len() > BYTES_MAX {
            return Err(Refused::Malformed);
        }
        // An algorithm that there is not, `none` among them, is no header.
        let header = decode_header(token).map_err(|_| Refused::Malformed)?;
        // What is critical must be understood (RFC 7515, 4.1.11), and we know no such thing.
        if header.crit.is_some() {
            return Err(Refused::Malformed);
        }
        if !self.algorithms.contains(&header.alg) {
            return Err(Refused::Algorithm);
        }
        let key = self
            .keys
            .get(header.kid.as_deref())
            .await
            .map_err(|none| match none {
                NoKey::Unknown => Refused::UnknownKey,
                NoKey::Away(why) => Refused::NoKeys(why),
            })?;
        if !key.is_for(header.alg) {
            return Err(Refused::Algorithm);
        }
        let claims = decode::<Claims>(token, &key.key, &self.validation(header.alg));
        let claims = claims.map_err(|error| refused(error.kind()))?.claims;
        if claims.sub.is_empty() || claims.sub.len() > SUBJECT_MAX {
            return Err(Refused::Claims);
        }
        let scopes = claims.scope.names().into_iter().chain(claims.scp.names());
        Ok(Known {
            caller: Caller::new(claims.sub, scopes),
            lives_for: self.rest(claims.exp),
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    fn rest(&self, exp: f64) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // What is as far as a timer can reach is far enough.
        let exp = Duration::try_from_secs_f64(exp.clamp(0.0, 1e11)).unwrap_or_default();
        (exp + self.leeway)
            .saturating_sub(now)
            .min(Duration::from_secs(1 << 30))
    }
}

fn refused(kind: &ErrorKind) -> Refused {
    match kind {
        ErrorKind::InvalidSignature => Refused::Signature,
        ErrorKind::ExpiredSignature => Refused::Expired,
        ErrorKind::ImmatureSignature => Refused::NotYet,
        ErrorKind::InvalidIssuer => Refused::Issuer,
        ErrorKind::InvalidAudience => Refused::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Refused::Algorithm,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => {
            Refused::Claims
        }
        _ => Refused::Malformed,
    }
}

//! Who may ask: bearer tokens (JWT) of an OpenID issuer, and what their scopes allow.
//!
//! A service puts its routes behind [`Auth::guard`]. Each request then has a [`Caller`], and the route asks it what it
//! may: a request without one may nothing.

mod caller;
mod keys;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jsonwebtoken::Algorithm;
use tracing::{debug, warn};

pub use self::caller::{Action, Caller, Reach};
pub use self::keys::KeysError;
use self::keys::{Keys, Source};
use self::token::{Refused, Verifier};
use crate::{HttpSettings, Problem, parse_duration};

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMode {
    /// By a bearer token (JWT) in each request.
    Jwt,
    /// Not at all: everybody may do everything. For development.
    None,
}

/// Who may ask.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Authentication")]
pub struct AuthSettings {
    /// How callers are known. There is no default: a service that is open to everybody says so.
    #[arg(long, env = "FOLDLINE_AUTH", value_name = "HOW")]
    pub auth: Option<AuthMode>,
    /// Who issues the tokens: their `iss`, letter by letter.
    #[arg(long, env = "FOLDLINE_AUTH_ISSUER", value_name = "URL")]
    pub auth_issuer: Option<String>,
    /// For whom the tokens are: this must be in their `aud`.
    #[arg(long, env = "FOLDLINE_AUTH_AUDIENCE", value_name = "TEXT")]
    pub auth_audience: Option<String>,
    /// The public keys of the issuer, a JSON Web Key Set: an https URL (http on the loopback address alone), or a file.
    #[arg(long, env = "FOLDLINE_AUTH_JWKS", value_name = "URL|FILE")]
    pub auth_jwks: Option<String>,
    /// The algorithms that tokens may be signed with. Those with a shared secret (HS256 and its like) are none.
    #[arg(long, env = "FOLDLINE_AUTH_ALGORITHMS", value_delimiter = ',', default_values = ["RS256", "ES256", "EdDSA"], value_parser = asymmetric, value_name = "NAMES")]
    pub auth_algorithms: Vec<Algorithm>,
    /// How far the clock of the issuer may be from ours.
    #[arg(long, env = "FOLDLINE_AUTH_LEEWAY", default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub auth_leeway: Duration,
}

/// The settings say nothing of who may ask, or not enough.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Nothing at all.
    #[error(
        "nothing says who may ask: give --auth jwt with --auth-issuer, --auth-audience and --auth-jwks, or \
         --auth none for a development system that is open to everybody"
    )]
    NotSaid,
    /// A setting that tokens need.
    #[error("--auth jwt needs --{0}")]
    Missing(&'static str),
    /// Whoever listens on the network could take the tokens.
    #[error(
        "tokens would come to {address} over plain connections: give --tls-cert and --tls-key, or --behind-tls-proxy if \
         a proxy before this service has the TLS"
    )]
    Plain {
        /// Where the service would listen.
        address: SocketAddr,
    },
    /// No algorithm would be left.
    #[error("--auth-algorithms must name at least one")]
    NoAlgorithm,
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

fn asymmetric(text: &str) -> Result<Algorithm, String> {
    use Algorithm::{HS256, HS384, HS512};
    match text.parse() {
        Ok(HS256 | HS384 | HS512) => Err("is signed with a secret, and this service has none".to_owned()),
        Ok(algorithm) => Ok(algorithm),
        Err(_) => Err("is no algorithm of JWT".to_owned()),
    }
}

/// How a service knows its callers. Clones are the same.
#[derive(Clone)]
pub struct Auth(Option<Arc<Verifier>>);

impl Auth {
    /// Everybody may do everything.
    pub fn none() -> Self {
        Self(None)
    }

    /// As the settings say, for a service that listens there. Keys in a file are read now; those at a URL when the first token comes, so that a service
    /// starts without its issuer.
    pub async fn open(
        settings: &AuthSettings,
        address: SocketAddr,
        http: &HttpSettings,
    ) -> Result<Self, AuthError> {
        match settings.auth {
            None => return Err(AuthError::NotSaid),
            Some(AuthMode::None) => {
                warn!("nobody is asked who they are: --auth none is for development");
                return Ok(Self::none());
            }
            Some(AuthMode::Jwt) => {}
        }
        if !(address.ip().is_loopback() || http.tls_cert.is_some() || http.behind_tls_proxy) {
            return Err(AuthError::Plain { address });
        }
        let needed = |value: &Option<String>, name| value.clone().ok_or(AuthError::Missing(name));
        let source = match needed(&settings.auth_jwks, "auth-jwks")? {
            url if url.starts_with("https://") || url.starts_with("http://") => Source::url(&url)?,
            file => Source::File(PathBuf::from(file)),
        };
        if settings.auth_algorithms.is_empty() {
            return Err(AuthError::NoAlgorithm);
        }
        let verifier = Verifier {
            issuer: needed(&settings.auth_issuer, "auth-issuer")?,
            audience: needed(&settings.auth_audience, "auth-audience")?,
            algorithms: settings.auth_algorithms.clone(),
            leeway: settings.auth_leeway,
            keys: Keys::new(source),
        };
        verifier.keys.check_file().await?;
        Ok(Self(Some(Arc::new(verifier))))
    }

    /// Puts routes behind it: who does not say who they are gets 401, and the others are known as a [`Caller`].
    pub fn guard(&self, routes: Router) -> Router {
        let Some(verifier) = self.0.clone() else {
            return routes.layer(Extension(Caller::anyone()));
        };
        routes.layer(from_fn(move |mut request: Request, next: Next| {
            let verifier = Arc::clone(&verifier);
            async move {
                match verifier.verify(bearer(request.headers())).await {
                    Ok(known) => {
                        request.extensions_mut().insert(known.caller);
                        until(known.lives_for, next.run(request).await)
                    }
                    Err(refused) => {
                        debug!(%refused, "a caller is not known");
                        unauthenticated(&refused)
                    }
                }
            }
        }))
    }
}

/// The token of a request. Two of them are none.
fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refused::Missing)?;
    if values.next().is_some() {
        return Err(Refused::Malformed);
    }
    let text = value.to_str().map_err(|_| Refused::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refused::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(Refused::Malformed)
    }
}

/// A live stream ends when the token does under which it was opened.
fn until(lives_for: Duration, response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "text/event-stream") {
        return response;
    }
    let over = Box::pin(tokio::time::sleep(lives_for));
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(over)))
}

fn unauthenticated(refused: &Refused) -> Response {
    if let Refused::NoKeys(_) = refused {
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "keys-unavailable",
            "Tokens cannot be checked now",
        )
        .detail("the keys of the issuer cannot be read")
        .retry_after(5)
        .into_response();
    }
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "The service does not know who asks",
    );
    let mut response = problem.detail(refused.to_string()).into_response();
    let challenge = match refused {
        Refused::Missing => "Bearer realm=\"foldline\"".to_owned(),
        // The text is one of ours, without quotes.
        refused => {
            format!("Bearer realm=\"foldline\", error=\"invalid_token\", error_description=\"{refused}\"")
        }
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests;

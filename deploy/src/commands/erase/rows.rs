//! Asks the query API whether it shows the rows of who was erased as erased.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Client, StatusCode};

/// How long a query API may take to hear of an erasure, and a projector to fold what there is.
const SHOWN_MAX: Duration = Duration::from_secs(60);
const REQUEST_MAX: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Whom to ask.
#[derive(Debug, Args)]
pub(super) struct QueryApi {
    /// Have the query API there show each row that holds something of the person, and wait until it shows it as erased.
    #[arg(long, value_name = "URL")]
    query_api: Option<String>,
    /// A file with a token of somebody who may read all rows.
    #[arg(long, value_name = "FILE")]
    query_token: Option<PathBuf>,
}

impl QueryApi {
    /// Finds what would only be found when the person is erased.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.query_token.is_some() && self.query_api.is_none() {
            bail!("--query-token needs --query-api");
        }
        self.token().map(drop)
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.query_token else {
            return Ok(None);
        };
        let token = fs::read_to_string(file);
        token
            .map(Some)
            .with_context(|| format!("cannot read {}", file.display()))
    }

    /// Returns when all are shown as erased: whether anybody was asked.
    pub(super) async fn shows_as_erased(&self, rows: &[String]) -> anyhow::Result<bool> {
        let Some(api) = &self.query_api else {
            return Ok(false);
        };
        let token = self.token()?;
        let http = Client::builder().timeout(REQUEST_MAX).build()?;
        let asked_at = Instant::now();
        for row in rows {
            let url = format!("{}{row}", api.trim_end_matches('/'));
            while let Err(shown) = ask(&http, &url, token.as_deref()).await {
                if asked_at.elapsed() > SHOWN_MAX {
                    bail!("{url} is not shown as erased: {shown}");
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(true)
    }
}

/// An error is what is shown instead.
async fn ask(http: &Client, url: &str, token: Option<&str>) -> anyhow::Result<()> {
    let mut request = http.get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token.trim());
    }
    let response = request.send().await?;
    // With values that are erased, a row has another tag than with what they said.
    let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok());
    let is_erased = etag.is_some_and(|etag| etag.ends_with("-erased\""));
    match response.status() {
        StatusCode::OK if is_erased => Ok(()),
        status => bail!("{status}, {etag:?}"),
    }
}

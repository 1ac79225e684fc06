//! Tables, as NDJSON or CSV: as long as they are, a page at a time in memory.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tracing::{Instrument, Span};

use super::accept::Format;
use super::call::{CONSISTENCY_TOKEN, set};
use super::failure::Failure;
use crate::api::Api;
use crate::columns::Column;
use crate::consistency::{Asked, ReadError};
use crate::known::Seen;
use crate::opened::Opened;
use crate::streams::StreamPlace;

/// How many rows are read at once, and are in memory.
pub(super) const PAGE: usize = 200;

/// Rows, page by page.
pub(super) trait Pages: Send + 'static {
    /// The next ones, each of them JSON; `None` behind the last. They have seen what `asked` says.
    fn next(&mut self, asked: &Asked) -> impl Future<Output = Result<Option<Page>, ReadError>> + Send;
}

/// Some rows.
pub(super) struct Page {
    pub(super) rows: Vec<String>,
    /// What the view had seen when they were read.
    pub(super) token: Seen,
}

/// Rows that are all there.
pub(super) struct Whole(pub(super) Option<Page>);

impl Pages for Whole {
    async fn next(&mut self, _: &Asked) -> Result<Option<Page>, ReadError> {
        Ok(self.0.take())
    }
}

struct Export<P> {
    opened: Opened,
    pages: P,
    /// Opened, as all are.
    first: Option<Page>,
    asked: Asked,
    table: Table,
    _place: StreamPlace,
}

/// How a row is written.
enum Table {
    Ndjson,
    Csv(Vec<Column>),
}

/// The next rows, with personal values opened.
async fn next<P: Pages>(pages: &mut P, asked: &Asked, opened: &Opened) -> Result<Option<Page>, ReadError> {
    let Some(mut page) = pages.next(asked).await? else {
        return Ok(None);
    };
    for row in &mut page.rows {
        opened.open(row).await?;
    }
    Ok(Some(page))
}

/// Answers with all of the rows. The first page is read before anything is said, so that what is wrong is a problem;
/// what goes wrong later breaks the connection, so that nobody takes a part for the whole.
pub(super) async fn export<P: Pages>(
    api: &Arc<Api>,
    format: Format,
    columns: Vec<Column>,
    mut asked: Asked,
    mut pages: P,
) -> Result<Response, Failure> {
    let place = api.streams.enter("export")?;
    let first = next(&mut pages, &asked, &api.opened).await?;
    let mut headers = headers(format);
    if let Some(page) = &first {
        let token = page.token.to_string();
        set(&mut headers, CONSISTENCY_TOKEN, &token);
        // No later page is older, be the store replaced meanwhile.
        asked.tokens.push(token);
    }
    let table = if format == Format::Csv {
        Table::Csv(columns)
    } else {
        Table::Ndjson
    };
    let head = table.head();
    let export = Export {
        opened: api.opened.clone(),
        pages,
        first,
        asked,
        table,
        _place: place,
    };
    // It is written when the request's own span has ended.
    let span = Span::current();
    let pages = stream::try_unfold((Some(head), export), move |(head, mut export)| {
        let page = async move {
            if let Some(head) = head.filter(|head| !head.is_empty()) {
                return Ok(Some((head, (None, export))));
            }
            let page = export.page().await?;
            Ok::<_, io::Error>(page.map(|page| (page, (None, export))))
        };
        page.instrument(span.clone())
    });
    Ok((headers, Body::from_stream(pages)).into_response())
}

fn headers(format: Format) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        format => format.media_type(),
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers
}

impl<P: Pages> Export<P> {
    async fn page(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let page = match self.first.take() {
                Some(page) => Some(page),
                None => {
                    let page = next(&mut self.pages, &self.asked, &self.opened).await;
                    page.map_err(|error| {
                        tracing::warn!(%error, "an export was broken off");
                        io::Error::other(error)
                    })?
                }
            };
            let Some(page) = page else { return Ok(None) };
            // An empty page, of a feed that leaves much out, is no end.
            if !page.rows.is_empty() {
                return self.table.write(&page.rows).map(Some);
            }
        }
    }
}

impl Table {
    fn head(&self) -> Bytes {
        match self {
            Self::Ndjson => Bytes::new(),
            Self::Csv(columns) => {
                let names = columns.iter().map(Column::name);
                let mut writer = csv_writer();
                // Writing to memory does not fail.
                let _ = writer.write_record(names);
                writer.into_inner().unwrap_or_default().into()
            }
        }
    }

    fn write(&self, rows: &[String]) -> io::Result<Bytes> {
        match self {
            Self::Ndjson => {
                let mut text = String::with_capacity(rows.iter().map(|row| row.len() + 1).sum());
                for row in rows {
                    text += row;
                    text.push('\n');
                }
                Ok(text.into())
            }
            Self::Csv(columns) => {
                let mut writer = csv_writer();
                for row in rows {
                    let row: Value = serde_json::from_str(row)?;
                    writer.write_record(columns.iter().map(|column| column.text(&row)))?;
                }
                let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
                Ok(bytes.into())
            }
        }
    }
}

/// As RFC 4180 has it: CRLF, quotes where they are needed.
fn csv_writer() -> csv::Writer<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new();
    writer.terminator(csv::Terminator::CRLF);
    writer.from_writer(Vec::new())
}

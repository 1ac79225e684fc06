//! A place in a list, as clients carry it: opaque, and good for the list that it came from.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use foldline_views::Place;
use uuid::Uuid;

/// Text that is no cursor here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorError {
    #[error("not a cursor; follow the link next as it came, unchanged")]
    Malformed,
    #[error("a cursor of a list with other filters or another order; begin again without it")]
    OtherList,
}

/// A place in the list with this fingerprint.
pub(crate) fn encode(fingerprint: Uuid, place: &Place) -> String {
    let bytes = postcard::to_stdvec(&(fingerprint.as_bytes(), place));
    BASE64_URL_SAFE_NO_PAD.encode(bytes.expect("lists of plain values have a form"))
}

/// Reads [`encode`].
pub(crate) fn decode(text: &str, fingerprint: Uuid) -> Result<Place, CursorError> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| CursorError::Malformed)?;
    let (of, place): ([u8; 16], Place) = postcard::from_bytes(&bytes).map_err(|_| CursorError::Malformed)?;
    if of == *fingerprint.as_bytes() {
        Ok(place)
    } else {
        Err(CursorError::OtherList)
    }
}

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::KeyId;

/// What stands in place of a value that is erased.
pub const ERASED: &str = "erased";

/// What a sealed value begins with. No command may hold it: what it holds would be taken for somebody's sealed value,
/// and opened for whoever reads it.
const BEGIN: &str = "enc1.";

/// A personal value as it is kept: `enc1.<key id>.<nonce, ciphertext, tag>`, both in base64url. No letter of it needs an
/// escape, in JSON or in a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// By which key.
    pub key: KeyId,
    pub(super) data: &'a str,
}

impl<'a> Sealed<'a> {
    /// Reads one. `None` if the text is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (sealed, rest) = Self::parse_start(text)?;
        rest.is_empty().then_some(sealed)
    }

    /// Reads the one that the text begins with, and returns what follows it.
    fn parse_start(text: &'a str) -> Option<(Self, &'a str)> {
        let rest = text.strip_prefix(BEGIN)?;
        let (key, rest) = rest.split_at_checked(KeyId::LENGTH)?;
        let rest = rest.strip_prefix('.')?;
        let end = rest.bytes().position(|letter| !is_base64url(letter));
        let end = end.unwrap_or(rest.len());
        let (data, rest) = rest.split_at(end);
        let key = key.parse().ok()?;
        Some((Self { key, data }, rest))
    }

    pub(super) fn text(key: &KeyId, data: &str) -> String {
        format!("{BEGIN}{key}.{data}")
    }
}

/// Whether bytes hold what a sealed value begins with.
pub fn is_marked(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, BEGIN.as_bytes()).is_some()
}

/// A JSON text with every sealed value in it opened; [`ERASED`] stands for what `open` has nothing for. A sealed value
/// that is a part of a string is a part of a link, and percent-encoded there.
pub fn open_text<'a>(json: &'a str, mut open: impl FnMut(&Sealed<'_>) -> Option<String>) -> Cow<'a, str> {
    let mut opened = String::new();
    let mut done = 0;
    for at in memchr::memmem::find_iter(json.as_bytes(), BEGIN.as_bytes()) {
        let Some((sealed, rest)) = Sealed::parse_start(&json[at..]) else {
            continue;
        };
        if done == 0 {
            // Enough: what is sealed is longer than what it says.
            opened.reserve(json.len());
        }
        opened.push_str(&json[done..at]);
        done = json.len() - rest.len();
        let says = open(&sealed);
        let says = says.as_deref().unwrap_or(ERASED);
        let is_whole = json[..at].ends_with('"') && rest.starts_with('"');
        if is_whole {
            push_escaped(&mut opened, says);
        } else {
            opened.extend(utf8_percent_encode(says, NON_ALPHANUMERIC));
        }
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    opened.push_str(&json[done..]);
    Cow::Owned(opened)
}

/// As it stands between the quotes of a JSON string.
fn push_escaped(json: &mut String, text: &str) {
    let needs_none = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(needs_none) {
        json.push_str(text);
    } else {
        let quoted = serde_json::Value::from(text).to_string();
        json.push_str(&quoted[1..quoted.len() - 1]);
    }
}

/// Not of a byte within a letter that is longer, so what begins with one can be split off.
pub(super) fn is_base64url(byte: u8) -> bool {
    // Compared one range after the other, the letters of a page cost as much as to decode them.
    const LETTERS: [bool; 256] = {
        let (mut letters, mut byte) = ([false; 256], 0_u8);
        while byte < 128 {
            letters[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            byte += 1;
        }
        letters
    };
    LETTERS[usize::from(byte)]
}

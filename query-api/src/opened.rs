use std::borrow::Cow;
use std::sync::Arc;

use foldline_core::personal::{Opener, Opening, open_text};

/// Opens the personal values in what clients are told. That is the last thing that is done to it: whatever is read,
/// folded or compared before is sealed, and whatever is kept, too.
#[derive(Clone, Default)]
pub(crate) struct Opened(Option<Arc<dyn Opener>>);

impl Opened {
    pub(crate) fn by(opener: Option<Arc<dyn Opener>>) -> Self {
        Self(opener)
    }

    /// The text, opened, and whether something in it is erased.
    pub(crate) fn text(&self, text: String) -> (String, bool) {
        let Some(opener) = &self.0 else {
            return (text, false);
        };
        let mut is_erased = false;
        let opened = open_text(&text, |sealed| match opener.open(sealed) {
            Opening::Says(text) => Some(text),
            Opening::Erased | Opening::Unknown => {
                is_erased = true;
                None
            }
        });
        let opened = match opened {
            Cow::Borrowed(_) => None,
            Cow::Owned(opened) => Some(opened),
        };
        (opened.unwrap_or(text), is_erased)
    }
}

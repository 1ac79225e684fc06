use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use foldline_core::personal::{KeyId, Opener, Opening, open_text};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::consistency::ReadError;

/// How long an answer waits for a key that is not known. Whoever has it may be away for longer.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// By what personal values are opened.
#[derive(Clone)]
pub struct Openers {
    /// By the keys that are known. It is asked on the threads of the runtime, so it waits for nobody.
    pub at_once: Arc<dyn Opener>,
    /// Looks for a key that is not known, and may take its time: it has a thread for it.
    pub looking: Arc<dyn Opener>,
}

/// Opens the personal values in what clients are told. That is the last thing that is done to it: whatever is read,
/// folded or compared before is sealed, and whatever is kept, too.
#[derive(Clone, Default)]
pub(crate) struct Opened(Option<Arc<Opens>>);

struct Opens {
    by: Openers,
    /// One look at a time: each reads all that there is, so who comes meanwhile most likely finds the key when it is over.
    turn: Arc<Semaphore>,
}

/// A text without anything sealed in it.
struct Open {
    /// `None`: nothing was.
    text: Option<String>,
    is_erased: bool,
}

impl Opened {
    pub(crate) fn by(openers: Option<Openers>) -> Self {
        let opens = |by| {
            Arc::new(Opens {
                by,
                turn: Arc::new(Semaphore::new(1)),
            })
        };
        Self(openers.map(opens))
    }

    /// Opens the text, and says whether something in it is erased. A key that is not known may have been made just now: it is
    /// looked for. Without it there is an error, and the text is as it was: to show anything in place of the value would say
    /// that somebody was erased who was not.
    pub(crate) async fn open(&self, text: &mut String) -> Result<bool, ReadError> {
        let Some(opens) = &self.0 else {
            return Ok(false);
        };
        let open = match open_by(&*opens.by.at_once, text) {
            Ok(open) => open,
            Err(key) => opens.look(key, text.clone()).await?,
        };
        if let Some(opened) = open.text {
            *text = opened;
        }
        Ok(open.is_erased)
    }
}

impl Opens {
    /// Opens a text with a value of this key in it, on a thread that may block.
    async fn look(&self, key: KeyId, text: String) -> Result<Open, ReadError> {
        let look = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            let turn = turn.expect("the semaphore is never closed");
            let looking = Arc::clone(&self.by.looking);
            let opened = spawn_blocking(move || {
                let _turn = turn;
                open_by(&*looking, &text)
            });
            opened.await
        };
        match timeout(LOOK_MAX, look).await {
            Ok(Ok(found)) => found.map_err(ReadError::UnknownKey),
            // It takes too long, or the process ends.
            Ok(Err(_)) | Err(_) => Err(ReadError::UnknownKey(key)),
        }
    }
}

/// An error is the key of a value of which it cannot be said what has become of it.
fn open_by(opener: &dyn Opener, text: &str) -> Result<Open, KeyId> {
    let (mut is_erased, mut unknown) = (false, None);
    let opened = open_text(text, |sealed| {
        // One is enough for nothing to be told: the others are not looked for.
        if unknown.is_some() {
            return None;
        }
        match opener.open(sealed) {
            Opening::Says(text) => return Some(text),
            Opening::Erased => is_erased = true,
            Opening::Unknown => unknown = Some(sealed.key),
        }
        None
    });
    let text = match opened {
        Cow::Borrowed(_) => None,
        Cow::Owned(opened) => Some(opened),
    };
    match unknown {
        Some(key) => Err(key),
        None => Ok(Open { text, is_erased }),
    }
}

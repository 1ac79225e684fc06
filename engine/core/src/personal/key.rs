use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Sealed;
use super::sealed::is_base64url;

/// Names a key, in every value that is sealed by it: 12 random bytes, as base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; Self::LENGTH]);

/// No key, or no name of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name or the bytes of a subject's key are damaged")]
pub struct InvalidKey;

impl KeyId {
    /// Letters of its text.
    pub const LENGTH: usize = 16;

    /// From random bytes.
    pub fn new(random: [u8; 12]) -> Self {
        let mut text = [0; Self::LENGTH];
        // 12 bytes are 16 letters.
        let _ = BASE64_URL_SAFE_NO_PAD.encode_slice(random, &mut text);
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64 is ASCII")
    }
}

impl FromStr for KeyId {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        match text.as_bytes().try_into() {
            Ok(bytes) if text.bytes().all(is_base64url) => Ok(Self(bytes)),
            _ => Err(InvalidKey),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key of one subject: AES-256-GCM, under a nonce that is an HMAC of the text.
///
/// So the same text is always sealed as the same (a batch that is decided again writes the same bytes, and a fold finds
/// a value again), and two texts never share a nonce but by a collision of 96 bits among the values of one person. What
/// that gives away is which values of one person are equal, and how long they are.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct SubjectKey(Arc<Inner>);

/// The key, and what is made of it: to make that anew for each value would cost more than to seal or open it.
struct Inner {
    id: KeyId,
    bytes: [u8; SubjectKey::LENGTH],
    cipher: LessSafeKey,
    nonces: hmac::Key,
}

impl SubjectKey {
    /// Bytes of a key: the first half encrypts, the second makes nonces.
    pub const LENGTH: usize = 64;

    /// From random bytes.
    pub fn new(id: KeyId, random: [u8; Self::LENGTH]) -> Self {
        let (encrypts, makes_nonces) = random.split_at(Self::LENGTH / 2);
        let key = UnboundKey::new(&AES_256_GCM, encrypts);
        Self(Arc::new(Inner {
            id,
            cipher: LessSafeKey::new(key.expect("half of a key is as long as AES-256 wants it")),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, makes_nonces),
            bytes: random,
        }))
    }

    /// What names it.
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    /// The key itself, for where it is kept.
    pub fn secret(&self) -> &[u8; Self::LENGTH] {
        &self.0.bytes
    }

    /// The text, sealed.
    pub fn seal(&self, text: &str) -> String {
        let nonce = self.nonce(text);
        let mut data = text.as_bytes().to_vec();
        let sealed = self.0.cipher.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            self.aad(),
            &mut data,
        );
        sealed.expect("AES-GCM takes texts of less than 64 GB");
        data.splice(0..0, nonce);
        Sealed::text(&self.0.id, &BASE64_URL_SAFE_NO_PAD.encode(data))
    }

    /// What a value that was sealed by this key says; `None` if it is damaged, or was sealed by another one.
    pub fn open(&self, sealed: &Sealed<'_>) -> Option<String> {
        let mut data = BASE64_URL_SAFE_NO_PAD.decode(sealed.data).ok()?;
        let (nonce, text) = data.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.cipher.open_in_place(nonce, self.aad(), text).ok()?.len();
        // In the memory that it was decoded into: a page has a hundred of them.
        data.drain(..NONCE_LEN);
        data.truncate(length);
        String::from_utf8(data).ok()
    }

    fn nonce(&self, text: &str) -> [u8; NONCE_LEN] {
        let tag = hmac::sign(&self.0.nonces, text.as_bytes());
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&tag.as_ref()[..NONCE_LEN]);
        nonce
    }

    fn aad(&self) -> Aad<&[u8]> {
        Aad::from(self.0.id.0.as_slice())
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKey({})", self.0.id)
    }
}

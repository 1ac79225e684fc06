use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use foldline_core::Timestamp;
use foldline_core::personal::{KeyId, SubjectKey};
use serde_json::{Value, json};

/// The key of the record that holds the domain's secret. No subject is called so.
pub(crate) const SECRET: &str = "#secret";

/// What a record of a key topic says. JSON, because nobody but the engine reads it, and it has no history.
#[derive(Debug, Clone)]
pub(crate) enum KeyRecord {
    /// The subject's key.
    Key(SubjectKey),
    /// The subject is erased, and this was its key.
    Erased { key: KeyId },
    /// What unique values are hashed with.
    Secret([u8; 32]),
}

impl KeyRecord {
    pub(crate) fn encode(&self, at: Timestamp) -> Vec<u8> {
        let at = at.to_string();
        let record = match self {
            Self::Key(key) => {
                let secret = BASE64_URL_SAFE_NO_PAD.encode(key.secret());
                json!({ "key_id": key.id().to_string(), "key": secret, "made_at": at })
            }
            Self::Erased { key } => json!({ "key_id": key.to_string(), "erased_at": at }),
            Self::Secret(secret) => json!({ "secret": BASE64_URL_SAFE_NO_PAD.encode(secret), "made_at": at }),
        };
        record.to_string().into_bytes()
    }

    /// `None` if it is damaged.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let record: Value = serde_json::from_slice(value).ok()?;
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if record.get("secret").is_some() {
            return Some(Self::Secret(bytes("secret")?.try_into().ok()?));
        }
        let key: KeyId = text("key_id")?.parse().ok()?;
        if record.get("erased_at").is_some() {
            return Some(Self::Erased { key });
        }
        let secret = bytes("key")?.try_into().ok()?;
        Some(Self::Key(SubjectKey::new(key, secret)))
    }
}

#[cfg(test)]
mod tests {
    use foldline_core::Timestamp;
    use foldline_core::personal::{KeyId, SubjectKey};

    use super::KeyRecord;

    #[test]
    fn a_record_is_read_back() {
        let id = KeyId::new([7; 12]);
        let key = SubjectKey::new(id, [9; SubjectKey::LENGTH]);
        let read = |record: KeyRecord| KeyRecord::decode(&record.encode(Timestamp(0)));
        assert!(
            matches!(read(KeyRecord::Key(key.clone())), Some(KeyRecord::Key(read))
            if read.id() == id && read.secret() == key.secret())
        );
        assert!(matches!(read(KeyRecord::Erased { key: id }), Some(KeyRecord::Erased { key }) if key == id));
        assert!(matches!(
            read(KeyRecord::Secret([3; 32])),
            Some(KeyRecord::Secret([3, ..]))
        ));
        assert!(KeyRecord::decode(b"{\"key_id\": \"short\"}").is_none());
    }
}

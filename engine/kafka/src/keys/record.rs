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
    Erased {
        key: KeyId,
        /// Whatever else a key of it was called: Kafka keeps this record alone, and what was sealed by those stays.
        others: Vec<KeyId>,
    },
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
            Self::Erased { key, others } => {
                let others: Vec<String> = others.iter().map(KeyId::to_string).collect();
                json!({ "key_id": key.to_string(), "other_key_ids": others, "erased_at": at })
            }
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
            let others = record.get("other_key_ids").map(|ids| {
                let ids = ids.as_array()?.iter();
                ids.map(|id| id.as_str()?.parse().ok()).collect()
            });
            // Marks from before there was that field name one key.
            let others = others.unwrap_or_else(|| Some(Vec::new()))?;
            return Some(Self::Erased { key, others });
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
        for others in [Vec::new(), vec![KeyId::new([8; 12]), KeyId::new([9; 12])]] {
            let mark = KeyRecord::Erased {
                key: id,
                others: others.clone(),
            };
            assert!(matches!(read(mark), Some(KeyRecord::Erased { key, others: read })
                if key == id && read == others));
        }
        assert!(matches!(
            read(KeyRecord::Secret([3; 32])),
            Some(KeyRecord::Secret([3, ..]))
        ));
        assert!(KeyRecord::decode(b"{\"key_id\": \"short\"}").is_none());
    }

    #[test]
    fn a_mark_is_read_that_names_one_key() {
        let id = KeyId::new([7; 12]);
        let mark = format!("{{\"key_id\": \"{id}\", \"erased_at\": \"1970-01-01T00:00:00.000Z\"}}");
        let read = KeyRecord::decode(mark.as_bytes());
        assert!(matches!(read, Some(KeyRecord::Erased { key, others }) if key == id && others.is_empty()));
    }
}

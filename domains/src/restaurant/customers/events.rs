use foldline_core::Personal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can have happened to a customer. Stored for ever: append, never edit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum CustomerEvent {
    /// There is a new customer, with an unverified email.
    CustomerSignedUp {
        /// The email, as the customer wrote it.
        email: Personal,
        /// What verifies it.
        token: String,
    },
    /// The customer has another email, unverified. The old one is free again.
    CustomerEmailChanged {
        /// The email, as the customer wrote it.
        email: Personal,
        /// What verifies it.
        token: String,
    },
    /// The customer has shown the token of the email.
    CustomerEmailVerified {
        /// The email that is verified.
        email: Personal,
    },
    /// The customer has one more address.
    AddressAdded {
        /// How the customer calls it.
        nickname: Personal,
        /// Where it is.
        location: Personal,
    },
    /// The customer has one address less.
    AddressRemoved {
        /// How the customer called it.
        nickname: Personal,
    },
}

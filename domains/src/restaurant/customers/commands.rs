use foldline_core::Personal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be asked of a customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum CustomerCommand {
    /// Makes a new customer.
    SignUp {
        /// An email that no other customer has.
        email: Personal,
    },
    /// Gives the customer another email, which is unverified.
    ChangeEmail {
        /// An email that no other customer has.
        email: Personal,
    },
    /// Proves that the customer reads the email.
    VerifyEmail {
        /// The token that was made with the email.
        token: String,
    },
    /// Adds an address.
    AddAddress {
        /// How the customer calls it; unlike the other addresses.
        nickname: Personal,
        /// Where it is, for the courier.
        location: Personal,
    },
    /// Removes an address. Orders that go there still do.
    RemoveAddress {
        /// How the customer calls it.
        nickname: Personal,
    },
}

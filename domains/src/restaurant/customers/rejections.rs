use foldline_core::{RefusalKind, Rejection};

use super::email::EMAIL_MAX;
use super::{ADDRESSES_MAX, LOCATION_MAX, NICKNAME_MAX};

/// How a customer says no, without saying what is personal: refusals are kept for ever. That an email is taken is said by the engine, `email-taken`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomerRejection {
    /// Nothing that mail could be sent to.
    #[error("an email has text on both sides of an '@', no spaces, and at most {EMAIL_MAX} characters")]
    InvalidEmail,
    /// The customer must be able to call it something.
    #[error("the nickname is empty")]
    EmptyNickname,
    /// The courier must find it.
    #[error("the location is empty")]
    EmptyLocation,
    /// See [`NICKNAME_MAX`].
    #[error("a nickname has at most {NICKNAME_MAX} characters")]
    NicknameTooLong,
    /// See [`LOCATION_MAX`].
    #[error("a location has at most {LOCATION_MAX} characters")]
    LocationTooLong,
    /// A customer signs up once.
    #[error("the customer has already signed up")]
    AlreadySignedUp,
    /// Only a customer has something to change.
    #[error("the customer has not signed up")]
    NotSignedUp,
    /// Not the token of the email that the customer has now.
    #[error("this is not the token of the customer's email")]
    WrongToken,
    /// Another address is called so.
    #[error("the customer already has an address of this nickname")]
    NicknameTaken,
    /// See [`ADDRESSES_MAX`].
    #[error("the customer has {ADDRESSES_MAX} addresses, as many as a customer can have")]
    TooManyAddresses,
    /// No address is called so.
    #[error("the customer has no address of this nickname")]
    NoSuchAddress,
}

impl Rejection for CustomerRejection {
    const CODES: &'static [&'static str] = &[
        "email-invalid",
        "nickname-empty",
        "location-empty",
        "nickname-too-long",
        "location-too-long",
        "customer-already-signed-up",
        "customer-not-signed-up",
        "wrong-token",
        "nickname-taken",
        "too-many-addresses",
        "no-such-address",
    ];

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidEmail => "email-invalid",
            Self::EmptyNickname => "nickname-empty",
            Self::EmptyLocation => "location-empty",
            Self::NicknameTooLong => "nickname-too-long",
            Self::LocationTooLong => "location-too-long",
            Self::AlreadySignedUp => "customer-already-signed-up",
            Self::NotSignedUp => "customer-not-signed-up",
            Self::WrongToken => "wrong-token",
            Self::NicknameTaken => "nickname-taken",
            Self::TooManyAddresses => "too-many-addresses",
            Self::NoSuchAddress => "no-such-address",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::InvalidEmail
            | Self::EmptyNickname
            | Self::EmptyLocation
            | Self::NicknameTooLong
            | Self::LocationTooLong => RefusalKind::Value,
            Self::AlreadySignedUp
            | Self::NotSignedUp
            | Self::WrongToken
            | Self::NicknameTaken
            | Self::TooManyAddresses
            | Self::NoSuchAddress => RefusalKind::State,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidEmail => Some("email"),
            Self::EmptyNickname | Self::NicknameTooLong | Self::NicknameTaken | Self::NoSuchAddress => {
                Some("nickname")
            }
            Self::EmptyLocation | Self::LocationTooLong => Some("location"),
            Self::WrongToken => Some("token"),
            Self::AlreadySignedUp | Self::NotSignedUp | Self::TooManyAddresses => None,
        }
    }
}

use std::collections::BTreeMap;

use foldline_core::{Aggregate, AggregateId, Context, Unique};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::email::{folded, is_email};
use super::{CustomerCommand, CustomerEvent, CustomerRejection};

/// A customer, as the fold of the customer's events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Customer {
    /// Not signed up yet.
    #[default]
    Unknown,
    /// Signed up.
    SignedUp(Profile),
}

/// What is known of a customer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    email: String,
    token: String,
    verified: bool,
    /// Locations by nickname.
    addresses: BTreeMap<String, String>,
}

type Decision = Result<Vec<CustomerEvent>, CustomerRejection>;

impl Aggregate for Customer {
    const NAME: &'static str = "customers";
    const PATH: &'static str = "/customers";
    const CREATE: &'static str = "SignUp";
    const UNIQUE: &'static [&'static str] = &["email"];

    type Command = CustomerCommand;
    type Event = CustomerEvent;
    type Rejection = CustomerRejection;

    fn decide(&self, command: &CustomerCommand, context: &Context<'_>) -> Decision {
        match command {
            CustomerCommand::SignUp { email } => self.sign_up(email, context),
            CustomerCommand::ChangeEmail { email } => self.change_email(email, context),
            CustomerCommand::VerifyEmail { token } => self.verify(token),
            CustomerCommand::AddAddress { nickname, location } => self.add_address(nickname, location),
            CustomerCommand::RemoveAddress { nickname } => self.remove_address(nickname),
        }
    }

    fn evolve(&mut self, event: &CustomerEvent) {
        if let (Self::Unknown, CustomerEvent::CustomerSignedUp { .. }) = (&*self, event) {
            *self = Self::SignedUp(Profile::default());
        }
        if let Self::SignedUp(profile) = self {
            profile.evolve(event);
        }
    }

    fn unique(&self) -> Vec<Unique> {
        let held = |profile: &Profile| Unique {
            name: "email",
            value: folded(&profile.email),
        };
        self.profile().map(held).into_iter().collect()
    }

    /// The customer.
    fn owner(&self, id: &AggregateId) -> Option<String> {
        self.profile().is_ok().then(|| id.to_string())
    }

    fn named_owner(id: &AggregateId, command: &CustomerCommand) -> Option<String> {
        matches!(command, CustomerCommand::SignUp { .. }).then(|| id.to_string())
    }

    fn possible(&self) -> Vec<&'static str> {
        let Ok(profile) = self.profile() else {
            return vec!["SignUp"];
        };
        let mut possible = vec!["ChangeEmail", "AddAddress"];
        if !profile.verified {
            possible.push("VerifyEmail");
        }
        if !profile.addresses.is_empty() {
            possible.push("RemoveAddress");
        }
        possible
    }
}

impl Customer {
    /// Where the address of this nickname is.
    pub fn location(&self, nickname: &str) -> Option<&str> {
        let profile = self.profile().ok()?;
        profile.addresses.get(nickname).map(String::as_str)
    }

    fn profile(&self) -> Result<&Profile, CustomerRejection> {
        match self {
            Self::SignedUp(profile) => Ok(profile),
            Self::Unknown => Err(CustomerRejection::NotSignedUp),
        }
    }

    fn sign_up(&self, email: &str, context: &Context<'_>) -> Decision {
        let email = checked(email)?;
        if self.profile().is_ok() {
            return Err(CustomerRejection::AlreadySignedUp);
        }
        let token = context.new_id(0).to_string();
        Ok(vec![CustomerEvent::CustomerSignedUp { email, token }])
    }

    fn change_email(&self, email: &str, context: &Context<'_>) -> Decision {
        let email = checked(email)?;
        if folded(&self.profile()?.email) == folded(&email) {
            return Ok(vec![]);
        }
        let token = context.new_id(0).to_string();
        Ok(vec![CustomerEvent::CustomerEmailChanged { email, token }])
    }

    fn verify(&self, token: &str) -> Decision {
        let profile = self.profile()?;
        if profile.token != token {
            return Err(CustomerRejection::WrongToken);
        }
        if profile.verified {
            return Ok(vec![]);
        }
        let email = profile.email.clone();
        Ok(vec![CustomerEvent::CustomerEmailVerified { email }])
    }

    fn add_address(&self, nickname: &str, location: &str) -> Decision {
        let (nickname, location) = (nickname.to_owned(), location.to_owned());
        if nickname.trim().is_empty() {
            return Err(CustomerRejection::EmptyNickname);
        }
        if location.trim().is_empty() {
            return Err(CustomerRejection::EmptyLocation);
        }
        if self.profile()?.addresses.contains_key(&nickname) {
            return Err(CustomerRejection::NicknameTaken { nickname });
        }
        Ok(vec![CustomerEvent::AddressAdded { nickname, location }])
    }

    fn remove_address(&self, nickname: &str) -> Decision {
        let nickname = nickname.to_owned();
        if !self.profile()?.addresses.contains_key(&nickname) {
            return Err(CustomerRejection::NoSuchAddress { nickname });
        }
        Ok(vec![CustomerEvent::AddressRemoved { nickname }])
    }
}

impl Profile {
    fn evolve(&mut self, event: &CustomerEvent) {
        match event {
            CustomerEvent::CustomerSignedUp { email, token }
            | CustomerEvent::CustomerEmailChanged { email, token } => {
                self.email.clone_from(email);
                self.token.clone_from(token);
                self.verified = false;
            }
            CustomerEvent::CustomerEmailVerified { .. } => self.verified = true,
            CustomerEvent::AddressAdded { nickname, location } => {
                self.addresses.insert(nickname.clone(), location.clone());
            }
            CustomerEvent::AddressRemoved { nickname } => {
                self.addresses.remove(nickname);
            }
        }
    }
}

fn checked(email: &str) -> Result<String, CustomerRejection> {
    if is_email(email) {
        return Ok(email.to_owned());
    }
    Err(CustomerRejection::InvalidEmail)
}

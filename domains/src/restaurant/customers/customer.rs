use std::collections::BTreeMap;

use foldline_core::{Aggregate, AggregateId, Context, Personal, Unique};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::email::{folded, is_email};
use super::{CustomerCommand, CustomerEvent, CustomerRejection};

/// How many addresses a customer has at most. With all of them, and each text as long as it may be and sealed, a snapshot of the
/// customer stays well below the megabyte that Kafka takes as one record; one that did not would end those of its partition.
pub const ADDRESSES_MAX: usize = 100;
/// How many characters a nickname has at most.
pub const NICKNAME_MAX: usize = 100;
/// How many characters a location has at most.
pub const LOCATION_MAX: usize = 500;

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
    email: Personal,
    token: String,
    verified: bool,
    /// Locations by nickname.
    addresses: BTreeMap<Personal, Personal>,
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
        // None, of who was erased.
        let email = self.profile().ok().and_then(|profile| profile.email.text());
        let held = |email: &str| Unique {
            name: "email",
            value: folded(email),
        };
        email.map(held).into_iter().collect()
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
        let mut possible = vec!["ChangeEmail"];
        if profile.addresses.len() < ADDRESSES_MAX {
            possible.push("AddAddress");
        }
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
    /// The address of this nickname, as the customer has it: nickname and location.
    pub fn address(&self, nickname: &str) -> Option<(&Personal, &Personal)> {
        let profile = self.profile().ok()?;
        profile.addresses.get_key_value(&Personal::new(nickname))
    }

    fn profile(&self) -> Result<&Profile, CustomerRejection> {
        match self {
            Self::SignedUp(profile) => Ok(profile),
            Self::Unknown => Err(CustomerRejection::NotSignedUp),
        }
    }

    fn sign_up(&self, email: &Personal, context: &Context<'_>) -> Decision {
        let email = checked(email)?;
        if self.profile().is_ok() {
            return Err(CustomerRejection::AlreadySignedUp);
        }
        // Whoever knows the command's id can make it too: what it proves is said in the module's documentation.
        let token = context.new_id(0).to_string();
        Ok(vec![CustomerEvent::CustomerSignedUp { email, token }])
    }

    fn change_email(&self, email: &Personal, context: &Context<'_>) -> Decision {
        let email = checked(email)?;
        if self.profile()?.email.text().map(folded) == email.text().map(folded) {
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

    fn add_address(&self, nickname: &Personal, location: &Personal) -> Decision {
        let (nickname, location) = (nickname.clone(), location.clone());
        if is_blank(&nickname) {
            return Err(CustomerRejection::EmptyNickname);
        }
        if is_blank(&location) {
            return Err(CustomerRejection::EmptyLocation);
        }
        if is_longer(&nickname, NICKNAME_MAX) {
            return Err(CustomerRejection::NicknameTooLong);
        }
        if is_longer(&location, LOCATION_MAX) {
            return Err(CustomerRejection::LocationTooLong);
        }
        let addresses = &self.profile()?.addresses;
        if addresses.contains_key(&nickname) {
            return Err(CustomerRejection::NicknameTaken);
        }
        if addresses.len() >= ADDRESSES_MAX {
            return Err(CustomerRejection::TooManyAddresses);
        }
        Ok(vec![CustomerEvent::AddressAdded { nickname, location }])
    }

    fn remove_address(&self, nickname: &Personal) -> Decision {
        let Some((nickname, _)) = self.profile()?.addresses.get_key_value(nickname) else {
            return Err(CustomerRejection::NoSuchAddress);
        };
        let nickname = nickname.clone();
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

fn is_blank(value: &Personal) -> bool {
    value.text().is_none_or(|text| text.trim().is_empty())
}

fn is_longer(value: &Personal, characters_max: usize) -> bool {
    let text = value.text();
    text.is_some_and(|text| text.chars().count() > characters_max)
}

fn checked(email: &Personal) -> Result<Personal, CustomerRejection> {
    if email.text().is_some_and(is_email) {
        return Ok(email.clone());
    }
    Err(CustomerRejection::InvalidEmail)
}

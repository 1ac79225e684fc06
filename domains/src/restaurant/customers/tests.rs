mod properties;

use foldline_core::testing::{given, new_id, rows};
use foldline_core::{Aggregate, Rejection, Unique};

use super::CustomerCommand::{AddAddress, ChangeEmail, RemoveAddress, SignUp, VerifyEmail};
use super::CustomerEvent::{
    AddressAdded, AddressRemoved, CustomerEmailChanged, CustomerEmailVerified, CustomerSignedUp,
};
use super::{
    ADDRESSES_MAX, Customer, CustomerCommand, CustomerEvent, CustomerRejection, Customers, LOCATION_MAX,
    NICKNAME_MAX,
};
use crate::restaurant::table::every_command_in_every_state;

const ADA: &str = "Ada@example.org";
const BEA: &str = "bea@example.org";

fn sign_up(email: &str) -> CustomerCommand {
    let email = email.into();
    SignUp { email }
}

fn change(email: &str) -> CustomerCommand {
    let email = email.into();
    ChangeEmail { email }
}

fn verify(token: &str) -> CustomerCommand {
    let token = token.to_owned();
    VerifyEmail { token }
}

fn add(nickname: &str, location: &str) -> CustomerCommand {
    let (nickname, location) = (nickname.into(), location.into());
    AddAddress { nickname, location }
}

fn remove(nickname: &str) -> CustomerCommand {
    let nickname = nickname.into();
    RemoveAddress { nickname }
}

fn signed_up(token: &str) -> CustomerEvent {
    let (email, token) = (ADA.into(), token.to_owned());
    CustomerSignedUp { email, token }
}

fn changed(email: &str, token: &str) -> CustomerEvent {
    let (email, token) = (email.into(), token.to_owned());
    CustomerEmailChanged { email, token }
}

fn verified(email: &str) -> CustomerEvent {
    let email = email.into();
    CustomerEmailVerified { email }
}

fn added(nickname: &str) -> CustomerEvent {
    let (nickname, location) = (nickname.into(), "1 Main St".into());
    AddressAdded { nickname, location }
}

fn removed(nickname: &str) -> CustomerEvent {
    let nickname = nickname.into();
    AddressRemoved { nickname }
}

fn unique(events: impl IntoIterator<Item = CustomerEvent>) -> Vec<Unique> {
    given::<Customer>(events).state().unique()
}

fn email(value: &str) -> Vec<Unique> {
    let value = value.to_owned();
    vec![Unique { name: "email", value }]
}

// SignUp

#[test]
fn a_customer_signs_up_with_an_email_and_gets_a_token_for_it() {
    given::<Customer>([])
        .when(sign_up(ADA))
        .then([signed_up(&new_id(0).to_string())]);
}

#[test]
fn a_customer_signs_up_once() {
    given::<Customer>([signed_up("t")])
        .when(sign_up(BEA))
        .then_rejects(CustomerRejection::AlreadySignedUp);
}

#[test]
fn an_email_has_text_on_both_sides_of_an_at() {
    for bad in ["", "ada", "@example.org", "ada@", "ada @example.org"] {
        given::<Customer>([])
            .when(sign_up(bad))
            .then_rejects(CustomerRejection::InvalidEmail);
        given::<Customer>([signed_up("t")])
            .when(change(bad))
            .then_rejects(CustomerRejection::InvalidEmail);
    }
}

// ChangeEmail, and which email is held

#[test]
fn a_customer_changes_to_another_email_and_gets_a_token_for_it() {
    given::<Customer>([signed_up("t")])
        .when(change(BEA))
        .then([changed(BEA, &new_id(0).to_string())]);
}

#[test]
fn a_change_to_the_same_email_in_any_case_changes_nothing() {
    for same in [ADA, "ada@example.org", "ADA@EXAMPLE.ORG"] {
        given::<Customer>([signed_up("t")])
            .when(change(same))
            .then_nothing();
    }
}

#[test]
fn the_email_is_held_case_folded_and_the_old_one_is_free_after_a_change() {
    assert_eq!(unique([]), []);
    assert_eq!(unique([signed_up("t")]), email("ada@example.org"));
    assert_eq!(unique([signed_up("t"), changed(BEA, "u")]), email(BEA));
}

// VerifyEmail

#[test]
fn the_right_token_verifies_the_email() {
    given::<Customer>([signed_up("t")])
        .when(verify("t"))
        .then([verified(ADA)]);
}

#[test]
fn a_wrong_token_verifies_nothing() {
    for token in ["", "x"] {
        given::<Customer>([signed_up("t")])
            .when(verify(token))
            .then_rejects(CustomerRejection::WrongToken);
        given::<Customer>([signed_up("t"), verified(ADA)])
            .when(verify(token))
            .then_rejects(CustomerRejection::WrongToken);
    }
}

#[test]
fn a_verified_email_is_not_verified_again() {
    given::<Customer>([signed_up("t"), verified(ADA)])
        .when(verify("t"))
        .then_nothing();
}

#[test]
fn a_changed_email_is_unverified_and_needs_its_own_token() {
    let after_change = || given::<Customer>([signed_up("t"), verified(ADA), changed(BEA, "u")]);
    after_change()
        .when(verify("t"))
        .then_rejects(CustomerRejection::WrongToken);
    after_change().when(verify("u")).then([verified(BEA)]);
}

// AddAddress, RemoveAddress

#[test]
fn an_address_is_added() {
    given::<Customer>([signed_up("t")])
        .when(add("home", "1 Main St"))
        .then([added("home")]);
}

#[test]
fn an_address_has_a_nickname_and_a_location() {
    given::<Customer>([signed_up("t")])
        .when(add(" ", "1 Main St"))
        .then_rejects(CustomerRejection::EmptyNickname);
    given::<Customer>([signed_up("t")])
        .when(add("home", ""))
        .then_rejects(CustomerRejection::EmptyLocation);
}

#[test]
fn a_nickname_and_a_location_have_only_so_many_characters() {
    let add_to_one = |nickname: &str, location: &str| {
        given::<Customer>([signed_up("t")])
            .when(add(nickname, location))
            .decided()
    };
    // Characters, not bytes.
    let of_length = |length: usize| "é".repeat(length);
    assert!(add_to_one(&of_length(NICKNAME_MAX), &of_length(LOCATION_MAX)).is_ok());
    assert_eq!(
        add_to_one(&of_length(NICKNAME_MAX + 1), "1 Main St"),
        Err(CustomerRejection::NicknameTooLong)
    );
    assert_eq!(
        add_to_one("home", &of_length(LOCATION_MAX + 1)),
        Err(CustomerRejection::LocationTooLong)
    );
}

#[test]
fn the_largest_customer_has_room_in_a_record() {
    let address = |number: usize| AddressAdded {
        nickname: format!("{number:03}{}", "🍕".repeat(NICKNAME_MAX - 3)).into(),
        location: "🍕".repeat(LOCATION_MAX).into(),
    };
    let events = std::iter::once(signed_up("t")).chain((0..ADDRESSES_MAX).map(address));
    let state = serde_json::to_string(&given::<Customer>(events).state()).unwrap();
    // What is sealed is a third longer, and a record has room for 900 KiB.
    assert!(state.len() * 2 < 900 * 1024, "{}", state.len());
}

#[test]
fn a_customer_has_only_so_many_addresses_until_one_is_removed() {
    let full = (1..=ADDRESSES_MAX).map(|number| added(&number.to_string()));
    let full: Vec<_> = std::iter::once(signed_up("t")).chain(full).collect();
    given::<Customer>(full.clone())
        .when(add("home", "1 Main St"))
        .then_rejects(CustomerRejection::TooManyAddresses);
    let possible = given::<Customer>(full.clone()).state().possible();
    assert!(!possible.contains(&"AddAddress"), "{possible:?}");
    given::<Customer>(full.into_iter().chain([removed("1")]))
        .when(add("home", "1 Main St"))
        .then([added("home")]);
}

#[test]
fn a_nickname_is_unique_among_the_customers_addresses() {
    given::<Customer>([signed_up("t"), added("home")])
        .when(add("home", "2 Side St"))
        .then_rejects(CustomerRejection::NicknameTaken);
    given::<Customer>([signed_up("t"), added("home")])
        .when(add("work", "1 Main St"))
        .then([added("work")]);
}

#[test]
fn an_address_is_removed_and_its_nickname_is_free_again() {
    given::<Customer>([signed_up("t"), added("home")])
        .when(remove("home"))
        .then([removed("home")]);
    given::<Customer>([signed_up("t"), added("home"), removed("home")])
        .when(add("home", "1 Main St"))
        .then([added("home")]);
}

#[test]
fn an_address_that_is_not_there_is_not_removed() {
    given::<Customer>([signed_up("t"), added("work")])
        .when(remove("home"))
        .then_rejects(CustomerRejection::NoSuchAddress);
}

#[test]
fn each_command_in_each_state() {
    every_command_in_every_state::<Customer>(
        given,
        vec![
            ("unknown", vec![]),
            ("unverified", vec![signed_up("t")]),
            ("verified", vec![signed_up("t"), verified(ADA)]),
            ("with address", vec![signed_up("t"), added("work")]),
        ],
        &[
            sign_up(BEA),
            change(BEA),
            verify("t"),
            add("home", "1 Main St"),
            remove("work"),
        ],
        "unknown, SignUp: CustomerSignedUp
         unknown, ChangeEmail: customer-not-signed-up
         unknown, VerifyEmail: customer-not-signed-up
         unknown, AddAddress: customer-not-signed-up
         unknown, RemoveAddress: customer-not-signed-up
         unverified, SignUp: customer-already-signed-up
         unverified, ChangeEmail: CustomerEmailChanged
         unverified, VerifyEmail: CustomerEmailVerified
         unverified, AddAddress: AddressAdded
         unverified, RemoveAddress: no-such-address
         verified, SignUp: customer-already-signed-up
         verified, ChangeEmail: CustomerEmailChanged
         verified, VerifyEmail: -
         verified, AddAddress: AddressAdded
         verified, RemoveAddress: no-such-address
         with address, SignUp: customer-already-signed-up
         with address, ChangeEmail: CustomerEmailChanged
         with address, VerifyEmail: CustomerEmailVerified
         with address, AddAddress: AddressAdded
         with address, RemoveAddress: AddressRemoved",
    );
}

#[test]
fn the_codes_are_those_of_its_rejections() {
    let all = [
        CustomerRejection::InvalidEmail,
        CustomerRejection::EmptyNickname,
        CustomerRejection::EmptyLocation,
        CustomerRejection::NicknameTooLong,
        CustomerRejection::LocationTooLong,
        CustomerRejection::AlreadySignedUp,
        CustomerRejection::NotSignedUp,
        CustomerRejection::WrongToken,
        CustomerRejection::NicknameTaken,
        CustomerRejection::TooManyAddresses,
        CustomerRejection::NoSuchAddress,
    ];
    assert_eq!(all.map(|rejection| rejection.code()), CustomerRejection::CODES);
}

// The view

#[test]
fn a_row_shows_the_customer_and_the_addresses_and_no_token() {
    let rows = rows::<Customers>().after::<Customer>(
        "7",
        [
            signed_up("secret"),
            verified(ADA),
            added("my home"),
            added("work"),
            removed("work"),
        ],
    );
    assert_eq!(
        serde_json::to_value(rows.row("7").unwrap()).unwrap(),
        serde_json::json!({
            "id": "7",
            "email": ADA,
            "verified": true,
            "signed_up_at": "1970-01-01T00:00:01.000Z",
            "addresses": [
                { "address": "/customers/7/addresses/my%20home", "nickname": "my home", "location": "1 Main St" },
            ],
        })
    );
}

#[test]
fn a_row_shows_a_changed_email_as_unverified() {
    let events = [signed_up("t"), verified(ADA), changed(BEA, "u")];
    let row = rows::<Customers>()
        .after::<Customer>("7", events)
        .row("7")
        .unwrap();
    assert_eq!((row.email.text(), row.verified), (Some(BEA), false));
}

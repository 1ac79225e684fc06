//! A script with every command of the restaurant, accepted and refused.

use foldline_tests::records;
use foldline_tests::system::System;
use serde_json::{Value, json};

use super::doors::{Doors, Seen};

/// What each command of the script leads to: its events or its refusal, and the sequence afterwards.
pub const STEPS: [&str; 43] = [
    "AddMenuItem -> MenuItemAdded @1",
    "AddMenuItem -> menu-item-already-added @1",
    "ModifyMenuItem -> MenuItemModified @2",
    "ModifyMenuItem ->  @2",
    "ModifyMenuItem -> price-not-positive @2",
    "AddMenuItem -> description-empty @0",
    "ModifyMenuItem -> unknown-aggregate @0",
    "AddMenuItem -> MenuItemAdded @1",
    "RemoveMenuItem -> MenuItemRemoved @2",
    "RemoveMenuItem -> menu-item-removed @2",
    "SignUp -> email-invalid @0",
    "SignUp -> CustomerSignedUp @1",
    "SignUp -> email-taken @0",
    "ChangeEmail -> CustomerEmailChanged @2",
    "SignUp -> CustomerSignedUp @1",
    "VerifyEmail -> wrong-token @2",
    "VerifyEmail -> CustomerEmailVerified @3",
    "AddAddress -> AddressAdded @4",
    "AddAddress -> nickname-taken @4",
    "AddAddress -> AddressAdded @2",
    "RemoveAddress -> no-such-address @4",
    "OpenOrder -> unknown-customer @0",
    "OpenOrder -> OrderOpened @1",
    "PlaceOrder -> order-empty @1",
    "AddItemToOrder -> quantity-not-positive @1",
    "AddItemToOrder -> menu-item-not-on-sale @1",
    "AddItemToOrder -> unknown-menu-item @1",
    "AddItemToOrder -> ItemAddedToOrder @2",
    "ChangeItemQuantity -> ItemQuantityChanged @3",
    "PlaceOrder -> order-without-address @3",
    "SetDeliveryAddress -> unknown-address @3",
    "SetDeliveryAddress -> address-of-another-customer @3",
    "SetDeliveryAddress -> DeliveryAddressSet @4",
    "RemoveItemFromOrder -> ItemRemovedFromOrder @5",
    "RemoveItemFromOrder -> item-not-in-order @5",
    "AddItemToOrder -> ItemAddedToOrder @6",
    "PlaceOrder -> OrderPlaced @7",
    "CancelOrder -> order-not-open @7",
    "OpenOrder -> order-already-opened @7",
    "OpenOrder -> OrderOpened @1",
    "CancelOrder -> OrderCancelled @2",
    "SetDeliveryAddress -> order-not-open @2",
    "RemoveAddress -> AddressRemoved @5",
];

/// The script through one door, with ids and emails that begin with its name.
pub async fn run(system: &System, doors: &Doors, door: &str) -> Vec<Seen> {
    let script = Script { system, doors, door };
    let mut seen = script.menu().await;
    seen.extend(script.customers().await);
    seen.extend(script.orders().await);
    // An order goes to where the customer was, also when the address is gone.
    seen.push(
        script
            .send(
                "customers",
                "ada",
                json!({"type": "RemoveAddress", "nickname": "home"}),
            )
            .await,
    );
    seen
}

struct Script<'a> {
    system: &'a System,
    doors: &'a Doors,
    door: &'a str,
}

impl Script<'_> {
    async fn send(&self, name: &str, who: &str, body: Value) -> Seen {
        self.doors.send(self.door, name, &self.id(who), &body).await
    }

    fn id(&self, who: &str) -> String {
        format!("{}-{who}", self.door)
    }

    /// A field of the newest event of an aggregate that has it.
    fn recorded(&self, name: &str, who: &str, field: &str) -> String {
        let events = records::events_of(&self.system.kafka, &format!("restaurant.{name}"), &self.id(who));
        let mut newest = events.iter().rev();
        let found = newest.find_map(|event| find(&event.payload, field));
        found.unwrap_or_else(|| panic!("no {field} in {events:?}"))
    }

    async fn menu(&self) -> Vec<Seen> {
        let item = |kind: &str, description: &str, amount: i64| {
            let price = json!({"amount": amount, "currency": "USD"});
            json!({"type": kind, "description": description, "price": price})
        };
        vec![
            self.send("menu", "pizza", item("AddMenuItem", "Pizza", 1250))
                .await,
            self.send("menu", "pizza", item("AddMenuItem", "Pizza", 1250))
                .await,
            self.send("menu", "pizza", item("ModifyMenuItem", "Pizza", 1300))
                .await,
            self.send("menu", "pizza", item("ModifyMenuItem", "Pizza", 1300))
                .await,
            self.send("menu", "pizza", item("ModifyMenuItem", "Pizza", 0))
                .await,
            self.send("menu", "soup", item("AddMenuItem", "", 600)).await,
            self.send("menu", "soup", item("ModifyMenuItem", "Soup", 600))
                .await,
            self.send("menu", "soup", item("AddMenuItem", "Soup", 600)).await,
            self.send("menu", "soup", json!({"type": "RemoveMenuItem"})).await,
            self.send("menu", "soup", json!({"type": "RemoveMenuItemCommand"}))
                .await,
        ]
    }

    async fn customers(&self) -> Vec<Seen> {
        let door = self.door;
        let mail = |kind: &str, email: String| json!({"type": kind, "email": email});
        let address =
            |nickname: &str| json!({"type": "AddAddress", "nickname": nickname, "location": "1 Main St"});
        let token = |token: &str| json!({"type": "VerifyEmail", "token": token});
        let (first, second) = (format!("Ada@{door}.example"), format!("ada@new.{door}.example"));
        let mut seen = vec![
            self.send("customers", "ada", mail("SignUp", "nowhere".into()))
                .await,
            self.send("customers", "ada", mail("SignUp", first.clone())).await,
            self.send("customers", "bob", mail("SignUp", first.to_uppercase()))
                .await,
            self.send("customers", "ada", mail("ChangeEmail", second)).await,
            self.send("customers", "bob", mail("SignUp", first.to_uppercase()))
                .await,
            self.send("customers", "ada", token("of somebody else")).await,
        ];
        let right = self.recorded("customers", "ada", "token");
        let remove = json!({"type": "RemoveAddress", "nickname": "work"});
        seen.extend([
            self.send("customers", "ada", token(&right)).await,
            self.send("customers", "ada", address("home")).await,
            self.send("customers", "ada", address("home")).await,
            self.send("customers", "bob", address("home")).await,
            self.send("customers", "ada", remove).await,
        ]);
        seen
    }

    async fn orders(&self) -> Vec<Seen> {
        let customer = |who: &str| format!("/customers/{}", self.id(who));
        let open = |who: &str| json!({"type": "OpenOrder", "customer": customer(who)});
        let add = |what: &str, quantity: i32| {
            let menu_item = format!("/menu/items/{}", self.id(what));
            json!({"type": "AddItemToOrder", "menu_item": menu_item, "quantity": quantity})
        };
        let bring = |who: &str, where_to: &str| {
            let address = format!("{}/addresses/{where_to}", customer(who));
            json!({"type": "SetDeliveryAddress", "address": address})
        };
        let place = json!({"type": "PlaceOrder"});
        let mut seen = Vec::new();
        for body in [
            open("nobody"),
            open("ada"),
            place.clone(),
            add("pizza", 0),
            add("soup", 1),
            add("cake", 1),
            add("pizza", 2),
        ] {
            seen.push(self.send("orders", "order", body).await);
        }
        let line = self.recorded("orders", "order", "order_item_id");
        let line = format!("/orders/{}/items/{line}", self.id("order"));
        let remove = json!({"type": "RemoveItemFromOrder", "order_item": line});
        for body in [
            json!({"type": "ChangeItemQuantity", "order_item": line, "quantity": 5}),
            place.clone(),
            bring("ada", "work"),
            bring("bob", "home"),
            bring("ada", "home"),
            remove.clone(),
            remove,
            add("pizza", 1),
            place,
            json!({"type": "CancelOrder"}),
            open("ada"),
        ] {
            seen.push(self.send("orders", "order", body).await);
        }
        for body in [open("bob"), json!({"type": "CancelOrder"}), bring("bob", "home")] {
            seen.push(self.send("orders", "other", body).await);
        }
        seen
    }
}

fn find(payload: &Value, field: &str) -> Option<String> {
    payload.get(field).and_then(Value::as_str).map(str::to_owned)
}

//! The workload: orders, as guests place them.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::http::{Ask, Connection, post};

const ITEMS: usize = 10;
const CUSTOMERS: usize = 20;

/// The commands of an order: open, three items, the address, place.
pub(crate) const COMMANDS_PER_ORDER: usize = 6;

/// What orders refer to.
pub(crate) struct Restaurant {
    items: Vec<String>,
    customers: Vec<String>,
}

impl Restaurant {
    /// Makes a menu and customers with addresses.
    pub(crate) async fn found(write: SocketAddr) -> anyhow::Result<Self> {
        let mut connection = Connection::open(write).await?;
        let mut items = Vec::new();
        for number in 0..ITEMS {
            let price = json!({"amount": 500 + number, "currency": "USD"});
            let body =
                json!({"type": "AddMenuItem", "description": format!("Dish {number}"), "price": price});
            items.push(create(&mut connection, "/menu/items", &[body]).await?);
        }
        let mut customers = Vec::new();
        for number in 0..CUSTOMERS {
            let sign_up = json!({"type": "SignUp", "email": format!("guest{number}@example.org")});
            let address = json!({"type": "AddAddress", "nickname": "home", "location": "1 Main Street"});
            customers.push(create(&mut connection, "/customers", &[sign_up, address]).await?);
        }
        Ok(Self { items, customers })
    }

    /// The commands of the order with this number, as JSON.
    pub(crate) fn order(&self, number: usize) -> [Value; COMMANDS_PER_ORDER] {
        let customer = &self.customers[number % self.customers.len()];
        let add = |item: usize| {
            let item = &self.items[(number + item) % self.items.len()];
            json!({"type": "AddItemToOrder", "menu_item": item, "quantity": 1 + number % 3})
        };
        [
            json!({"type": "OpenOrder", "customer": customer}),
            add(0),
            add(1),
            add(2),
            json!({"type": "SetDeliveryAddress", "address": format!("{customer}/addresses/home")}),
            json!({"type": "PlaceOrder"}),
        ]
    }
}

/// Gives the commands to a new aggregate. Returns the link to it.
async fn create(connection: &mut Connection, path: &str, commands: &[Value]) -> anyhow::Result<String> {
    let link = format!("{path}/{}", Uuid::now_v7());
    for command in commands {
        let ask = post(&format!("{link}/commands"), command);
        connection.ask(ask).await?.successful()?;
    }
    Ok(link)
}

/// A guest, who places one order after the other.
pub(crate) struct Guest {
    restaurant: Arc<Restaurant>,
    number: usize,
    /// The link to the order, and what is still to be asked of it, the last first.
    order: String,
    left: Vec<Value>,
}

impl Guest {
    pub(crate) fn new(restaurant: &Arc<Restaurant>, number: usize) -> Self {
        Self {
            restaurant: Arc::clone(restaurant),
            number,
            order: String::new(),
            left: Vec::new(),
        }
    }

    /// The next command.
    pub(crate) fn next(&mut self) -> Ask {
        let command = self.left.pop().unwrap_or_else(|| {
            self.number += 1;
            self.order = format!("/orders/{}", Uuid::now_v7());
            let [open, others @ ..] = self.restaurant.order(self.number);
            self.left = others.into_iter().rev().collect();
            open
        });
        post(&format!("{}/commands", self.order), &command)
    }

    /// The order that the last command was for.
    pub(crate) fn order(&self) -> &str {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{COMMANDS_PER_ORDER, Guest, Restaurant};

    fn restaurant() -> Restaurant {
        Restaurant {
            items: vec!["/menu/items/a".to_owned(), "/menu/items/b".to_owned()],
            customers: vec!["/customers/c".to_owned()],
        }
    }

    #[test]
    fn a_guest_finishes_an_order_before_the_next_one() {
        let mut guest = Guest::new(&Arc::new(restaurant()), 0);
        let mut paths = Vec::new();
        for _ in 0..2 * COMMANDS_PER_ORDER {
            let ask = guest.next();
            assert!(ask.uri().path().starts_with(guest.order()));
            paths.push(ask.uri().path().to_owned());
        }
        paths.dedup();
        assert_eq!(paths.len(), 2);
    }

    #[test]
    fn every_command_has_the_form_that_the_domain_asks_for() {
        let domains = foldline_domains::installed();
        let orders = domains.aggregate("restaurant", "orders").unwrap();
        for command in restaurant().order(7) {
            orders.command_from_json(&command, None).unwrap();
        }
    }
}

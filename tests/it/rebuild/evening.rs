//! An evening at the bar: tabs with everything that can happen to one.

use foldline_tests::client::Client;
use foldline_tests::system::System;
use serde_json::{Value, json};

/// A tab, and what must stand on it.
#[derive(Debug, Clone)]
pub struct Tab {
    /// Its path, `/tabs/{id}`.
    pub path: String,
    pub id: String,
    pub drinks: i64,
    /// What was asked of it after it was opened, in order.
    pub asked: Vec<Value>,
    pub token: String,
}

impl Tab {
    pub async fn open(write: &Client, guest: &str) -> Self {
        let opened = write.post("/tabs", &json!({"guest": guest})).await.expect(201);
        let path = opened.text("/aggregate").to_owned();
        Self {
            id: path.rsplit('/').next().unwrap().to_owned(),
            path,
            drinks: 0,
            asked: Vec::new(),
            token: opened.text("/consistency_token").to_owned(),
        }
    }

    /// Asks for all of this at once.
    pub async fn ask(&mut self, write: &Client, commands: Vec<Value>) {
        let quantities = commands.iter().filter_map(|command| command["quantity"].as_i64());
        self.drinks += quantities.sum::<i64>();
        let path = format!("{}/commands", self.path);
        let answer = write.post(&path, &json!(commands)).await.expect(200);
        answer.text("/consistency_token").clone_into(&mut self.token);
        self.asked.extend(commands);
    }

    /// The sequence of the first event of a command for which this holds; the tab was opened with the first one.
    pub fn first(&self, is_it: impl Fn(&Value) -> bool) -> Option<i64> {
        let found = self.asked.iter().position(is_it);
        found.map(|index| i64::try_from(index).unwrap() + 2)
    }
}

pub fn drinks(quantity: i64, price: i64) -> Value {
    json!({"type": "OrderDrinks", "quantity": quantity, "price": price})
}

pub fn tip(amount: i64) -> Value {
    json!({"type": "Tip", "amount": amount})
}

/// Ten tabs. Some have several drinks of a kind, some tips, some are handed over, some are closed, some nothing of it.
pub async fn ten_tabs(system: &System) -> Vec<Tab> {
    let write = system.write();
    let mut tabs = Vec::new();
    for number in 0..10 {
        let mut tab = Tab::open(&write, &format!("guest {number}")).await;
        let mut commands = vec![drinks(1, 5)];
        if number % 2 == 0 {
            commands.extend([drinks(3, 4), drinks(2, 7)]);
        }
        if number % 3 == 0 {
            commands.extend([tip(2), drinks(1, 1), tip(3)]);
        }
        if number % 4 == 0 {
            commands.push(json!({"type": "HandOver", "guest": format!("friend {number}")}));
        }
        if number % 5 == 0 {
            commands.extend([drinks(1, 2), json!({"type": "CloseTab"})]);
        }
        tab.ask(&write, commands).await;
        tabs.push(tab);
    }
    for tab in &tabs {
        system.read().get_after(&tab.path, &tab.token).await.expect(200);
    }
    tabs
}

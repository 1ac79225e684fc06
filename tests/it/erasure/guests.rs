use foldline_tests::producer::{Upstream, meta};
use foldline_tests::system::System;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// A customer whose every personal value is a canary, with an order that goes to the customer's address.
pub(super) struct Guest {
    pub(super) id: String,
    pub(super) order: String,
    first_email: String,
    pub(super) email: String,
    pub(super) nickname: String,
    pub(super) location: String,
    unknown: String,
    /// Whether the commands came straight from a producer.
    by_kafka: bool,
}

pub(super) fn canary(what: &str) -> String {
    format!("{what}{}", Uuid::new_v4().simple())
}

impl Guest {
    /// So many, half of them over each door.
    pub(super) async fn many(system: &System, count: usize) -> Vec<Self> {
        let price = json!({"amount": 350, "currency": "EUR"});
        let tea = json!({"type": "AddMenuItem", "description": "Tea", "price": price});
        system
            .write()
            .post("/menu/items/tea/commands", &tea)
            .await
            .expect(201);
        let customers = Upstream::to(&system.kafka, "restaurant.customers").await;
        let new = |index| Self {
            id: Uuid::new_v4().to_string(),
            order: Uuid::new_v4().to_string(),
            first_email: format!("{}@example.org", canary("first")),
            email: format!("{}@example.org", canary("mail")),
            nickname: canary("home"),
            location: format!("1 {} St", canary("road")),
            unknown: canary("nowhere"),
            by_kafka: index % 2 == 0,
        };
        let guests: Vec<Self> = (0..count).map(new).collect();
        let by = |by_kafka: bool| guests.iter().filter(move |guest| guest.by_kafka == by_kafka);
        let come = async |by_kafka: bool| {
            for guest in by(by_kafka) {
                guest.come(system, &customers).await;
            }
        };
        tokio::join!(come(true), come(false));
        guests
    }

    async fn come(&self, system: &System, customers: &Upstream) {
        self.ask(
            system,
            customers,
            json!({"type": "SignUp", "email": self.first_email}),
        )
        .await;
        self.ask(
            system,
            customers,
            json!({"type": "ChangeEmail", "email": self.email}),
        )
        .await;
        let address = json!({"type": "AddAddress", "nickname": self.nickname, "location": self.location});
        self.ask(system, customers, address.clone()).await;
        // Both are refused, and their refusals are kept.
        self.ask(system, customers, address).await;
        self.ask(
            system,
            customers,
            json!({"type": "RemoveAddress", "nickname": self.unknown}),
        )
        .await;
        let order = format!("/orders/{}/commands", self.order);
        let customer = format!("/customers/{}", self.id);
        let steps = [
            json!({"type": "OpenOrder", "customer": customer}),
            json!({"type": "AddItemToOrder", "menuItem": "/menu/items/tea", "quantity": 1}),
            json!({"type": "SetDeliveryAddress", "address": format!("{customer}/addresses/{}", self.nickname)}),
        ];
        for step in steps {
            let answer = system.write().post(&order, &step).await;
            assert!(answer.status < 300, "{answer:?}");
        }
        let wrong = json!({"type": "SetDeliveryAddress", "address": format!("{customer}/addresses/{}", self.unknown)});
        system
            .write()
            .post(&order, &wrong)
            .await
            .expect_problem(422, "unknown-address");
        let placed = system
            .write()
            .post(&order, &json!({"type": "PlaceOrder"}))
            .await
            .expect(200);
        let token = placed.header("consistency-token").expect("a token").to_owned();
        system
            .read()
            .get_after(&format!("/orders/{}", self.order), &token)
            .await
            .expect(200);
    }

    /// Sends a command on the customer, twice under the same id.
    async fn ask(&self, system: &System, customers: &Upstream, body: Value) {
        let id = Uuid::new_v4();
        for _ in 0..2 {
            if self.by_kafka {
                let command = customers.command(&body);
                customers.ask(meta(&self.id, id), &command).await;
            } else {
                let path = format!("/customers/{}/commands", self.id);
                let request = system.write().request(Method::POST, &path).json(&body);
                let answer = system
                    .write()
                    .send(request.header("Idempotency-Key", format!("\"{id}\"")))
                    .await;
                assert!(answer.status < 500, "{answer:?}");
            }
        }
    }

    /// How many events there are of the guest: three, and four of the order.
    pub(super) fn events(&self) -> u64 {
        3 + 4
    }

    /// Texts that stand nowhere else.
    pub(super) fn canaries(&self) -> Vec<String> {
        let of = |text: &str, sides: &[char]| {
            let mut parts = text.split(|letter| sides.contains(&letter));
            parts.find(|part| part.len() > 32).unwrap_or_default().to_owned()
        };
        let texts = [
            &self.first_email,
            &self.email,
            &self.nickname,
            &self.location,
            &self.unknown,
        ];
        texts.map(|text| of(text, &['@', ' '])).into()
    }

    pub(super) async fn is_shown(&self, system: &System) {
        self.is_shown_with(system, &self.email, &self.nickname, &self.location)
            .await;
    }

    pub(super) async fn is_shown_as_erased(&self, system: &System) {
        self.is_shown_with(system, "erased", "erased", "erased").await;
    }

    async fn is_shown_with(&self, system: &System, email: &str, nickname: &str, location: &str) {
        let link = format!("/customers/{}/addresses/{nickname}", self.id);
        let customer = system
            .read()
            .get(&format!("/customers/{}", self.id))
            .await
            .expect(200);
        assert_eq!(customer.text("/email"), email);
        let address = json!({"address": link, "nickname": nickname, "location": location});
        assert_eq!(customer.body["addresses"], json!([address]));
        let order = system
            .read()
            .get(&format!("/orders/{}", self.order))
            .await
            .expect(200);
        assert_eq!(order.body["delivery_address"], address);
        let history = system
            .read()
            .get(&format!("/customers/{}/events", self.id))
            .await
            .expect(200);
        assert_eq!(history.text("/items/1/payload/email"), email, "{history:?}");
        assert_eq!(history.text("/items/2/payload/location"), location, "{history:?}");
        let entry = system.read().get(&link).await.expect(200);
        assert_eq!(entry.text("/location"), location);
    }

    /// Nothing new is kept of them.
    pub(super) async fn is_refused(&self, system: &System) {
        let path = format!("/customers/{}/commands", self.id);
        let write = system.write();
        let address = json!({"type": "AddAddress", "nickname": "new", "location": "somewhere"});
        write
            .post(&path, &address)
            .await
            .expect_problem(409, "subject-erased");
        write
            .post(&path, &json!({"type": "ChangeEmail", "email": "new@example.org"}))
            .await
            .expect_problem(409, "subject-erased");
    }
}

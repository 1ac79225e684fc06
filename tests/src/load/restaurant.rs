//! An evening at the restaurant: a menu whose prices move, customers who want the same emails, and orders.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Asked, Expected, Load, Manner};
use crate::chance::Chance;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Clients at the same time.
    pub clients: usize,
    /// Items on the menu.
    pub menu: usize,
    /// Customers, each with an address.
    pub customers: usize,
    /// Orders, about 7.3 commands each.
    pub orders: usize,
}

/// What one client does in one go.
enum Job {
    AddMenuItem(Uuid),
    SignUp(Uuid),
    /// Two of these want the same email at the same time.
    Rival(usize),
    NewPrice(Uuid),
    Order,
}

/// What an evening stands on.
pub struct World {
    menu: Vec<Uuid>,
    customers: Vec<Uuid>,
}

/// Runs the evening to its end: the menu and the customers first, then the orders.
pub async fn run(load: &Arc<Load>, size: Size, chance: &mut Chance) {
    let world = open(load, size, chance).await;
    let jobs = (0..size.orders).flat_map(|number| {
        let order = [Some(Job::Order), None, None];
        match number % 10 {
            0 => [
                Some(Job::Order),
                Some(Job::Rival(number)),
                Some(Job::Rival(number)),
            ],
            5 => [
                Some(Job::Order),
                Some(Job::NewPrice(*chance.one_of(&world.menu))),
                None,
            ],
            _ => order,
        }
    });
    let jobs: Vec<Job> = jobs.flatten().collect();
    work_through(load, &world, size.clients, jobs, chance).await;
}

/// The menu, and the customers.
pub async fn open(load: &Arc<Load>, size: Size, chance: &mut Chance) -> Arc<World> {
    let mut ids = |count| (0..count).map(|_| chance.uuid()).collect::<Vec<Uuid>>();
    let world = Arc::new(World {
        menu: ids(size.menu),
        customers: ids(size.customers),
    });
    let menu = world.menu.iter().copied().map(Job::AddMenuItem);
    let customers = world.customers.iter().copied().map(Job::SignUp);
    work_through(
        load,
        &world,
        size.clients,
        menu.chain(customers).collect(),
        chance,
    )
    .await;
    world
}

/// Orders alone, which hold nothing personal.
pub async fn orders(load: &Arc<Load>, world: &Arc<World>, size: Size, chance: &mut Chance) {
    let jobs = (0..size.orders).map(|_| Job::Order).collect();
    work_through(load, world, size.clients, jobs, chance).await;
}

async fn work_through(
    load: &Arc<Load>,
    world: &Arc<World>,
    clients: usize,
    jobs: Vec<Job>,
    chance: &mut Chance,
) {
    let jobs: VecDeque<(Job, Chance)> = jobs.into_iter().map(|job| (job, chance.fork())).collect();
    let jobs = Arc::new(Mutex::new(jobs));
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let (load, world, jobs) = (Arc::clone(load), Arc::clone(world), Arc::clone(&jobs));
        working.spawn(async move {
            let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            while let Some((job, chance)) = next() {
                let mut client = Client {
                    load: &load,
                    world: &world,
                    chance,
                };
                client.run(job).await;
            }
        });
    }
    while let Some(ended) = working.join_next().await {
        ended.expect("a client reads every answer");
    }
}

struct Client<'a> {
    load: &'a Load,
    world: &'a World,
    chance: Chance,
}

impl Client<'_> {
    async fn run(&mut self, job: Job) {
        match job {
            Job::AddMenuItem(id) => {
                let body = json!({"type": "AddMenuItem", "description": format!("Dish {id}"), "price": self.price()});
                self.ask(
                    format!("/menu/items/{id}/commands"),
                    body,
                    Expected::Event("MenuItemAdded"),
                )
                .await;
            }
            Job::NewPrice(id) => {
                // Never the same description: it would change nothing.
                let description = format!("Dish {}", self.chance.uuid());
                let body =
                    json!({"type": "ModifyMenuItem", "description": description, "price": self.price()});
                self.ask(
                    format!("/menu/items/{id}/commands"),
                    body,
                    Expected::Event("MenuItemModified"),
                )
                .await;
            }
            Job::SignUp(id) => self.sign_up(id).await,
            Job::Rival(number) => {
                let body = json!({"email": format!("Rival{number}@example.org")});
                self.ask(
                    "/customers".to_owned(),
                    body,
                    Expected::EventUnless("email-taken"),
                )
                .await;
            }
            Job::Order => self.order().await,
        }
    }

    async fn sign_up(&mut self, id: Uuid) {
        let path = format!("/customers/{id}/commands");
        let body = json!({"type": "SignUp", "email": format!("{id}@example.org")});
        self.ask(path.clone(), body, Expected::Event("CustomerSignedUp"))
            .await;
        let body = json!({"type": "AddAddress", "nickname": "home", "location": format!("{} Main St", id.as_fields().1)});
        self.ask(path.clone(), body, Expected::Event("AddressAdded"))
            .await;
        if self.chance.once_in(4) {
            // What is given up here is free again.
            let body = json!({"type": "ChangeEmail", "email": format!("{id}@example.com")});
            self.ask(path.clone(), body, Expected::Event("CustomerEmailChanged"))
                .await;
        }
        if self.chance.once_in(4) {
            let body = json!({"type": "SignUp", "email": "again@example.org"});
            self.ask(path, body, Expected::Refusal("customer-already-signed-up"))
                .await;
        }
    }

    async fn order(&mut self) {
        let customer = *self.chance.one_of(&self.world.customers);
        let opened = Expected::Event("OrderOpened");
        let path = if self.chance.once_in(2) {
            let key = self.chance.uuid();
            let body = json!({"customer": format!("/customers/{customer}")});
            self.ask_as(key, "/orders".to_owned(), body, opened).await;
            // How the API says that a request which comes again makes the same order.
            format!("/orders/{}/commands", Uuid::new_v5(&key, b"aggregate"))
        } else {
            let path = format!("/orders/{}/commands", self.chance.uuid());
            if self.chance.once_in(8) {
                self.ask(
                    path.clone(),
                    json!({"type": "PlaceOrder"}),
                    Expected::Refusal("unknown-aggregate"),
                )
                .await;
            }
            let body = json!({"type": "OpenOrder", "customer": format!("/customers/{customer}")});
            self.ask(path.clone(), body, opened).await;
            path
        };
        self.fill(&path).await;
        let address = format!("/customers/{customer}/addresses/home");
        let address = json!({"type": "SetDeliveryAddress", "address": address});
        self.ask(
            path.clone(),
            address.clone(),
            Expected::Event("DeliveryAddressSet"),
        )
        .await;
        if self.chance.once_in(6) {
            self.ask(path.clone(), address, Expected::Nothing).await;
        }
        self.ask(
            path.clone(),
            json!({"type": "PlaceOrder"}),
            Expected::Event("OrderPlaced"),
        )
        .await;
        if self.chance.once_in(4) {
            self.ask(
                path,
                json!({"type": "CancelOrder"}),
                Expected::Refusal("order-not-open"),
            )
            .await;
        }
    }

    async fn fill(&mut self, path: &str) {
        if self.chance.once_in(4) {
            self.ask(
                path.to_owned(),
                json!({"type": "PlaceOrder"}),
                Expected::Refusal("order-empty"),
            )
            .await;
        }
        if self.chance.once_in(8) {
            let body = add(self.chance.uuid(), 1);
            self.ask(path.to_owned(), body, Expected::Refusal("unknown-menu-item"))
                .await;
        }
        for _ in 0..3 {
            let item = *self.chance.one_of(&self.world.menu);
            if self.chance.once_in(12) {
                self.ask(
                    path.to_owned(),
                    add(item, 0),
                    Expected::Refusal("quantity-not-positive"),
                )
                .await;
            }
            let quantity = 1 + self.chance.below(4);
            self.ask(
                path.to_owned(),
                add(item, quantity),
                Expected::Event("ItemAddedToOrder"),
            )
            .await;
        }
    }

    fn price(&mut self) -> Value {
        json!({"amount": 100 + self.chance.below(2000), "currency": "USD"})
    }

    async fn ask(&mut self, path: String, body: Value, expected: Expected) {
        let key = self.chance.uuid();
        self.ask_as(key, path, body, expected).await;
    }

    async fn ask_as(&mut self, key: Uuid, path: String, body: Value, expected: Expected) {
        let manner = Manner::any(&mut self.chance);
        let asked = Asked {
            key,
            path,
            body,
            expected,
        };
        self.load.ask(asked, manner).await;
    }
}

fn add(menu_item: Uuid, quantity: usize) -> Value {
    json!({"type": "AddItemToOrder", "menu_item": format!("/menu/items/{menu_item}"), "quantity": quantity})
}

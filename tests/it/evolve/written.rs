//! The log of the club, written by the real system.

use std::path::Path;
use std::sync::Arc;

use foldline_core::{AggregateType, CommandResult, Domains};
use foldline_kafka::{Engine, Gateway, KafkaSettings, register_schemas};
use foldline_tests::stack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::club::{Older, Running, domains};
use crate::engine;

/// A log that two versions of the domain have written, one after the other.
pub async fn written_log() -> KafkaSettings {
    let (older, running) = (domains::<Older>().unwrap(), domains::<Running>().unwrap());
    let kafka = stack::kafka("evolve", &older).await;
    let folder = stack::folder().join(stack::unique_name("state"));
    let mut club = Club::open(&kafka, &folder, &older).await;
    club.ask(
        "plans",
        "basic",
        &[json!({"type": "Price", "price": 500})],
        "accepted",
    )
    .await;
    club.ask(
        "plans",
        "rich",
        &[json!({"type": "Price", "price": 2000})],
        "accepted",
    )
    .await;
    for member in ["ada", "bob"] {
        club.ask(
            "members",
            member,
            &[join(member, "basic"), deposit(3000), visit("DAY", 0)],
            "accepted",
        )
        .await;
        club.ask(
            "members",
            member,
            &[deposit(500), visit("NIGHT", 0), deposit(100)],
            "accepted",
        )
        .await;
    }
    club.close().await;

    register_schemas(&kafka, &running).await.unwrap();
    let mut club = Club::open(&kafka, &folder, &running).await;
    club.ask(
        "plans",
        "basic",
        &[json!({"type": "Price", "price": 700})],
        "accepted",
    )
    .await;
    for (member, plan) in [
        ("cid", "basic"),
        ("dan", "rich"),
        ("eve", "basic"),
        ("fay", "rich"),
    ] {
        club.ask(
            "members",
            member,
            &[join(member, plan), deposit(4000), deposit(900)],
            "accepted",
        )
        .await;
        club.ask(
            "members",
            member,
            &[visit("DAY", 2), visit("DAY", 1), deposit(50)],
            "accepted",
        )
        .await;
        club.ask(
            "members",
            member,
            &[visit("NIGHT", 5)],
            if plan == "rich" { "refused" } else { "accepted" },
        )
        .await;
        club.ask("members", member, &[deposit(2000)], "accepted").await;
    }
    club.ask(
        "members",
        "ada",
        &[visit("NIGHT", 3), change_email("Ada@New.example")],
        "accepted",
    )
    .await;
    club.ask("members", "bob", &[json!({"type": "Leave"})], "accepted")
        .await;
    for (member, command) in [
        ("ada", deposit(-1)),
        ("bob", deposit(100)),
        ("cid", join("cid", "basic")),
        ("eve", change_email("ADA@new.example")),
        ("gus", join("gus", "golden")),
        ("hal", deposit(5)),
        ("ian", join("cid", "basic")),
    ] {
        club.ask("members", member, &[command], "refused").await;
    }
    club.ask("members", "fay", &[deposit(HUGE)], "accepted").await;
    // Bob's email is free again.
    club.ask("members", "jim", &[join("bob", "rich")], "accepted")
        .await;
    club.close().await;
    kafka
}

fn join(email: &str, plan: &str) -> Value {
    json!({"type": "Join", "email": format!("{email}@Club.example"), "plan": plan, "note": format!("from {email}")})
}

const HUGE: i64 = 5_000_000_000;

fn deposit(amount: i64) -> Value {
    let note = match amount {
        4000 => Some("for the summer"),
        // More than 32 bits have place for.
        HUGE => Some("for ever"),
        _ => None,
    };
    json!({"type": "Deposit", "amount": amount, "note": note})
}

fn visit(kind: &str, guests: i32) -> Value {
    json!({"type": "Visit", "kind": kind, "guests": guests})
}

fn change_email(email: &str) -> Value {
    json!({"type": "ChangeEmail", "email": email})
}

/// The write side with one version of the domain.
struct Club {
    engine: Engine,
    gateway: Gateway,
    domains: Domains,
}

impl Club {
    async fn open(kafka: &KafkaSettings, folder: &Path, domains: &Domains) -> Self {
        let engine = engine::start(kafka, folder, domains).await;
        Self {
            gateway: engine.gateway(),
            engine,
            domains: domains.clone(),
        }
    }

    async fn ask(&mut self, aggregate: &str, id: &str, commands: &[Value], outcome: &str) {
        let aggregate = Arc::clone(self.domains.aggregate("club", aggregate).unwrap());
        for command in commands {
            let result = self.send(&aggregate, id, command.clone()).await;
            assert_eq!(result.outcome, outcome, "{id}: {command}: {result:?}");
        }
    }

    async fn send(&self, aggregate: &Arc<dyn AggregateType>, id: &str, command: Value) -> CommandResult {
        engine::send_as(
            &self.gateway,
            aggregate,
            engine::meta(id, Uuid::now_v7()),
            command,
        )
        .await
    }

    async fn close(self) {
        // It holds the store open.
        drop(self.gateway);
        self.engine.stop().await;
    }
}

//! The system, and what is done to it.

mod nap;
mod nodes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldline_kafka::KafkaSettings;
use foldline_stack::{Quiet, Server, Stack};
use serde_json::json;

pub use self::nap::Naps;
use super::report::Hit;
use super::schedule::{Blow, Condition, Step, Target};
use crate::chance::Chance;
use crate::handler::Handler;
use crate::load::{Answered, Asked, Expected, Load, Manner};
use crate::producer::{Raw, Upstream, id_in};
use crate::proxy::{Line, Proxy};
use crate::stack::{self, PARTITIONS};
use crate::system::{HandlerOptions, Service, System};

/// How long one try of a client may take before it turns to the other command handler.
const TRY_MAX: Duration = Duration::from_secs(5);
/// Longer than a broker takes to come back on a machine that is not ours alone, in a line that is cut.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a named point may take to be reached.
const POINT_MAX: Duration = Duration::from_secs(30);
/// How many records that are no commands.
const POISON: usize = 20;
const SIGKILL: i32 = 9;
/// What the system's own command handler is called among its like, and what its standby is.
const FIRST: &str = "first";
const SECOND: &str = "second";

/// A whole system, a second command handler that is not running, and a load on both.
pub struct Stage {
    /// The clients.
    pub load: Arc<Load>,
    /// The three services.
    pub system: System,
    /// What was done, and what came of it.
    pub hits: Vec<Hit>,
    /// How often each condition was there.
    pub conditions: BTreeMap<String, usize>,
    /// How often a process has ended by itself, and what it said last.
    pub ended: Vec<String>,
    /// What became of command handlers that slept.
    pub naps: Naps,
    /// Before the broker, as the command handlers see it.
    pub proxy: Proxy,
    stack: Stack,
    second: Handler,
    has_second: bool,
    /// Has the name of the system's own command handler, and runs only while that one is to be taken for dead.
    twin: Handler,
    /// What lasts just now: how soon a blow is over cannot be told then.
    lasting: Option<Condition>,
    upstream: Upstream,
    chance: Chance,
}

impl Stage {
    /// Starts everything.
    pub async fn set(test: &str, program: &str, brokers: usize, chance: &mut Chance) -> Self {
        let (stack, kafka, proxy, before) = stack::proxied(test, brokers, 0).await;
        let handler = HandlerOptions {
            bootstrap_servers: Some(before.clone()),
            arguments: vec!["--instance".to_owned(), FIRST.to_owned()],
        };
        let system = System::start_with(kafka, test, program, handler).await;
        let proxied = KafkaSettings {
            bootstrap_servers: before,
            ..system.kafka.clone()
        };
        let mut second = Handler::launch(&proxied, SECOND, program).await;
        second.wait_until_ready().await;
        second.stop().await;
        let twin = Handler::prepare(&proxied, FIRST, program, &[]).await;
        Self {
            load: Arc::new(Load::among(
                vec![system.write(), second.write(), twin.write()],
                TRY_MAX,
                PATIENCE,
            )),
            upstream: Upstream::to(&system.kafka, "restaurant.menu").await,
            system,
            hits: Vec::new(),
            conditions: BTreeMap::new(),
            ended: Vec::new(),
            naps: Naps::default(),
            proxy,
            stack,
            second,
            has_second: false,
            twin,
            lasting: None,
            chance: chance.fork(),
        }
    }

    /// Blows and conditions so far.
    pub fn faults(&self) -> usize {
        self.hits.len() + self.conditions.values().sum::<usize>()
    }

    /// Takes a step.
    pub async fn step(&mut self, step: Step) {
        match step {
            Step::Hit(blow) => self.hit(blow).await,
            Step::Begin(condition) => self.begin(condition).await,
            Step::End(condition) => self.end(condition).await,
        }
        self.keep().await;
    }

    /// Ends every condition, and starts what does not run.
    pub async fn heal(&mut self) {
        for service in Service::ALL {
            self.system.resume(service);
        }
        self.stack.brokers().iter().for_each(Server::resume);
        self.stack.registry().resume();
        self.proxy.be(Line::Clear);
        self.proxy.hold_one_in(0);
        self.start_brokers().await;
        self.start_registry().await;
        if std::mem::take(&mut self.has_second) {
            self.second.stop().await;
        }
        self.keep().await;
    }

    /// A new menu item in each partition, all at once: the answers, each `None` if it did not come.
    pub async fn probe(&mut self) -> Vec<Option<Answered>> {
        let items = (0..PARTITIONS).map(|partition| {
            let id = id_in(partition, &self.chance.uuid().to_string());
            let asked = Asked {
                key: self.chance.uuid(),
                path: format!("/menu/items/{id}/commands"),
                body: json!({"type": "AddMenuItem", "description": format!("Dish {id}"), "price": {"amount": 100, "currency": "USD"}}),
                expected: Expected::Event("MenuItemAdded"),
            };
            let load = Arc::clone(&self.load);
            tokio::spawn(async move { load.ask(asked, Manner::default()).await })
        });
        let mut answers = Vec::new();
        for item in items.collect::<Vec<_>>() {
            answers.push(item.await.expect("a client reads its answer"));
        }
        answers
    }

    /// What its supervisor would do: start what has ended by itself.
    async fn keep(&mut self) {
        for service in Service::ALL {
            let Some(status) = self.system.has_ended(service).await else {
                continue;
            };
            let log = self.system.log_of(service);
            let said = log.lines().last().unwrap_or_default();
            self.ended.push(format!("{}: {status}: {said}", service.name()));
            self.system.kill(service).await;
            self.system.launch(service);
        }
    }

    async fn hit(&mut self, blow: Blow) {
        let at = self.load.elapsed();
        let mut hit = Hit {
            blow,
            at,
            in_transaction: self.proxy.open_transactions() > 0,
            waiting: self.load.waiting(),
            is_felt: touches_the_write_side(blow),
            back_after: None,
        };
        let mut began_at = Instant::now();
        match blow {
            Blow::Kill(Target::Service(service)) => {
                self.system.kill(service).await;
                self.system.launch(service);
            }
            Blow::Kill(Target::Broker) => {
                let node = self.any_node();
                return self.kill_node(node, hit).await;
            }
            Blow::KillLeader => {
                let Some(node) = self.leader_of_an_event_partition().await else {
                    return;
                };
                return self.kill_node(node, hit).await;
            }
            Blow::Kill(Target::Registry) => {
                self.stack.registry_mut().kill().await;
                self.start_registry().await;
            }
            Blow::RestartBroker => {
                let node = self.any_node();
                self.stack.brokers()[node].resume();
                self.stack.brokers_mut()[node].stop().await;
                self.start_brokers().await;
            }
            Blow::KillAt(service, point, times) => {
                let Some(open) = self.kill_at(service, &format!("{point}:{times}")).await else {
                    return;
                };
                hit.in_transaction = open;
                began_at = Instant::now();
                self.system.launch(service);
            }
            // A start that must succeed, or what is not seen in time, would stop the run.
            Blow::HandOver | Blow::Zombie(_) if !self.can_be_joined() => return,
            Blow::HandOver => return self.hand_over(hit).await,
            Blow::Zombie(successor) => return self.zombie(hit, successor).await,
            Blow::LoseState | Blow::DamageState => {
                self.system.kill(Service::CommandHandler).await;
                let state = self.system.state_folder();
                match blow {
                    Blow::LoseState => drop(fs::remove_dir_all(state)),
                    _ => self.damage(&state),
                }
                self.system.launch(Service::CommandHandler);
            }
            Blow::LoseViews => {
                self.system.kill(Service::Projector).await;
                self.system.kill(Service::QueryApi).await;
                // It may not be there yet after the last time.
                let _ = fs::remove_dir_all(self.system.views_folder());
                self.system.launch(Service::Projector);
                self.system.launch(Service::QueryApi);
            }
        }
        if hit.is_felt {
            self.proxy.forget_open_transactions();
            hit.back_after = self.is_back(began_at).await;
        }
        self.hits.push(hit);
    }

    /// How long it took until every partition answered, if nothing else is in the way.
    async fn is_back(&mut self, since: Instant) -> Option<Duration> {
        if self.lasting.is_some() {
            return None;
        }
        let answers = self.probe().await;
        answers.iter().all(Option::is_some).then(|| since.elapsed())
    }

    /// Has a service started that kills itself there. Whether a transaction was open then; `None` if it did not come
    /// that far.
    async fn kill_at(&mut self, service: Service, point: &str) -> Option<bool> {
        self.system.kill(service).await;
        if service == Service::CommandHandler {
            self.proxy.forget_open_transactions();
        }
        self.system.killed_at = Some((service, point.to_owned()));
        self.system.launch(service);
        self.system.killed_at = None;
        let ended = tokio::time::timeout(POINT_MAX, self.system.ended(service)).await;
        let open = self.proxy.open_transactions() > 0;
        let is_hit = ended.is_ok_and(|status| status.signal() == Some(SIGKILL));
        self.system.kill(service).await;
        if !is_hit {
            self.system.launch(service);
        }
        is_hit.then_some(open)
    }

    /// Whether another command handler can take over just now.
    fn can_be_joined(&self) -> bool {
        match self.lasting {
            Some(Condition::Paused(target)) => {
                !matches!(target, Target::Broker | Target::Registry)
                    && target != Target::Service(Service::CommandHandler)
            }
            Some(Condition::Cut | Condition::Deaf | Condition::NoRegistry) => false,
            _ => true,
        }
    }

    async fn second_is_there(&mut self) {
        if !self.has_second {
            self.has_second = true;
            self.second.start_again();
        }
        self.second.wait_until_ready().await;
    }

    async fn hand_over(&mut self, mut hit: Hit) {
        self.second_is_there().await;
        hit.in_transaction = self.proxy.open_transactions() > 0;
        let began_at = Instant::now();
        self.system.kill(Service::CommandHandler).await;
        self.proxy.forget_open_transactions();
        hit.back_after = self.is_back(began_at).await;
        self.system.launch(Service::CommandHandler);
        self.hits.push(hit);
    }

    async fn begin(&mut self, condition: Condition) {
        *self.conditions.entry(condition.to_string()).or_default() += 1;
        self.lasting = Some(condition);
        match condition {
            Condition::Paused(Target::Service(service)) => self.system.pause(service),
            Condition::Paused(Target::Broker) => {
                let node = self.any_node();
                self.stack.brokers()[node].pause();
            }
            Condition::Paused(Target::Registry) => self.stack.registry().pause(),
            Condition::Slow(delay) => self.proxy.be(Line::Slow(delay)),
            Condition::Cut => self.proxy.be(Line::Cut),
            Condition::Deaf => self.proxy.be(Line::Deaf),
            Condition::LateCommits(one_in) => self.proxy.hold_one_in(one_in),
            Condition::SecondHandler if self.has_second => {}
            Condition::SecondHandler => {
                self.has_second = true;
                self.second.start_again();
            }
            Condition::NoRegistry => self.stack.registry_mut().kill().await,
            Condition::Poison => self.poison().await,
        }
    }

    async fn end(&mut self, condition: Condition) {
        self.lasting = None;
        match condition {
            Condition::Paused(Target::Service(service)) => self.system.resume(service),
            Condition::Paused(Target::Broker) => self.stack.brokers().iter().for_each(Server::resume),
            Condition::Paused(Target::Registry) => self.stack.registry().resume(),
            Condition::Slow(_) | Condition::Cut | Condition::Deaf => self.proxy.be(Line::Clear),
            Condition::LateCommits(_) => self.proxy.hold_one_in(0),
            Condition::SecondHandler => {
                self.has_second = false;
                self.second.stop().await;
            }
            Condition::NoRegistry => self.start_registry().await,
            Condition::Poison => {}
        }
    }

    /// Those that do not run.
    async fn start_brokers(&mut self) {
        for broker in self.stack.brokers_mut() {
            broker.start(&Quiet).await.expect("the broker starts again");
        }
    }

    async fn start_registry(&mut self) {
        let started = self.stack.registry_mut().start(&Quiet).await;
        started.expect("the registry starts again");
    }

    /// Nothing, something in no format, and something in the format of another schema.
    async fn poison(&mut self) {
        for _ in 0..POISON {
            let id = self.chance.uuid().to_string();
            let value = match self.chance.below(3) {
                0 => None,
                1 => Some(b"no command".to_vec()),
                _ => Some([&[0, 0, 0, 0, 1][..], &[0xff; 12]].concat()),
            };
            let partition = i32::try_from(self.chance.below(4)).expect("of four");
            let key = Some(id.into_bytes());
            let raw = Raw {
                partition,
                key,
                value,
                headers: Vec::new(),
            };
            self.upstream.send_raw(raw).await;
        }
    }

    /// Changes one to four bytes of one file.
    fn damage(&mut self, folder: &Path) {
        let files = stack::files_below(folder);
        if files.is_empty() {
            return;
        }
        let path = self.chance.one_of(&files).clone();
        let mut bytes = fs::read(&path).expect("a file of a process that is gone");
        for _ in 0..1 + self.chance.below(4) {
            let index = self.chance.below(bytes.len());
            bytes[index] ^= 1 << self.chance.below(8);
        }
        fs::write(&path, bytes).expect("it can be written too");
    }
}

fn touches_the_write_side(blow: Blow) -> bool {
    match blow {
        Blow::Kill(Target::Service(service)) | Blow::KillAt(service, ..) => {
            service == Service::CommandHandler
        }
        Blow::Kill(Target::Broker)
        | Blow::RestartBroker
        | Blow::KillLeader
        | Blow::HandOver
        | Blow::LoseState
        | Blow::DamageState
        | Blow::Zombie(_) => true,
        Blow::Kill(Target::Registry) | Blow::LoseViews => false,
    }
}

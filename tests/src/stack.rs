//! The broker and the registry that all tests of a run share.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foldline_core::Domains;
use foldline_kafka::{KafkaSettings, SecuritySettings, TopicPlan, apply_topics, register_schemas};
use foldline_stack::{Port, Quiet, Stack, StackOptions};
use tokio::sync::OnceCell;

use crate::chance::Chance;
use crate::proxy::Proxy;

static STACK: OnceCell<Stack> = OnceCell::const_new();
static TESTS: AtomicU32 = AtomicU32::new(0);

/// Fewer than the 12 of production: a test's system is up sooner.
pub const PARTITIONS: i32 = 4;

/// How long a broker or a registry may take that is started again and again.
const START_AGAIN_MAX: Duration = Duration::from_secs(180);

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A machine that runs much else may need so long to start a broker.
const START_MAX: Duration = Duration::from_secs(300);

/// The shared broker and registry. The first to ask starts them; they end with this process.
pub async fn shared() -> &'static Stack {
    STACK
        .get_or_init(async || {
            // What is logged is shown with a failed test; RUST_LOG says how much.
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            let _ = tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_test_writer()
                .try_init();
            let mut stack = StackOptions::new(workspace().join(".foldline/cache"), folder().join("stack"));
            stack.start_max = START_MAX;
            Stack::start(stack, &Quiet)
                .await
                .expect("the broker and the registry start")
        })
        .await
}

/// A folder for this run, in which what earlier runs have left is removed.
pub fn folder() -> PathBuf {
    let all = workspace().join("target/it");
    let own = all.join(std::process::id().to_string());
    if !own.exists() {
        let entries = fs::read_dir(&all).into_iter().flatten().flatten();
        for old in entries.filter(|entry| !Path::new("/proc").join(entry.file_name()).exists()) {
            let _ = fs::remove_dir_all(old.path());
        }
        fs::create_dir_all(&own).expect("a folder under target");
    }
    own
}

/// A name that no other test has.
pub fn unique_name(test: &str) -> String {
    format!("{test}-{}", TESTS.fetch_add(1, Ordering::SeqCst))
}

/// Kafka with topics and schemas of this test alone.
pub async fn kafka(test: &str, domains: &Domains) -> KafkaSettings {
    let prefix = format!("{}-", unique_name(test));
    prepared(shared().await, prefix, domains).await
}

/// A broker and a registry of this test alone, with all topics and schemas.
pub async fn own(test: &str, configure: impl FnOnce(&mut StackOptions)) -> (Stack, KafkaSettings) {
    let data = folder().join(unique_name(test));
    let mut options = StackOptions::new(workspace().join(".foldline/cache"), data);
    options.start_max = START_MAX;
    configure(&mut options);
    let stack = Stack::start(options, &Quiet)
        .await
        .expect("a broker and a registry");
    let kafka = prepared(&stack, String::new(), &crate::domains()).await;
    (stack, kafka)
}

/// As [`own`], with a proxy before it: its address is what clients are to be given. Those that get the broker's own, in
/// the settings, do not pass the proxy.
pub async fn proxied(
    test: &str,
    chance: &mut Chance,
    one_in: usize,
) -> (Stack, KafkaSettings, Proxy, String) {
    let [direct, behind, before] = free_ports(chance);
    let (stack, kafka) = own(test, |options| {
        options.kafka_port = Port::fixed(direct, "");
        // It is started again and again, on a machine that is not ours alone.
        options.start_max = START_AGAIN_MAX;
        let lines = [
            ("listeners", format!("BROKER://127.0.0.1:@port@,PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:@controller_port@")),
            ("advertised.listeners", format!("BROKER://127.0.0.1:@port@,PROXIED://127.0.0.1:{before}")),
            ("listener.security.protocol.map", "BROKER:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ];
        options.broker_config = lines.map(|(key, value)| (key.to_owned(), value)).into();
    })
    .await;
    let proxy = Proxy::start(before, behind, one_in).await;
    (stack, kafka, proxy, format!("127.0.0.1:{before}"))
}

/// Ports that are free now, below those that the system gives to outgoing connections.
fn free_ports<const N: usize>(chance: &mut Chance) -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| {
        let ports = std::iter::repeat_with(|| 20_000 + chance.below(12_000));
        let mut ports = ports.take(1000).filter_map(|port| u16::try_from(port).ok());
        ports
            .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .expect("one of a thousand ports is free")
    });
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

async fn prepared(stack: &Stack, topic_prefix: String, domains: &Domains) -> KafkaSettings {
    let kafka = KafkaSettings {
        bootstrap_servers: stack.bootstrap_servers().to_owned(),
        schema_registry: stack.registry_url().to_owned(),
        topic_prefix,
        kafka_properties: Vec::new(),
        security: SecuritySettings::default(),
    };
    let plan = TopicPlan {
        partitions: PARTITIONS,
        ..TopicPlan::default()
    };
    apply_topics(&kafka, domains, &plan)
        .await
        .expect("topics are made");
    register_schemas(&kafka, domains)
        .await
        .expect("schemas are registered");
    kafka
}

//! The broker and the registry that all tests of a run share.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foldline_core::Domains;
use foldline_kafka::{KafkaSettings, SecuritySettings, TopicPlan, apply_topics, register_schemas};
use foldline_stack::{BrokerOptions, Port, Quiet, Stack, StackOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::OnceCell;

use crate::limit::limited;
use crate::proxy::Proxy;

static STACK: OnceCell<Stack> = OnceCell::const_new();
static TESTS: AtomicU32 = AtomicU32::new(0);

/// Fewer than the 12 of production: a test's system is up sooner.
pub const PARTITIONS: i32 = 4;

/// How long a broker or a registry may take that is started again and again.
const START_AGAIN_MAX: Duration = Duration::from_secs(180);

const METADATA_MAX: Duration = Duration::from_secs(10);
const KAFKAS_BROKER_SESSION: &str = "9000";
/// Of each of several brokers, which share a small machine.
const HEAP_OF_SEVERAL_MB: u32 = 384;

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A machine that runs much else may need so long to start a broker.
const START_MAX: Duration = Duration::from_secs(300);

/// Java's first compiler alone: a broker that lives for a minute spends most of it in the second one, which pays later.
const SOON_WARM: &str = "-XX:TieredStopAtLevel=1";

/// The shared broker and registry. The first to ask starts them; they end with this process.
pub async fn shared() -> &'static Stack {
    STACK
        .get_or_init(async || {
            // What is logged is shown with a failed test; RUST_LOG says how much. Without it, what a rare failure is understood by.
            let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,foldline_kafka=info".to_owned());
            let filter = tracing_subscriber::EnvFilter::new(filter);
            let _ = tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_test_writer()
                .try_init();
            let mut stack = StackOptions::new(workspace().join(".foldline/cache"), folder().join("stack"));
            stack.start_max = START_MAX;
            stack.broker_java = vec![SOON_WARM.to_owned()];
            Stack::start(stack, &Quiet)
                .await
                .expect("the broker and the registry start")
        })
        .await
}

/// A folder for this run, in which what earlier runs have left is removed. The test that asks for it may take so long and no
/// longer.
pub fn folder() -> PathBuf {
    limited();
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

/// Every file below, none of them empty.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) if meta.len() > 0 => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// A program of the shell, in place of another one.
pub fn script(name: &str, text: &str) -> PathBuf {
    let path = folder().join(unique_name(name));
    fs::write(&path, text).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    path
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
    options.broker_java = vec![SOON_WARM.to_owned()];
    configure(&mut options);
    let stack = Stack::start(options, &Quiet)
        .await
        .expect("a broker and a registry");
    let kafka = prepared(&stack, String::new(), &crate::domains()).await;
    (stack, kafka)
}

/// As [`own`], of so many brokers: what is acknowledged is on more than half of them. Only after Kafka's own 9 s do the others
/// miss one of them, which is longer than the session of a command handler.
pub async fn cluster(test: &str, brokers: usize) -> (Stack, KafkaSettings) {
    own(test, |options| {
        let slowly_missed = || {
            vec![(
                "broker.session.timeout.ms".to_owned(),
                KAFKAS_BROKER_SESSION.to_owned(),
            )]
        };
        let more = || BrokerOptions {
            port: Port::any(),
            config: slowly_missed(),
        };
        options.broker_config = slowly_missed();
        options.more_brokers = std::iter::repeat_with(more).take(brokers - 1).collect();
        options.heap_mb = HEAP_OF_SEVERAL_MB;
        // They are started again and again, on a machine that is not ours alone.
        options.start_max = START_AGAIN_MAX;
    })
    .await
}

/// As [`own`], of so many brokers with a proxy before each: its address is what clients are to be given. Those that get
/// the brokers' own, in the settings, do not pass the proxy.
pub async fn proxied(test: &str, brokers: usize, one_in: usize) -> (Stack, KafkaSettings, Proxy, String) {
    let doors: Vec<Door> = (0..brokers).map(|_| Door::new()).collect();
    let (stack, kafka) = own(test, |options| {
        // It is started again and again, on a machine that is not ours alone.
        options.start_max = START_AGAIN_MAX;
        options.kafka_port = Port::fixed(doors[0].direct, "");
        options.broker_config = doors[0].config();
        let more = |door: &Door| BrokerOptions {
            port: Port::fixed(door.direct, ""),
            config: door.config(),
        };
        options.more_brokers = doors[1..].iter().map(more).collect();
        if brokers > 1 {
            options.heap_mb = HEAP_OF_SEVERAL_MB;
        }
    })
    .await;
    let lines: Vec<(u16, u16)> = doors.iter().map(|door| (door.before, door.behind)).collect();
    let proxy = Proxy::start(&lines, one_in).await;
    let before: Vec<String> = lines
        .iter()
        .map(|(port, _)| format!("127.0.0.1:{port}"))
        .collect();
    (stack, kafka, proxy, before.join(","))
}

/// The ports of a broker with a proxy before it.
struct Door {
    direct: u16,
    /// Where it listens for the proxy.
    behind: u16,
    /// Where the proxy listens.
    before: u16,
}

impl Door {
    fn new() -> Self {
        Self {
            direct: free_port(),
            behind: free_port(),
            before: free_port(),
        }
    }

    fn config(&self) -> Vec<(String, String)> {
        let Self { behind, before, .. } = self;
        let lines = [
            (
                "listeners",
                format!(
                    "BROKER://127.0.0.1:@port@,PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:@controller_port@"
                ),
            ),
            (
                "advertised.listeners",
                format!("BROKER://127.0.0.1:@port@,PROXIED://127.0.0.1:{before}"),
            ),
            (
                "listener.security.protocol.map",
                "BROKER:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            ),
        ];
        lines.map(|(key, value)| (key.to_owned(), value)).into()
    }
}

/// A port that nothing else of these tests gets, not even while who listens there is started again.
pub fn free_port() -> u16 {
    foldline_stack::free_port().expect("a port is free")
}

/// Which of the brokers leads this partition; `None` if nobody says so just now.
pub async fn leader_of(kafka: &KafkaSettings, topic: &str, partition: i32) -> Option<usize> {
    let leaders = leaders(kafka, format!("{}{topic}", kafka.topic_prefix)).await?;
    leaders.get(&partition).copied()
}

/// Which of the brokers coordinates this group: whoever leads the partition of its offsets, which Kafka chooses by Java's hash
/// of the name.
pub async fn coordinator_of(kafka: &KafkaSettings, group: &str) -> Option<usize> {
    let group = format!("{}{group}", kafka.topic_prefix);
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(unit.into())
    });
    let leaders = leaders(kafka, "__consumer_offsets".to_owned()).await?;
    let count = i32::try_from(leaders.len()).ok().filter(|count| *count > 0)?;
    leaders.get(&((hash & i32::MAX) % count)).copied()
}

/// By partition. Node ids begin with 1; a partition without a leader is left out.
async fn leaders(kafka: &KafkaSettings, topic: String) -> Option<HashMap<i32, usize>> {
    let kafka = kafka.clone();
    let ask = move || {
        let consumer: BaseConsumer = kafka.client().create().ok()?;
        let metadata = consumer.fetch_metadata(Some(&topic), METADATA_MAX).ok()?;
        let partitions = metadata.topics().first()?.partitions().iter();
        let leader = |id: i32| usize::try_from(id - 1).ok();
        let led = partitions.filter_map(|partition| Some((partition.id(), leader(partition.leader())?)));
        Some(led.collect())
    };
    tokio::task::spawn_blocking(ask).await.ok().flatten()
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
        replication: i32::try_from(stack.brokers().len()).expect("a few"),
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

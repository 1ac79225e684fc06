use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use foldline_kafka::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::pipe::Pipe;
use super::{SILENCE_MAX, consumer, from_the_beginning, incompressible, make_topics, send};
use crate::bench::figures::{Figures, Sample};

const COMMANDS: &str = "floor.commands";
const REPLIES: &str = "floor.replies";
/// A transaction takes what is there, but not for longer than this.
const GATHER_MAX: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(50);

/// Commands to a worker that answers each at once, exactly once, and clients that wait for the committed answer.
pub(crate) struct Roundtrip {
    lines: Arc<Lines>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
    bytes: usize,
}

/// What the clients and the threads share.
struct Lines {
    producer: ThreadedProducer<DefaultProducerContext>,
    next_id: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    is_stopped: AtomicBool,
}

impl Roundtrip {
    /// With commands of so many bytes.
    pub(crate) async fn start(kafka: &KafkaSettings, bytes: usize) -> anyhow::Result<Self> {
        make_topics(kafka, &[COMMANDS, REPLIES]).await?;
        let mut config = kafka.client();
        config.set("enable.idempotence", "true").set("linger.ms", "0");
        let lines = Arc::new(Lines {
            producer: config.create()?,
            next_id: AtomicU64::new(0),
            waiting: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let replies = consumer(kafka, "floor-replies")?;
        replies.assign(&from_the_beginning(REPLIES)?)?;
        let (of_worker, of_replies, kafka) = (Arc::clone(&lines), Arc::clone(&lines), kafka.clone());
        let threads = vec![
            thread::spawn(move || work(&kafka, &of_worker)),
            thread::spawn(move || hear(&replies, &of_replies)),
        ];
        Ok(Self {
            lines,
            threads,
            bytes: bytes.max(8),
        })
    }

    /// So many clients for so long.
    pub(crate) async fn measure(&self, clients: usize, length: Duration) -> anyhow::Result<Figures> {
        let started = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (lines, mut body) = (Arc::clone(&self.lines), incompressible(self.bytes));
            running.spawn(async move {
                let mut each = Vec::new();
                while started.elapsed() < length {
                    let asked = Instant::now();
                    lines.ask(&mut body).await?;
                    each.push(asked.elapsed());
                }
                anyhow::Ok(each)
            });
        }
        Ok(Sample::collect(running, started).await?.figures())
    }

    /// Ends its threads. Blocks for some milliseconds.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.lines.is_stopped.store(true, Ordering::SeqCst);
        for thread in self.threads {
            let ended = thread.join();
            ended.map_err(|_| anyhow::anyhow!("a thread of the floor panicked"))??;
        }
        Ok(())
    }
}

impl Lines {
    /// Sends a command, and returns when its answer is committed.
    async fn ask(&self, body: &mut [u8]) -> anyhow::Result<()> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        body[..8].copy_from_slice(&id.to_be_bytes());
        let (answered, answer) = oneshot::channel();
        self.waiting().insert(id, answered);
        let key = format!("{id:036}");
        send(
            &self.producer,
            BaseRecord::to(COMMANDS).key(key.as_str()).payload(&*body),
        )?;
        timeout(SILENCE_MAX, answer)
            .await
            .context("the floor's roundtrip: no answer")??;
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(kafka: &KafkaSettings, lines: &Lines) -> anyhow::Result<()> {
    let mut pipe = Pipe::open(kafka, "floor-roundtrip", COMMANDS, &[REPLIES])?;
    while !lines.is_stopped.load(Ordering::SeqCst) {
        pipe.turn(GATHER_MAX)?;
    }
    Ok(())
}

fn hear(replies: &BaseConsumer, lines: &Lines) -> anyhow::Result<()> {
    while !lines.is_stopped.load(Ordering::SeqCst) {
        let Some(reply) = replies.poll(LOOK_MAX) else {
            continue;
        };
        let reply = reply?;
        let id = reply.payload().and_then(|body| body.first_chunk::<8>());
        let id = u64::from_be_bytes(*id.context("a reply without an id")?);
        if let Some(answered) = lines.waiting().remove(&id) {
            // Who has given up is not there to hear it.
            let _ = answered.send(());
        }
    }
    Ok(())
}

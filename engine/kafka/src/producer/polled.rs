//! A producer whose delivery reports are heard by a thread that sleeps while there are none.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

/// How long a look for reports takes while some are due. rdkafka rounds what is left of it down to milliseconds, and asks
/// without a pause once that is none: each look ends with up to a millisecond of a whole core.
const BUSY: Duration = Duration::from_millis(250);
/// How often a look is taken while nothing is due: at errors, and at a token that has to be made anew.
const IDLE: Duration = Duration::from_millis(100);
/// How long reports make room for a record.
const FULL: Duration = Duration::from_millis(1);

/// In place of rdkafka's `ThreadedProducer`, which looks for 100 ms again and again, whether or not anything was sent: that
/// is 0.85 % of a core for each producer that does nothing (`docs/performance.md`).
pub(crate) struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Watch {
    /// Whether the thread looks, or will before it sleeps.
    is_awake: AtomicBool,
    is_over: AtomicBool,
    /// Held by the thread from its last look until it sleeps, so that nobody can wake it in between, in vain.
    falls_asleep: Mutex<()>,
    woken: Condvar,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    pub(crate) fn new(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let watch = Arc::new(Watch::default());
        let of_thread = (Arc::clone(&producer), Arc::clone(&watch));
        let thread = std::thread::Builder::new()
            .name("deliveries".to_owned())
            .spawn(move || of_thread.1.poll(&of_thread.0))
            .map_err(|_| KafkaError::ClientCreation("no thread can be started".to_owned()))?;
        Ok(Self {
            producer,
            watch,
            thread: Some(thread),
        })
    }

    /// Waits while librdkafka's queue is full.
    pub(crate) fn send(
        &self,
        mut record: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque>,
    ) -> Result<(), KafkaError> {
        loop {
            let sent = self.producer.send(record);
            self.watch.wake();
            match sent {
                Ok(()) => return Ok(()),
                Err((error, again)) if is_full(&error) => {
                    record = again;
                    self.producer.poll(FULL);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

fn is_full(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
}

impl Watch {
    fn poll<C: ProducerContext>(&self, producer: &BaseProducer<C>) {
        while !self.is_over.load(Ordering::SeqCst) {
            if producer.in_flight_count() > 0 {
                producer.poll(BUSY);
                continue;
            }
            producer.poll(Duration::ZERO);
            let asleep = self.falls_asleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.is_awake.store(false, Ordering::SeqCst);
            // What was sent before has left it awake, and is seen here; what is sent after it wakes it.
            if producer.in_flight_count() == 0 {
                let is_idle = |(): &mut ()| !self.is_awake.load(Ordering::SeqCst);
                drop(self.woken.wait_timeout_while(asleep, IDLE, is_idle));
            }
            self.is_awake.store(true, Ordering::SeqCst);
        }
    }

    fn wake(&self) {
        if !self.is_awake.swap(true, Ordering::SeqCst) {
            drop(self.falls_asleep.lock());
            self.woken.notify_one();
        }
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.watch.is_over.store(true, Ordering::SeqCst);
        self.watch.wake();
        // librdkafka must not outlive the process's main thread: it would use what OpenSSL has cleaned up.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

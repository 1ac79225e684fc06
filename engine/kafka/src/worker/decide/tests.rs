use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use foldline_core::{AnyCommand, CommandMeta, CommandResult, Domains, RefusalKind, Timestamp, Token};
use foldline_domains::counter::{self, Counter, CounterCommand};
use lru::LruCache;
use uuid::Uuid;

use super::super::intake::Taken;
use super::super::records::RECORD_BYTES_MAX;
use super::super::{Post, Shared, Worker};
use super::{Deciding, Decision};
use crate::Registry;
use crate::broker::Broker;
use crate::catalog::{Catalog, Slice};
use crate::fold::TOO_EARLY;
use crate::follower::Follower;
use crate::gateway::{Pending, Sender};
use crate::lookout::Lookout;
use crate::runtime::Runtime;
use crate::sim::{alone, nowhere};
use crate::store::Store;
use crate::waiters::Waiters;

const WAIT_MAX: Duration = Duration::from_secs(60);
const ID: Uuid = Uuid::from_u128(1);

/// Two processes, of which the first one decides.
struct Bench {
    deciding: Arc<Shared>,
    following: Arc<Shared>,
    worker: Worker,
}

/// On a cluster where nothing fails, with a counter that is started.
fn bench(run: impl FnOnce(Bench) + Send + 'static) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let domains = Domains::new([counter::domain()]).unwrap();
    let catalog = Arc::new(Catalog::offline(
        &Registry::new(&nowhere()).unwrap(),
        &domains,
        2,
        0,
    ));
    alone(move |broker, runtime| {
        let [deciding, following] =
            [&folders[0], &folders[1]].map(|folder| shared(folder.path(), &catalog, &broker, &runtime));
        let post = Post {
            group: "commands".to_owned(),
            member: "commands-0".to_owned(),
            types: vec![0],
            batch_max: 100,
            ahead_min: 1,
            cache_max: NonZeroUsize::MIN,
            snapshot_every: 0,
        };
        let worker = Worker::new(Arc::clone(&deciding), post, Arc::default()).unwrap();
        let mut bench = Bench {
            deciding,
            following,
            worker,
        };
        let started = bench.ask(Uuid::from_u128(0), CounterCommand::StartCounter {});
        bench.decide(1);
        assert_eq!(said(started), "accepted");
        run(bench);
    });
}

fn shared(
    folder: &Path,
    catalog: &Arc<Catalog>,
    broker: &Arc<dyn Broker>,
    runtime: &Arc<dyn Runtime>,
) -> Arc<Shared> {
    let store = Store::open(folder, catalog).unwrap();
    let waiters = Arc::new(Waiters::new(10));
    let sender = Sender::new(broker.as_ref(), Arc::clone(catalog), Arc::clone(&waiters)).unwrap();
    let follower = Follower::new(broker, runtime, catalog, &store, &waiters);
    Arc::new(Shared {
        broker: Arc::clone(broker),
        runtime: Arc::clone(runtime),
        catalog: Arc::clone(catalog),
        store,
        follower: Arc::new(follower),
        waiters,
        sender,
        lookout: Lookout::closed(),
        is_stopped: AtomicBool::new(false),
    })
}

impl Bench {
    /// Asks the process that decides.
    fn ask(&self, id: Uuid, command: CounterCommand) -> Pending {
        ask(&self.deciding, id, command)
    }

    fn take(&mut self, count: usize) -> Vec<Taken> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < count {
            self.worker.take(&mut batch, &mut bytes).unwrap();
            self.worker.follow_the_group().unwrap();
        }
        batch
    }

    /// Decides so many commands in one batch, and lets everybody hear of it.
    fn decide(&mut self, count: usize) {
        let batch = self.take(count);
        let decided = self.worker.decide(&batch).unwrap();
        self.worker.commit(batch, decided).unwrap();
        self.worker.finish().unwrap();
        let slices: Vec<Slice> = self.following.catalog.types()[0].slices().collect();
        self.following.follower.refresh(&slices).unwrap();
    }
}

fn ask(process: &Shared, id: Uuid, command: CounterCommand) -> Pending {
    let counters = &process.catalog.types()[0].aggregate;
    let meta = CommandMeta::new(id, "7".parse().unwrap(), Timestamp(0));
    let command = AnyCommand::new::<Counter>(command);
    let mut submitted = None;
    let submit = async {
        let submit = process.sender.submit(counters.as_ref(), meta, &command, None);
        submitted = Some(submit.await);
    };
    process.runtime.block_on(WAIT_MAX, pin!(submit));
    submitted.unwrap().unwrap()
}

/// How long a command waits in a process that is to have seen so much of the counter's partition, before it is refused.
fn waits(process: &Shared, command_offset: i64) -> Duration {
    let installed = &process.catalog.types()[0];
    let id = "7".parse().unwrap();
    let mut seen = Token::new(&process.catalog.cluster_id);
    seen.see(&installed.name, installed.slice_of(&id).partition, command_offset);
    let meta = CommandMeta {
        consistency_token: Some(seen.to_string()),
        ..CommandMeta::new(ID, id, Timestamp(0))
    };
    let mut cache = LruCache::new(NonZeroUsize::MIN);
    let began_at = process.runtime.now();
    let refused = Deciding::new(process, &mut cache, None).not_now(installed, &meta, 1);
    assert_eq!(refused.unwrap().unwrap().code, TOO_EARLY);
    process.runtime.now() - began_at
}

fn by(by: i32) -> CounterCommand {
    CounterCommand::IncrementCounter { by }
}

/// The outcome, if it has come.
fn said(mut pending: Pending) -> &'static str {
    let Ok(result) = pending.answer.try_recv() else {
        return "nothing";
    };
    match result.refused() {
        Some((RefusalKind::CommandId, "command-id-reused")) => "reused",
        Some(_) => "refused",
        None if result.replayed => "replayed",
        None => CommandResult::ACCEPTED,
    }
}

#[tokio::test]
async fn who_asks_for_something_else_under_an_id_is_not_told_what_became_of_the_first() {
    bench(|mut bench| {
        let asked = [
            (&bench.deciding, 1),
            (&bench.following, 1),
            (&bench.deciding, 2),
            (&bench.following, 2),
        ];
        let [one, same, other, another] = asked.map(|(process, count)| ask(process, ID, by(count)));
        bench.decide(4);
        assert_eq!([one, same].map(said), ["accepted", "accepted"]);
        assert_eq!([other, another].map(said), ["reused", "reused"]);
    });
}

#[tokio::test]
async fn the_no_to_another_request_under_an_id_does_not_hide_its_outcome() {
    bench(|mut bench| {
        let first = bench.ask(ID, by(1));
        bench.decide(1);
        assert_eq!(said(first), "accepted");
        let (other, again) = (bench.ask(ID, by(2)), bench.ask(ID, by(1)));
        bench.decide(2);
        assert_eq!([other, again].map(said), ["reused", "replayed"]);
    });
}

#[tokio::test]
async fn a_command_whose_event_no_record_has_room_for_is_refused_when_it_is_decided_again() {
    bench(|mut bench| {
        let asked = bench.ask(ID, by(1));
        let batch = bench.take(1);
        let mut decided = bench.worker.decide(&batch).unwrap();
        let Decision::Made(made) = &mut decided.decisions[0] else {
            panic!("a command is decided");
        };
        made.events[0].value.resize(RECORD_BYTES_MAX + 1, 0);
        let error = bench.worker.commit(batch, decided).unwrap_err();
        bench.worker.recover(error).unwrap();

        let behind = bench.ask(Uuid::from_u128(2), by(1));
        bench.decide(2);
        assert_eq!([asked, behind].map(said), ["refused", "accepted"]);
    });
}

#[tokio::test]
async fn only_what_a_token_can_have_seen_is_waited_for() {
    bench(|bench| {
        let undecided = bench.ask(ID, by(1));
        // Who decides knows all that it has answered. Who follows may hear of the command, and of none behind it.
        assert_eq!(waits(&bench.deciding, 1), Duration::ZERO);
        assert!(waits(&bench.following, 1) > Duration::from_secs(1));
        assert!(waits(&bench.following, 2) < Duration::from_millis(100));
        drop(undecided);
    });
}

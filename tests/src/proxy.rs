//! A proxy in front of brokers that knows where a Kafka request begins and what it asks for. It can be slow, cut or
//! deaf ([`Line`]), it knows who has a transaction open, it can lose a request, and it can keep one back: an `EndTxn`
//! that is still on its way when its transaction is over (KAFKA-17754).
//!
//! One that is held has left its client, whose connection breaks; it asks again on another one. The held request
//! arrives in the middle of the *next* transaction of the same producer: when the first of its `Produce` requests is
//! answered, and before anything else of it goes on. Whoever lets the broker take it there has torn that transaction.

mod frame;

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};

use self::frame::{Asks, Request, read_frame};

/// Between two looks for what lasts some milliseconds.
const LOOK: Duration = Duration::from_millis(1);

/// Clients connect to it instead of the brokers. It ends when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    /// For each broker.
    accepting: Vec<AbortHandle>,
}

/// What the line between the clients and the broker is like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Line {
    /// As if there were no proxy.
    #[default]
    Clear,
    /// Each frame, in either direction, takes so long.
    Slow(Duration),
    /// There is none: connections break, and new ones are closed at once.
    Cut,
    /// Requests arrive, answers do not. When it is over, the connections whose answers are lost break.
    Deaf,
}

/// What became of the requests that were held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// How many were kept back.
    pub held: usize,
    /// How many the broker refused when they arrived.
    pub refused: usize,
    /// How many it took: as many transactions were torn.
    pub taken: usize,
    /// How many had no answer, because their connection was gone.
    pub lost: usize,
}

impl Held {
    /// How many the broker has answered.
    pub fn answered(&self) -> usize {
        self.refused + self.taken
    }
}

/// What is known of all connections, to whichever broker: one has a transaction's records, another one its end.
struct Shared {
    /// Of so many commits, one is held; of 0, none.
    one_in: AtomicUsize,
    line: watch::Sender<Line>,
    /// So many of the next requests that add offsets to a transaction are lost.
    offsets_to_lose: AtomicUsize,
    /// The transactional ids whose records have been sent since they last asked for an end.
    open: Mutex<HashSet<String>>,
    commits: AtomicUsize,
    /// By transactional id.
    waiting: Mutex<HashMap<String, Late>>,
    counts: watch::Sender<Held>,
}

/// A request that has not arrived yet, and the connection that it was sent on.
struct Late {
    frame: Vec<u8>,
    from_broker: OwnedReadHalf,
    to_broker: OwnedWriteHalf,
}

impl Proxy {
    /// Listens on the first port of each pair, before the broker at the second. Of `one_in` commits of transactions, one
    /// is held; of 0, none.
    pub async fn start(lines: &[(u16, u16)], one_in: usize) -> Self {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let shared = Arc::new(Shared {
            one_in: AtomicUsize::new(one_in),
            line: watch::Sender::default(),
            offsets_to_lose: AtomicUsize::new(0),
            open: Mutex::default(),
            commits: AtomicUsize::new(0),
            waiting: Mutex::default(),
            counts: watch::Sender::default(),
        });
        let mut accepting = Vec::new();
        for (port, broker) in lines {
            let listener = TcpListener::bind(at(*port)).await.expect("a port for the proxy");
            let (for_all, broker) = (Arc::clone(&shared), at(*broker));
            let accept = async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(connection(Arc::clone(&for_all), client, broker));
                }
            };
            accepting.push(tokio::spawn(accept).abort_handle());
        }
        Self { shared, accepting }
    }

    /// Of so many commits from now on, one is held; of 0, none.
    pub fn hold_one_in(&self, one_in: usize) {
        self.shared.one_in.store(one_in, Ordering::SeqCst);
    }

    /// What the line is like from now on.
    pub fn be(&self, line: Line) {
        self.shared.line.send_replace(line);
    }

    /// The next request that adds offsets to a transaction is lost, and its connection stays: as long as its client waits for
    /// the answer, nothing happens.
    pub fn lose_offsets_once(&self) {
        self.shared.offsets_to_lose.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it was asked for, and has not happened yet.
    pub fn is_to_lose_offsets(&self) -> bool {
        self.shared.offsets_to_lose.load(Ordering::SeqCst) > 0
    }

    /// How many transactions have records at the broker, and have not asked for an end.
    pub fn open_transactions(&self) -> usize {
        self.shared.open().len()
    }

    /// Whether one of these is of a transactional id with this in it, now or soon. It will be for some milliseconds.
    pub async fn opens(&self, part: &str, at_most: Duration) -> bool {
        let is_open = || self.shared.open().iter().any(|id| id.contains(part));
        let seen = async {
            while !is_open() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(at_most, seen).await.is_ok()
    }

    /// Whoever had a transaction open is gone.
    pub fn forget_open_transactions(&self) {
        self.shared.open().clear();
    }

    /// What happened so far.
    pub fn held(&self) -> Held {
        *self.shared.counts.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Late>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_to_be_held(&self, id: &str) -> bool {
        let count = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let one_in = self.one_in.load(Ordering::SeqCst);
        // No count is a multiple of 0.
        count.is_multiple_of(one_in) && !self.waiting().contains_key(id)
    }

    fn is_to_be_lost(&self) -> bool {
        let one_less = |count: usize| count.checked_sub(1);
        let changed = self
            .offsets_to_lose
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        changed.is_ok()
    }

    fn open(&self) -> MutexGuard<'_, HashSet<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who begins and who ends a transaction.
    fn note(&self, asks: &Asks) {
        match asks {
            Asks::ToProduce { id } => {
                self.open().insert(id.clone());
            }
            Asks::ToEnd { id, .. } => {
                self.open().remove(id);
            }
            Asks::ToCommitOffsets | Asks::SomethingElse => {}
        }
    }

    fn hold(&self, id: String, late: Late) {
        self.waiting().insert(id, late);
        self.counts.send_modify(|counts| counts.held += 1);
    }

    /// Lets the request arrive, and waits until the broker has answered it.
    async fn release(&self, mut late: Late) {
        let sent = late.to_broker.write_all(&late.frame).await;
        let answer = match sent {
            Ok(()) => read_frame(&mut late.from_broker).await.ok().flatten(),
            Err(_) => None,
        };
        let error = answer.and_then(|answer| frame::end_txn_error(&late.frame, &answer));
        self.counts.send_modify(|counts| match error {
            Some(0) => counts.taken += 1,
            Some(_) => counts.refused += 1,
            None => counts.lost += 1,
        });
    }
}

/// Carries one connection, until either side ends it or its request is held.
async fn connection(shared: Arc<Shared>, client: TcpStream, broker: SocketAddr) {
    let mut line = shared.line.subscribe();
    if *line.borrow() == Line::Cut {
        return;
    }
    let Ok(broker) = TcpStream::connect(broker).await else {
        return;
    };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    let answers = Answers::start(from_broker, to_client, shared.line.subscribe());
    while let Some(frame) = carried(&mut from_client, &mut line).await {
        let request = Request::of(&frame);
        shared.note(&request.asks);
        match request.asks {
            Asks::ToEnd { id, is_commit: true } if shared.is_to_be_held(&id) => {
                let Some(from_broker) = answers.cut().await else {
                    return;
                };
                let late = Late {
                    frame,
                    from_broker,
                    to_broker,
                };
                return shared.hold(id, late);
            }
            Asks::ToCommitOffsets if shared.is_to_be_lost() => {}
            Asks::ToProduce { id } => {
                let late = shared.waiting().remove(&id);
                let Some(late) = late else {
                    if to_broker.write_all(&frame).await.is_err() {
                        break;
                    }
                    continue;
                };
                let answered = answers.expect(request.correlation);
                if to_broker.write_all(&frame).await.is_err() {
                    break;
                }
                // It fails when the connection ends.
                let _ = answered.await;
                shared.release(late).await;
            }
            _ => {
                if to_broker.write_all(&frame).await.is_err() {
                    break;
                }
            }
        }
    }
    answers.cut().await;
}

/// The next frame, once the line has let it through; `None` at the end of the connection, or if the line is cut.
async fn carried(from: &mut OwnedReadHalf, line: &mut watch::Receiver<Line>) -> Option<Vec<u8>> {
    // What is half read when it is cut is lost with the connection.
    let frame = tokio::select! {
        frame = read_frame(from) => frame.ok().flatten()?,
        _ = line.wait_for(|line| *line == Line::Cut) => return None,
    };
    let delay = match *line.borrow() {
        Line::Slow(delay) => delay,
        _ => return Some(frame),
    };
    tokio::time::sleep(delay).await;
    Some(frame)
}

/// The request whose answer is waited for, and who is told.
type Expected = (i32, oneshot::Sender<()>);

/// The broker's answers, carried to the client by a task of their own.
struct Answers {
    cut: oneshot::Sender<()>,
    expected: Arc<Mutex<Option<Expected>>>,
    task: JoinHandle<OwnedReadHalf>,
}

impl Answers {
    fn start(
        mut from_broker: OwnedReadHalf,
        mut to_client: OwnedWriteHalf,
        mut line: watch::Receiver<Line>,
    ) -> Self {
        let (cut, mut is_cut) = oneshot::channel();
        let expected = Arc::new(Mutex::<Option<Expected>>::default());
        let waiting = Arc::clone(&expected);
        let task = tokio::spawn(async move {
            loop {
                let frame = tokio::select! {
                    frame = carried(&mut from_broker, &mut line) => frame,
                    _ = &mut is_cut => break,
                };
                let Some(frame) = frame else { break };
                if *line.borrow() == Line::Deaf {
                    // It is not told, and nobody is told that it was not, until the line can be heard again.
                    tokio::select! {
                        _ = line.wait_for(|line| *line != Line::Deaf) => {}
                        _ = &mut is_cut => {}
                    }
                    break;
                }
                if to_client.write_all(&frame).await.is_err() {
                    break;
                }
                let mut expected = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let is_it = |(correlation, _): &mut Expected| *correlation == frame::correlation_of(&frame);
                if let Some((_, tell)) = expected.take_if(is_it) {
                    // Whoever waited may have gone.
                    let _ = tell.send(());
                }
            }
            // Nobody waits any longer for an answer that does not come.
            waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            from_broker
        });
        Self { cut, expected, task }
    }

    /// Tells when the answer to this request has been carried.
    fn expect(&self, correlation: i32) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        *expected = Some((correlation, tell));
        told
    }

    /// Ends the client's connection, and gives back the broker's.
    async fn cut(self) -> Option<OwnedReadHalf> {
        // The task may have ended by itself.
        let _ = self.cut.send(());
        self.task.await.ok()
    }
}

//! A proxy in front of a broker that knows where a Kafka request begins and what it asks for, and can keep one back:
//! an `EndTxn` that is still on its way when its transaction is over (KAFKA-17754).
//!
//! One that is held has left its client, whose connection breaks; it asks again on another one. The held request
//! arrives in the middle of the *next* transaction of the same producer: when the first of its `Produce` requests is
//! answered, and before anything else of it goes on. Whoever lets the broker take it there has torn that transaction.

mod frame;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};

use self::frame::{Asks, Request, read_frame};

/// Clients connect to it instead of the broker. It ends when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    accepting: AbortHandle,
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
}

struct Shared {
    broker: SocketAddr,
    /// Of so many commits, one is held.
    one_in: usize,
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
    /// Listens on the port. Of `one_in` commits of transactions, one is held.
    pub async fn start(port: u16, broker: u16, one_in: usize) -> Self {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(at(port)).await.expect("a port for the proxy");
        let shared = Arc::new(Shared {
            broker: at(broker),
            one_in,
            commits: AtomicUsize::new(0),
            waiting: Mutex::default(),
            counts: watch::Sender::default(),
        });
        let for_all = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(Arc::clone(&for_all), client));
            }
        });
        Self {
            shared,
            accepting: accepting.abort_handle(),
        }
    }

    /// What happened so far.
    pub fn held(&self) -> Held {
        *self.shared.counts.borrow()
    }

    /// What happens from now on.
    pub fn follow(&self) -> watch::Receiver<Held> {
        self.shared.counts.subscribe()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Late>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_to_be_held(&self, id: &str) -> bool {
        let count = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        count.is_multiple_of(self.one_in) && !self.waiting().contains_key(id)
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
        // A broker that closes the connection has not taken it.
        let is_taken = answer.is_some_and(|answer| frame::end_txn_error(&late.frame, &answer) == Some(0));
        self.counts.send_modify(|counts| match is_taken {
            true => counts.taken += 1,
            false => counts.refused += 1,
        });
    }
}

/// Carries one connection, until either side ends it or its request is held.
async fn connection(shared: Arc<Shared>, client: TcpStream) {
    let Ok(broker) = TcpStream::connect(shared.broker).await else {
        return;
    };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    let answers = Answers::start(from_broker, to_client);
    while let Ok(Some(frame)) = read_frame(&mut from_client).await {
        let request = Request::of(&frame);
        match request.asks {
            Asks::ToCommit { id } if shared.is_to_be_held(&id) => {
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

/// The request whose answer is waited for, and who is told.
type Expected = (i32, oneshot::Sender<()>);

/// The broker's answers, carried to the client by a task of their own.
struct Answers {
    cut: oneshot::Sender<()>,
    expected: Arc<Mutex<Option<Expected>>>,
    task: JoinHandle<OwnedReadHalf>,
}

impl Answers {
    fn start(mut from_broker: OwnedReadHalf, mut to_client: OwnedWriteHalf) -> Self {
        let (cut, mut is_cut) = oneshot::channel();
        let expected = Arc::new(Mutex::<Option<Expected>>::default());
        let waiting = Arc::clone(&expected);
        let task = tokio::spawn(async move {
            loop {
                // What is half read when it is cut is lost with the connection.
                let frame = tokio::select! {
                    frame = read_frame(&mut from_broker) => frame,
                    _ = &mut is_cut => break,
                };
                let Ok(Some(frame)) = frame else { break };
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

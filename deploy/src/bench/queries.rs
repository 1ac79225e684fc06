//! Reads of one order by its id, and of a page of them.

use std::net::SocketAddr;

use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};

use super::Bench;
use super::floor::Server;
use super::goals::{Bound, Measure};
use super::http::{Answer, Ask, Connection, closed_loop, get};
use super::report::Row;
use super::restaurant::{COMMANDS_PER_ORDER, Guest};
use super::rounds::Rounds;
use super::system::{Service, cpu_per_100k};
use super::visible::get_after;

const FLOOR: &str = "a bare axum server that has the same bytes ready";
/// Among which each client goes round; a page has them all.
const ORDERS: usize = 50;

/// Orders that are in the view.
pub(crate) struct Queries {
    pub(crate) by_id: Reads,
    pub(crate) page: Reads,
}

/// What is read, and a server that answers as the query API does.
pub(crate) struct Reads {
    what: &'static str,
    unit: &'static str,
    /// Each client goes round among them.
    paths: Vec<String>,
    floor: Server,
    /// The least of the floor's rate that many connections are to have.
    goal: f64,
}

impl Queries {
    /// Places the orders.
    pub(crate) async fn prepare(bench: &Bench) -> anyhow::Result<Self> {
        bench.doing.next("placing orders to read");
        let mut write = Connection::open(bench.system.address(Service::CommandHandler)).await?;
        let mut read = Connection::open(bench.system.address(Service::QueryApi)).await?;
        let mut guest = Guest::new(&bench.restaurant, 0);
        let mut orders = Vec::new();
        let mut shown = None;
        for _ in 0..ORDERS {
            let mut token = String::new();
            for _ in 0..COMMANDS_PER_ORDER {
                let answer = write.ask(guest.next()).await?.successful()?;
                answer.header("consistency-token")?.clone_into(&mut token);
            }
            let ask = get_after(guest.order(), &token)?;
            shown = Some(read.ask(ask).await?.successful()?);
            orders.push(guest.order().to_owned());
        }
        let one = shown.expect("there are orders");
        let path = format!("/orders?limit={ORDERS}");
        let page = read.ask(get(&path)).await?.successful()?;
        Ok(Self {
            by_id: Reads {
                what: "query by id",
                unit: "queries",
                paths: orders,
                floor: floor("/orders/{id}", one)?,
                goal: 0.6,
            },
            page: Reads {
                what: "page of 50 rows",
                unit: "pages",
                paths: vec![path],
                floor: floor("/orders", page)?,
                goal: 0.2,
            },
        })
    }
}

impl Reads {
    /// Over so many connections.
    pub(crate) async fn measure(&self, bench: &Bench, connections: usize) -> anyhow::Result<Row> {
        let ours = bench.system.address(Service::QueryApi);
        let run =
            |address: SocketAddr, length| closed_loop(address, connections, length, |at| self.reader(at));
        let what = format!("{}, {}", self.what, bench.clients(connections));
        bench.doing.next(&format!("{what}: warming up"));
        run(ours, bench.plan.warm_up).await?;
        run(self.floor.address, bench.plan.warm_up).await?;

        let mut rounds = Rounds::default();
        for round in 1..=bench.plan.rounds {
            bench.doing.next(&format!("{what}: round {round}"));
            let before = bench.system.cpu();
            let sample = run(ours, bench.plan.length).await?;
            let cpu = cpu_per_100k(&before, &bench.system.cpu(), sample.count());
            rounds.ours(sample.figures(), cpu);
            rounds.floor(run(self.floor.address, bench.plan.length).await?.figures());
        }
        let row = rounds.row(what, self.unit, FLOOR);
        Ok(match connections {
            1 => row,
            _ => row.aims(&[(Measure::RatePerFloor, Bound::AtLeast(self.goal))]),
        })
    }

    fn reader(&self, start: usize) -> impl FnMut() -> Ask + Send + use<> {
        let mut paths = self.paths.clone().into_iter().cycle().skip(start);
        move || get(&paths.next().expect("a cycle does not end"))
    }
}

/// Has this answer ready at its route.
fn floor(route: &str, answer: Answer) -> anyhow::Result<Server> {
    Server::start(route, without_framing(answer.headers), answer.body)
}

/// Only what a handler says: the server adds the rest.
fn without_framing(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

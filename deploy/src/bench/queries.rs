//! Reads of one order by its id.

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
/// Among which each client goes round.
const ORDERS: usize = 50;

/// Orders that are in the view, and a server that answers as the query API does.
pub(crate) struct Queries {
    orders: Vec<String>,
    floor: Server,
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
        let Answer { headers, body, .. } = shown.expect("there are orders");
        let floor = Server::start(without_framing(headers), body)?;
        Ok(Self { orders, floor })
    }

    /// Over so many connections.
    pub(crate) async fn measure(&self, bench: &Bench, connections: usize) -> anyhow::Result<Row> {
        let ours = bench.system.address(Service::QueryApi);
        let run =
            |address: SocketAddr, length| closed_loop(address, connections, length, |at| self.reader(at));
        let what = format!("query by id, {}", bench.clients(connections));
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
        let row = rounds.row(what, "queries", FLOOR);
        Ok(match connections {
            1 => row,
            _ => row.aims(&[(Measure::RatePerFloor, Bound::AtLeast(0.6))]),
        })
    }

    fn reader(&self, start: usize) -> impl FnMut() -> Ask + Send + use<> {
        let mut orders = self.orders.clone().into_iter().cycle().skip(start);
        move || get(&orders.next().expect("a cycle does not end"))
    }
}

/// Only what a handler says: the server adds the rest.
fn without_framing(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

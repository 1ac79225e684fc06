//! Nodes of Kafka that know each other.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::StackError;
use crate::port::{number_of, reserve_any};

/// What the nodes of a cluster have in common.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Written into each new folder of data.
    pub(crate) id: String,
    /// Where each node's controller listens, in their order.
    controllers: Vec<u16>,
}

impl Cluster {
    /// Of so many nodes, with controllers on ports that are free now. They are given back at once and bound by Kafka a
    /// second later: out of 12,000 ports nobody else finds just these meanwhile.
    pub(crate) fn of(nodes: usize) -> Result<Self, StackError> {
        let controller = || number_of(&reserve_any()?);
        Ok(Self {
            id: new_id(),
            controllers: std::iter::repeat_with(controller)
                .take(nodes)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Where the node's controller listens.
    pub(crate) fn controller_port(&self, node: usize) -> u16 {
        self.controllers[node]
    }

    /// Lines for `server.properties`: who this node is, who votes, and how often a record is kept.
    pub(crate) fn config(&self, node: usize) -> String {
        let voter = |(index, port): (usize, &u16)| format!("{}@127.0.0.1:{port}", index + 1);
        let voters: Vec<String> = self.controllers.iter().enumerate().map(voter).collect();
        let mut config = format!(
            "node.id={}\ncontroller.quorum.voters={}\n",
            node + 1,
            voters.join(",")
        );
        let all = self.controllers.len();
        for replicated in ["default", "offsets.topic", "transaction.state.log"] {
            config.push_str(&format!("{replicated}.replication.factor={all}\n"));
        }
        // More than half: one node may be missing, and what is acknowledged is on two.
        for at_least in ["min.insync.replicas", "transaction.state.log.min.isr"] {
            config.push_str(&format!("{at_least}={}\n", all / 2 + 1));
        }
        config
    }
}

/// 16 random bytes as Kafka writes them; not with a dash at the front, which its command line would take for
/// an option.
fn new_id() -> String {
    loop {
        let id = BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
        if !id.starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cluster;

    #[test]
    fn of_three_nodes_two_must_have_a_record_and_of_one_that_one() {
        let three = Cluster::of(3).expect("ports are free").config(1);
        for line in [
            "node.id=2",
            "min.insync.replicas=2",
            "default.replication.factor=3",
        ] {
            assert!(three.lines().any(|found| found == line), "{three}");
        }
        assert_eq!(three.matches("@127.0.0.1:").count(), 3);
        let one = Cluster::of(1).expect("ports are free").config(0);
        for line in [
            "node.id=1",
            "min.insync.replicas=1",
            "transaction.state.log.min.isr=1",
        ] {
            assert!(one.lines().any(|found| found == line), "{one}");
        }
    }
}

//! What runs one after the other share: codecs, which are kept for ever once they are made, and real stores.

use std::sync::{Arc, OnceLock};

use foldline_core::{Domain, Domains};
use foldline_domains::restaurant::customers::Customer;
use tempfile::TempDir;
use tokio::runtime::{Builder, EnterGuard, Runtime};

use super::broker::SimBroker;
use super::world::World;
use crate::broker::Broker;
use crate::catalog::Catalog;
use crate::keys::Keys;
use crate::store::Store;
use crate::{KafkaSettings, Registry, SecuritySettings};

/// Catalogs that differ in the keys of the local store alone: each start without local disk takes the next one, which
/// has nothing in the store yet.
const CATALOGS: u8 = 64;

/// Settings of a Kafka and a registry that nobody asks: records are read with the ids of our own schemas alone.
pub(crate) fn nowhere() -> KafkaSettings {
    KafkaSettings {
        bootstrap_servers: String::new(),
        schema_registry: "http://nowhere.invalid".to_owned(),
        topic_prefix: String::new(),
        kafka_properties: Vec::new(),
        security: SecuritySettings::default(),
    }
}

pub(super) struct Fixture {
    /// Futures that wait need a runtime around them.
    _entered: EnterGuard<'static>,
    kafka: KafkaSettings,
    domains: Domains,
    catalogs: Vec<Arc<Catalog>>,
    used: usize,
    open: Option<(TempDir, Store)>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
        let entered = RUNTIME.get_or_init(runtime).enter();
        let restaurant = Domain::new("restaurant").aggregate::<Customer>();
        let domains = Domains::new([restaurant]).unwrap();
        let kafka = nowhere();
        let registry = Registry::new(&kafka).unwrap();
        let catalogs = (0..CATALOGS).map(|salt| Arc::new(Catalog::offline(&registry, &domains, 2, salt)));
        let catalogs = catalogs.collect();
        Self {
            _entered: entered,
            kafka,
            domains,
            catalogs,
            used: 0,
            open: None,
        }
    }

    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalogs[0]
    }

    /// The keys as a process has them that knows none yet.
    pub(super) fn keys(&self, world: &World) -> Keys {
        let broker: Arc<dyn Broker> = Arc::new(SimBroker { world: world.clone() });
        Keys::behind(&(broker, Arc::new(world.clone())), &self.kafka, &self.domains)
    }

    /// A store with nothing in it, and what it is used with.
    pub(super) fn store(&mut self) -> (Arc<Catalog>, Store) {
        let number = self.used % self.catalogs.len();
        self.used += 1;
        if number == 0 {
            self.open = None;
        }
        let catalog = Arc::clone(&self.catalogs[number]);
        let (_, store) = self.open.get_or_insert_with(|| {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), &catalog).unwrap();
            (folder, store)
        });
        (catalog, store.clone())
    }
}

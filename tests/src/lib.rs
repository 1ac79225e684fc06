//! The harness of the end-to-end tests: a real broker and registry, the services as processes of their own.
//!
//! One broker serves all tests of a run. Each test has a topic prefix of its own, so none sees another one's
//! records, and folders of its own.

pub mod bar;
pub mod chance;
pub mod check;
pub mod cli;
pub mod client;
pub mod cloakroom;
pub mod clock;
pub mod copied;
pub mod dev;
pub mod disk;
pub mod faults;
pub mod folded;
pub mod follower;
pub mod fuzz;
pub mod handler;
pub mod handler_log;
pub mod issuer;
pub mod killed_at;
pub mod limit;
pub mod load;
pub mod log;
pub mod metrics;
pub mod older;
pub mod page;
pub mod producer;
pub mod proxy;
pub mod python;
pub mod reader;
pub mod records;
pub mod registry_proxy;
pub mod results;
pub mod rows;
pub mod secured;
pub mod share;
pub mod shared;
pub mod skip;
pub mod stack;
pub mod system;

use foldline_core::Domains;

/// The installed domains, and the one from outside.
pub fn domains() -> Domains {
    Domains::new([
        foldline_domains::counter::domain(),
        foldline_domains::restaurant::domain(),
        cloakroom::domain(),
    ])
    .expect("the declarations fit")
}

/// The same, and the bar.
pub fn domains_with_bar() -> Domains {
    Domains::new([
        foldline_domains::counter::domain(),
        foldline_domains::restaurant::domain(),
        cloakroom::domain(),
        bar::domain(),
    ])
    .expect("the declarations fit")
}

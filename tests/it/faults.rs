//! The short form of the fault suite: drawn faults for a while, and each named point.

use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::faults::report::Floors;
use foldline_tests::faults::{Plan, Verdict, run};
use foldline_tests::stack;

use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_what_was_promised_is_kept() {
    let seed = Chance::of_this_run("faults").any();
    let plan = Plan {
        name: "faults".to_owned(),
        program: PROGRAM.to_owned(),
        seed,
        brokers: 1,
        period: Duration::from_secs(8),
        length: Duration::from_secs(40),
        at_most: Duration::from_secs(1200),
        floors: Floors {
            answered: 2_000,
            faults: 20,
            open: 3,
            each_point: 2,
            held: 20,
            zombies: 3,
        },
        output: stack::folder().join("faults"),
    };
    let report = run(&plan, std::future::pending()).await;
    println!("{report}");
    assert_eq!(report.verdict(), Verdict::Kept);
}

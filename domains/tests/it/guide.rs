//! The guide for developers shows what stands in the code.

use std::path::Path;

#[test]
fn the_rules_that_the_guide_shows_are_the_counters() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(workspace.join(path)).unwrap();
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let guide = read("docs/guides/add-a-domain.md");
    let counter = dense(&read("domains/src/counter/mod.rs"));
    let block = guide
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    for rule in block.lines().filter(|line| !line.trim().is_empty()) {
        assert!(counter.contains(&dense(rule)), "{rule}");
    }
}

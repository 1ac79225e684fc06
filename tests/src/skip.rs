//! What cannot be shown on this machine, because an outside tool is missing.

/// Says that something is not shown. Panics where nothing may be skipped: `FOLDLINE_SKIP_NOTHING`, which CI sets.
#[track_caller]
pub fn because(what_and_why: &str) {
    let must_not = std::env::var_os("FOLDLINE_SKIP_NOTHING").is_some();
    assert!(!must_not, "nothing may be skipped here: {what_and_why}");
    println!("SKIPPED: {what_and_why}");
}

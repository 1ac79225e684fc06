//! What cannot be shown on this machine, because an outside tool is missing.

/// Says that something is not shown. Panics where nothing may be skipped: `FOLDLINE_SKIP_NOTHING`, which CI sets.
#[track_caller]
pub fn because(what_and_why: &str) {
    let must_not = std::env::var_os("FOLDLINE_SKIP_NOTHING").is_some();
    assert!(!must_not, "nothing may be skipped here: {what_and_why}");
    println!("SKIPPED: {what_and_why}");
}

/// The same of what a kernel gives or does not give: nobody can install that, so it is said, and is no failure anywhere.
pub fn for_want_of(what_the_kernel_has_not: &str) {
    println!("SKIPPED: this kernel has no {what_the_kernel_has_not}");
}

//! The installed domains. Pure: this crate depends on `foldline-core` and on nothing that does I/O.
//!
//! To add a domain:
//! 1. Copy [`counter`], the smallest one, to a folder of your own and rename what is in it. One file is enough
//!    to begin with; [`restaurant`] shows how several aggregates are laid out, and how they refer to each other.
//! 2. Add `pub mod <yours>;` here and its line in [`installed`].
//! 3. Write its schemas: `cargo run -- schemas write`. They are the contract with everybody who reads or writes
//!    its topics; commit them.
//! 4. Write `docs/errors/<code>.md` for each code of its rejections.
//!
//! `cargo test -p foldline-domains` names whatever of this is missing. Topics, HTTP resources, views and
//! history come from the declaration alone.

pub mod counter;
pub mod restaurant;

use foldline_core::Domains;

/// The domains that the programs run: one line for each.
pub fn installed() -> Domains {
    let domains = [
        counter::domain(), //
        restaurant::domain(),
    ];
    Domains::new(domains).expect("the declarations fit, or no test of this crate passes")
}

//! What librdkafka can do and rdkafka has no safe call for. The only crate with unsafe code; nothing of it is visible
//! outside.
//!
//! - `acl`: access control lists, asked for and made.
//! - `owned`: what librdkafka gives us to give back.

mod acl;
mod owned;

pub use acl::{Binding, NativeError, Operation, Pattern, Permission, Resource, create_acls, describe_acls};

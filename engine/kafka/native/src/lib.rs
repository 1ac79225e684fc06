//! What librdkafka can do and rdkafka has no safe call for. The only crate with unsafe code; nothing of it is visible
//! outside.
//!
//! - `acl`: access control lists, asked for and made.
//! - `token`: a client's first OAUTHBEARER token.
//! - `member`: who a consumer is in its group.
//! - `owned`: what librdkafka gives us to give back.

mod acl;
mod member;
mod owned;
mod token;

pub use acl::{Binding, NativeError, Operation, Pattern, Permission, Resource, create_acls, describe_acls};
pub use member::{Membership, member_id, membership};
pub use token::set_token;

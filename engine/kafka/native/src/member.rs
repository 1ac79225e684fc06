use rdkafka::bindings::{rd_kafka_mem_free, rd_kafka_memberid};
use rdkafka::client::{Client, ClientContext};

use crate::owned::text;

/// Which member of its group a consumer takes itself for; nothing before it has joined, and when it has given itself up.
pub fn member_id<C: ClientContext>(client: &Client<C>) -> Option<String> {
    // SAFETY: the client lives as long as its reference.
    let id = unsafe { rd_kafka_memberid(client.native_ptr()) };
    // SAFETY: it is null, or a text that ends with a zero and is ours until we give it back.
    let copied = unsafe { text(id) };
    if !id.is_null() {
        // SAFETY: librdkafka has given it to us, and nobody reads it any more.
        unsafe { rd_kafka_mem_free(client.native_ptr(), id.cast()) };
    }
    Some(copied).filter(|id| !id.is_empty())
}

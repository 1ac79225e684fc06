use rdkafka::bindings::{
    rd_kafka_consumer_group_metadata, rd_kafka_consumer_group_metadata_destroy,
    rd_kafka_consumer_group_metadata_generation_id, rd_kafka_consumer_group_metadata_group_id,
    rd_kafka_consumer_group_metadata_group_instance_id, rd_kafka_consumer_group_metadata_member_id,
    rd_kafka_mem_free, rd_kafka_memberid,
};
use rdkafka::client::{Client, ClientContext};

use crate::owned::{Owned, text};

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

/// Who a consumer is in its group, for a client that is not librdkafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// The generation of the group that the member takes part in; negative if it takes part in none.
    pub generation: i32,
    /// The id that the group has given the member; nothing before it has.
    pub member: String,
    /// The member's own name, if it has one (`group.instance.id`).
    pub instance: Option<String>,
}

/// The membership of now. `None` for a client that belongs to no group.
pub fn membership<C: ClientContext>(client: &Client<C>) -> Option<Membership> {
    // SAFETY: the client lives as long as its reference.
    let told = unsafe { rd_kafka_consumer_group_metadata(client.native_ptr()) };
    // SAFETY: it is null, or made for us, who give it back.
    let told = unsafe { Owned::new(told, rd_kafka_consumer_group_metadata_destroy) }?;
    // SAFETY: it is there, and so are its texts as long as it is.
    let group = unsafe { rd_kafka_consumer_group_metadata_group_id(told.as_ptr()) };
    // SAFETY: as above.
    let member = unsafe { rd_kafka_consumer_group_metadata_member_id(told.as_ptr()) };
    // SAFETY: as above; null if it has none.
    let instance = unsafe { rd_kafka_consumer_group_metadata_group_instance_id(told.as_ptr()) };
    // SAFETY: as above.
    let generation = unsafe { rd_kafka_consumer_group_metadata_generation_id(told.as_ptr()) };
    // SAFETY: each is null, or a text that ends with a zero.
    let texts = [group, member, instance].map(|pointer| unsafe { text(pointer) });
    let [group, member, instance] = texts;
    Some(Membership {
        group,
        generation,
        member,
        instance: Some(instance).filter(|instance| !instance.is_empty()),
    })
}

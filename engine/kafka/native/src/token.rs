use std::ffi::CString;
use std::ptr;

use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr;

use crate::owned::Complaint;

/// Gives a client the token by which Kafka is to know it from its next connection on.
///
/// rdkafka gives a client its tokens when it is polled. Some of ours ask something before they are polled, or never are.
///
/// # Errors
/// What librdkafka has against the token, in its words.
pub fn set_token<C: ClientContext>(
    client: &Client<C>,
    token: &str,
    principal: &str,
    expires_at_ms: i64,
) -> Result<(), String> {
    let zero = |_| "it has a zero byte in it".to_owned();
    let token = CString::new(token).map_err(zero)?;
    let principal = CString::new(principal).map_err(zero)?;
    let mut complaint = Complaint::new();
    let (room, size) = complaint.room();
    // SAFETY: the client lives as long as its reference; the texts end with a zero and are copied; there are no
    // extensions, for which null and 0 stand; `room` has `size` bytes.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            expires_at_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            room,
            size,
        )
    };
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        _ => Err(complaint.to_string()),
    }
}

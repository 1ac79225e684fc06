use std::ffi::{CString, c_int};
use std::fmt;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings::{
    self as rd, rd_kafka_AclBinding_t, rd_kafka_AclOperation_t, rd_kafka_AclPermissionType_t,
    rd_kafka_ResourcePatternType_t, rd_kafka_ResourceType_t, rd_kafka_admin_op_t, rd_kafka_error_t,
    rd_kafka_event_t, rd_kafka_queue_t, rd_kafka_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr;

use crate::owned::{Complaint, Owned, text};

/// An entry of Kafka's access control lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    /// Who: `User:ada`, or `User:*` for everybody.
    pub principal: String,
    /// What kind of thing it is about.
    pub resource: Resource,
    /// How the name is meant.
    pub pattern: Pattern,
    /// The thing's name, or `*` for all of them.
    pub name: String,
    /// What may be done, or not.
    pub operation: Operation,
    /// Whether it may.
    pub permission: Permission,
    /// From where: an address, or `*`.
    pub host: String,
}

impl fmt::Display for Binding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            principal, operation, ..
        } = self;
        let verb = match self.permission {
            Permission::Allow => "may",
            Permission::Deny => "may not",
            Permission::Other => "(a permission of a newer Kafka)",
        };
        write!(formatter, "{principal} {verb} {operation} {}", self.resource)?;
        if self.resource != Resource::Cluster {
            let end = if self.pattern == Pattern::Prefixed {
                "..."
            } else {
                ""
            };
            write!(formatter, " {}{end}", self.name)?;
        }
        if self.host != "*" {
            write!(formatter, " from {}", self.host)?;
        }
        Ok(())
    }
}

/// Says for each value of one of Kafka's enumerations which of librdkafka's it is, and how it is told.
macro_rules! known {
    ($(#[$doc:meta])* $name:ident of $native:ident { $($(#[$one:meta])* $value:ident = $constant:ident, $told:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$one])* $value,)*
            /// One that this program does not know: of a newer Kafka.
            Other,
        }

        impl $name {
            fn native(self) -> $native {
                match self {
                    $(Self::$value => $native::$constant,)*
                    Self::Other => $native::from_unknown(),
                }
            }

            fn read(native: $native) -> Self {
                match native {
                    $($native::$constant => Self::$value,)*
                    _ => Self::Other,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self {
                    $(Self::$value => $told,)*
                    Self::Other => "something of a newer Kafka",
                })
            }
        }
    };
}

/// What librdkafka refuses to make a binding of.
trait Unknown {
    fn from_unknown() -> Self;
}

impl Unknown for rd_kafka_ResourceType_t {
    fn from_unknown() -> Self {
        Self::RD_KAFKA_RESOURCE_UNKNOWN
    }
}

impl Unknown for rd_kafka_ResourcePatternType_t {
    fn from_unknown() -> Self {
        Self::RD_KAFKA_RESOURCE_PATTERN_UNKNOWN
    }
}

impl Unknown for rd_kafka_AclOperation_t {
    fn from_unknown() -> Self {
        Self::RD_KAFKA_ACL_OPERATION_UNKNOWN
    }
}

impl Unknown for rd_kafka_AclPermissionType_t {
    fn from_unknown() -> Self {
        Self::RD_KAFKA_ACL_PERMISSION_TYPE_UNKNOWN
    }
}

known! {
    /// What kind of thing a binding is about.
    Resource of rd_kafka_ResourceType_t {
        /// A topic.
        Topic = RD_KAFKA_RESOURCE_TOPIC, "topic";
        /// A consumer group.
        Group = RD_KAFKA_RESOURCE_GROUP, "group";
        /// The cluster, whose name is `kafka-cluster`. librdkafka calls it a broker, and means the same number.
        Cluster = RD_KAFKA_RESOURCE_BROKER, "cluster";
        /// What a producer's transactions are known by.
        TransactionalId = RD_KAFKA_RESOURCE_TRANSACTIONAL_ID, "transactional id";
    }
}

known! {
    /// How the name in a binding is meant.
    Pattern of rd_kafka_ResourcePatternType_t {
        /// Just this one; `*` is all of them.
        Literal = RD_KAFKA_RESOURCE_PATTERN_LITERAL, "literal";
        /// Each that begins so.
        Prefixed = RD_KAFKA_RESOURCE_PATTERN_PREFIXED, "prefixed";
    }
}

known! {
    /// What may be done with a thing. `Describe` goes with each of `Read`, `Write`, `Delete` and `Alter`.
    Operation of rd_kafka_AclOperation_t {
        /// Everything.
        All = RD_KAFKA_ACL_OPERATION_ALL, "do all to";
        /// Take records, and be a member of a group.
        Read = RD_KAFKA_ACL_OPERATION_READ, "read";
        /// Add records, and use a transactional id.
        Write = RD_KAFKA_ACL_OPERATION_WRITE, "write";
        /// Make it.
        Create = RD_KAFKA_ACL_OPERATION_CREATE, "create";
        /// Remove it, or its records.
        Delete = RD_KAFKA_ACL_OPERATION_DELETE, "delete";
        /// Change its partitions; of the cluster, its access control lists.
        Alter = RD_KAFKA_ACL_OPERATION_ALTER, "alter";
        /// See that it is there, its partitions and its offsets; of the cluster, its access control lists.
        Describe = RD_KAFKA_ACL_OPERATION_DESCRIBE, "describe";
        /// What brokers do among themselves.
        ClusterAction = RD_KAFKA_ACL_OPERATION_CLUSTER_ACTION, "act as a broker of";
        /// See its settings.
        DescribeConfigs = RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS, "describe the settings of";
        /// Change its settings.
        AlterConfigs = RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS, "alter the settings of";
        /// Write without repetitions, outside of transactions; who may write to a topic may that too.
        IdempotentWrite = RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE, "write once to";
    }
}

known! {
    /// Whether something may be done. Who is denied it may not, whatever else is allowed.
    Permission of rd_kafka_AclPermissionType_t {
        /// It may.
        Allow = RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, "allow";
        /// It may not.
        Deny = RD_KAFKA_ACL_PERMISSION_TYPE_DENY, "deny";
    }
}

/// Lists were neither told nor made.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// Kafka did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// Kafka, or librdkafka, refuses.
    #[error("{0}")]
    Refused(String),
}

/// Every entry that there is. None may also mean that the brokers keep no lists, or that this client may not see them:
/// librdkafka (2.12.1, `rd_kafka_DescribeAclsResponse_parse`) reads the error of the answer and drops it. Blocks.
pub fn describe_acls<C: ClientContext>(
    client: &Client<C>,
    at_most: Duration,
) -> Result<Vec<Binding>, NativeError> {
    let mut complaint = Complaint::new();
    let (room, size) = complaint.room();
    // SAFETY: null is no filter for names, principals and hosts; `room` has `size` bytes.
    let filter = unsafe {
        rd::rd_kafka_AclBindingFilter_new(
            rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_ANY,
            ptr::null(),
            rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY,
            ptr::null(),
            ptr::null(),
            rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ANY,
            rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
            room,
            size,
        )
    };
    // SAFETY: it was made for us by the call above, and this is how a binding, which a filter is, is given back.
    let filter = unsafe { Owned::new(filter, rd::rd_kafka_AclBinding_destroy) };
    let filter = filter.ok_or_else(|| NativeError::Refused(complaint.to_string()))?;
    let answer = ask(
        client,
        rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS,
        at_most,
        |call| {
            // SAFETY: all four live until the call returns, and librdkafka copies the filter and the options.
            unsafe { rd::rd_kafka_DescribeAcls(call.client, filter.as_ptr(), call.options, call.queue) }
        },
    )?;
    // SAFETY: the event lives until the end of this function, and so does its result.
    let result = unsafe { rd::rd_kafka_event_DescribeAcls_result(answer.event.as_ptr()) };
    if result.is_null() {
        return Err(NativeError::Refused("an answer to another question".to_owned()));
    }
    let mut count = 0;
    // SAFETY: the result is that of the event.
    let all = unsafe { rd::rd_kafka_DescribeAcls_result_acls(result, &raw mut count) };
    // SAFETY: librdkafka says that `count` of them are there, and they live as long as the event.
    let all = unsafe { slice(all.cast_const(), count) };
    Ok(all.iter().map(|binding| read(*binding)).collect())
}

/// Makes entries. The answer has, for each one that was not made, which and why. Blocks.
pub fn create_acls<C: ClientContext>(
    client: &Client<C>,
    bindings: &[Binding],
    at_most: Duration,
) -> Result<Vec<(Binding, String)>, NativeError> {
    if bindings.is_empty() {
        return Ok(Vec::new());
    }
    let owned: Vec<Owned<rd_kafka_AclBinding_t>> = bindings.iter().map(native).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*mut rd_kafka_AclBinding_t> = owned.iter().map(Owned::as_ptr).collect();
    let answer = ask(
        client,
        rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS,
        at_most,
        |call| {
            let (first, count) = (pointers.as_mut_ptr(), pointers.len());
            // SAFETY: `count` bindings are there; all of it lives until the call returns, and librdkafka copies it.
            unsafe { rd::rd_kafka_CreateAcls(call.client, first, count, call.options, call.queue) }
        },
    )?;
    // SAFETY: the event lives until the end of this function, and so does its result.
    let result = unsafe { rd::rd_kafka_event_CreateAcls_result(answer.event.as_ptr()) };
    if result.is_null() {
        return Err(NativeError::Refused("an answer to another question".to_owned()));
    }
    let mut count = 0;
    // SAFETY: the result is that of the event.
    let all = unsafe { rd::rd_kafka_CreateAcls_result_acls(result, &raw mut count) };
    // SAFETY: librdkafka says that `count` of them are there, in the order of the bindings; they live as the event does.
    let all = unsafe { slice(all.cast_const(), count) };
    let failed = bindings.iter().zip(all).filter_map(|(binding, result)| {
        // SAFETY: the result is one of the event's.
        let error = unsafe { rd::rd_kafka_acl_result_error(*result) };
        Some((binding.clone(), said(error)?))
    });
    Ok(failed.collect())
}

/// What a request of an administrator is made with.
struct Call {
    client: *mut rd_kafka_t,
    options: *const rd::rd_kafka_AdminOptions_t,
    queue: *mut rd_kafka_queue_t,
}

/// What came back. The event is given back before the queue that it came by.
struct Answer {
    event: Owned<rd_kafka_event_t>,
    _queue: Owned<rd_kafka_queue_t>,
}

/// Asks, and waits for the answer.
fn ask<C: ClientContext>(
    client: &Client<C>,
    what: rd_kafka_admin_op_t,
    at_most: Duration,
    send: impl FnOnce(&Call),
) -> Result<Answer, NativeError> {
    let client = client.native_ptr();
    let milliseconds = c_int::try_from(at_most.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client lives as long as its reference.
    let options = unsafe { rd::rd_kafka_AdminOptions_new(client, what) };
    // SAFETY: they were made for us, and this is how they are given back.
    let options = unsafe { Owned::new(options, rd::rd_kafka_AdminOptions_destroy) };
    let options =
        options.ok_or_else(|| NativeError::Refused("librdkafka does not know the request".to_owned()))?;
    let mut complaint = Complaint::new();
    let (room, size) = complaint.room();
    let pointer = options.as_ptr();
    // SAFETY: the options are ours; `room` has `size` bytes.
    let code = unsafe { rd::rd_kafka_AdminOptions_set_request_timeout(pointer, milliseconds, room, size) };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(NativeError::Refused(complaint.to_string()));
    }
    // SAFETY: the client lives as long as its reference.
    let queue = unsafe { rd::rd_kafka_queue_new(client) };
    // SAFETY: it was made for us, and this is how it is given back.
    let queue = unsafe { Owned::new(queue, rd::rd_kafka_queue_destroy) };
    let queue = queue.ok_or_else(|| NativeError::Refused("librdkafka has no queue for us".to_owned()))?;
    send(&Call {
        client,
        options: options.as_ptr(),
        queue: queue.as_ptr(),
    });
    // Longer than the request may take: librdkafka answers a late one itself.
    let milliseconds = milliseconds.saturating_add(1000);
    // SAFETY: the queue is ours.
    let event = unsafe { rd::rd_kafka_queue_poll(queue.as_ptr(), milliseconds) };
    // SAFETY: what is polled is ours, and this is how it is given back.
    let event = unsafe { Owned::new(event, rd::rd_kafka_event_destroy) };
    let event = event.ok_or(NativeError::Silent(at_most))?;
    check(&event)?;
    Ok(Answer { event, _queue: queue })
}

/// The error of the whole request, if it has one.
fn check(event: &Owned<rd_kafka_event_t>) -> Result<(), NativeError> {
    // SAFETY: the event is ours.
    match unsafe { rd::rd_kafka_event_error(event.as_ptr()) } {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        _ => {
            // SAFETY: the event is ours.
            let reason = unsafe { rd::rd_kafka_event_error_string(event.as_ptr()) };
            // SAFETY: the text is the event's, and ends with a zero.
            Err(NativeError::Refused(unsafe { text(reason) }))
        }
    }
}

/// What an error says; `None` if there is none.
fn said(error: *const rd_kafka_error_t) -> Option<String> {
    if error.is_null() {
        return None;
    }
    // SAFETY: it is not null, and lives as long as the event that it is of, which the caller holds.
    let said = unsafe { rd::rd_kafka_error_string(error) };
    // SAFETY: the text is the error's, and ends with a zero.
    Some(unsafe { text(said) })
}

/// # Safety
/// So many are there, for as long as the slice is used.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: it is not null, and the rest is what the caller has promised.
    unsafe { std::slice::from_raw_parts(first, count) }
}

fn native(binding: &Binding) -> Result<Owned<rd_kafka_AclBinding_t>, NativeError> {
    let zero = |_| NativeError::Refused(format!("{binding:?} has a zero byte in it"));
    let name = CString::new(binding.name.as_str()).map_err(zero)?;
    let principal = CString::new(binding.principal.as_str()).map_err(zero)?;
    let host = CString::new(binding.host.as_str()).map_err(zero)?;
    let mut complaint = Complaint::new();
    let (room, size) = complaint.room();
    // SAFETY: the texts end with a zero and are copied; `room` has `size` bytes.
    let made = unsafe {
        rd::rd_kafka_AclBinding_new(
            binding.resource.native(),
            name.as_ptr(),
            binding.pattern.native(),
            principal.as_ptr(),
            host.as_ptr(),
            binding.operation.native(),
            binding.permission.native(),
            room,
            size,
        )
    };
    // SAFETY: it was made for us, and this is how it is given back.
    let made = unsafe { Owned::new(made, rd::rd_kafka_AclBinding_destroy) };
    made.ok_or_else(|| NativeError::Refused(format!("{binding:?}: {complaint}")))
}

/// The caller holds the event that the binding is of. That each number is one of its enumeration is librdkafka's doing: it
/// makes `UNKNOWN` of what it does not know when it reads the answer (`rd_kafka_DescribeAclsResponse_parse`).
fn read(binding: *const rd_kafka_AclBinding_t) -> Binding {
    /// A text of the binding.
    macro_rules! text_of {
        ($field:ident) => {{
            // SAFETY: the binding lives as long as the event that it is of.
            let pointer = unsafe { rd::$field(binding) };
            // SAFETY: the text is the binding's, and ends with a zero.
            unsafe { text(pointer) }
        }};
    }
    Binding {
        principal: text_of!(rd_kafka_AclBinding_principal),
        // SAFETY: as above.
        resource: Resource::read(unsafe { rd::rd_kafka_AclBinding_restype(binding) }),
        // SAFETY: as above.
        pattern: Pattern::read(unsafe { rd::rd_kafka_AclBinding_resource_pattern_type(binding) }),
        name: text_of!(rd_kafka_AclBinding_name),
        // SAFETY: as above.
        operation: Operation::read(unsafe { rd::rd_kafka_AclBinding_operation(binding) }),
        // SAFETY: as above.
        permission: Permission::read(unsafe { rd::rd_kafka_AclBinding_permission_type(binding) }),
        host: text_of!(rd_kafka_AclBinding_host),
    }
}

//! What the kernel is told of connections: the server does not look at one that it cannot write to.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

/// How many bytes the kernel takes for a client that does not take them. By itself, it lets that grow to megabytes.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 64 * 1024;

/// The kernel keeps little for a client that does not read, and ends its connection when it has not taken what was
/// sent for so long. Accepted connections have both from their listener.
#[cfg(target_os = "linux")]
pub(crate) fn bound(listener: &TcpListener, write_timeout: Duration) -> io::Result<()> {
    let listener = socket2::SockRef::from(listener);
    listener.set_tcp_user_timeout(Some(write_timeout))?;
    listener.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn bound(_: &TcpListener, _: Duration) -> io::Result<()> {
    Ok(())
}

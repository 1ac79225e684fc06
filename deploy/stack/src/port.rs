use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::StackError;

/// Where "any free port" is looked for: below what operating systems hand out to outgoing connections (32768
/// on Linux, 49152 elsewhere). A broker on a port from there may not get it back after a restart: a client
/// that tries again and again to reach it can be given that very port as its own, and then talks to itself.
const FREE_PORTS: Range<u16> = 20_000..32_000;

/// A TCP port on the loopback interface, and the option by which the user chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    number: u16,
    option: String,
}

impl Port {
    /// A free one, the same one for every start of the same [`Server`](crate::Server).
    pub fn any() -> Self {
        Self::fixed(0, "")
    }

    /// This one; 0 is the same as [`Port::any`]. `option` is what an error tells the user to change, such as
    /// `--kafka-port`.
    pub fn fixed(number: u16, option: impl Into<String>) -> Self {
        Self {
            number,
            option: option.into(),
        }
    }

    /// Takes the port, so that nobody else gets it until the listener is dropped.
    pub(crate) fn reserve(&self, wanted_by: &'static str) -> Result<TcpListener, StackError> {
        if self.number == 0 {
            return reserve_any();
        }
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.number)).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => StackError::PortTaken {
                port: self.number,
                wanted_by,
                option: self.option.clone(),
            },
            _ => StackError::io(format!("listen on port {} for {wanted_by}", self.number))(error),
        })
    }

    /// The same option with the number that was found for it.
    pub(crate) fn resolved(&self, number: u16) -> Self {
        let option = if self.option.is_empty() {
            "another port"
        } else {
            &self.option
        };
        Self {
            number,
            option: option.to_owned(),
        }
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// What [`reserve_any`] gave out. A port is free again for the second that Java takes to bind it, and must
/// not be found then.
static GIVEN_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Takes a free port, a different one each time: processes that start together must not look in the same
/// order.
pub(crate) fn reserve_any() -> Result<TcpListener, StackError> {
    let width = FREE_PORTS.end - FREE_PORTS.start;
    let [a, b, ..] = uuid::Uuid::new_v4().into_bytes();
    let offset = u16::from_be_bytes([a, b]) % width;
    let mut given_out = GIVEN_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    (0..width)
        .map(|step| FREE_PORTS.start + (offset + step) % width)
        .filter(|port| given_out.insert(*port))
        .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .ok_or_else(|| StackError::io("find a free port")(ErrorKind::AddrInUse.into()))
}

/// A port that is free now, and that nothing else in this process is given.
///
/// # Errors
/// If none is free.
pub fn free_port() -> Result<u16, StackError> {
    number_of(&reserve_any()?)
}

/// The number of a reserved port.
pub(crate) fn number_of(reserved: &TcpListener) -> Result<u16, StackError> {
    let address = reserved
        .local_addr()
        .map_err(StackError::io("read a reserved port's number"))?;
    Ok(address.port())
}

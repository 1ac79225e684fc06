//! The system that serves every test that stops none of it: each such test has ids of its own.

use tokio::sync::OnceCell;

use crate::system::System;

static SYSTEM: OnceCell<System> = OnceCell::const_new();

/// The shared system. The first to ask starts it; it ends with this process.
pub async fn system(program: &str) -> &'static System {
    SYSTEM.get_or_init(|| System::start("shared", program)).await
}

//! foldline-core

//! foldline-kafka

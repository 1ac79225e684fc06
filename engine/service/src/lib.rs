//! foldline-service

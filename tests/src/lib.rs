//! foldline-tests

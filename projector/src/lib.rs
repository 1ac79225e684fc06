//! foldline-projector

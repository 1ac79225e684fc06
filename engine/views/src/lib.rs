//! foldline-views

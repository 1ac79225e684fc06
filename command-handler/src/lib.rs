//! foldline-command-handler

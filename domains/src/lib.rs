//! foldline-domains

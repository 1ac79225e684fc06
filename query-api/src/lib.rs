//! foldline-query-api

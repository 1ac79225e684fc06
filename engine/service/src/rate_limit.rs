//! How many requests a client may send: so many at once, and then as they come back evenly over the window.
//!
//! A client is an address (the first 64 bits of an IPv6 address, which is what one customer has), because nothing
//! else about it is proven. Behind a proxy all clients have the proxy's: limit there.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{Problem, parse_duration};

/// Clients that have their whole quota again are forgotten every so many requests.
const FORGET_EVERY: u64 = 4096;

/// `100/s`: how many requests in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    requests: NonZeroU32,
    per: Duration,
}

/// Text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate: write 100/s, 6000/m or 50/10s")]
pub struct InvalidRate(String);

impl FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let invalid = || InvalidRate(text.to_owned());
        let (requests, per) = text.split_once('/').ok_or_else(invalid)?;
        let per = per.trim();
        let counted = if per.starts_with(|first: char| first.is_ascii_digit()) {
            per.to_owned()
        } else {
            format!("1{per}")
        };
        let rate = Self {
            requests: requests.trim().parse().map_err(|_| invalid())?,
            per: parse_duration(&counted).map_err(|_| invalid())?,
        };
        rate.quota().map(|_| rate).ok_or_else(invalid)
    }
}

impl RateLimit {
    /// `None` if it is too fast to be told from no limit.
    fn quota(self) -> Option<Quota> {
        let one = self.per.checked_div(self.requests.get())?;
        Some(Quota::with_period(one)?.allow_burst(self.requests))
    }

    fn seconds(self) -> u64 {
        self.per.as_secs().max(1)
    }
}

/// Who is at the other end of a connection; `serve` puts it into each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    fn key(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            v4 => v4,
        }
    }
}

type Limiter = RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, DefaultClock, StateInformationMiddleware>;

/// The state of all clients.
pub(crate) struct Limits {
    rate: RateLimit,
    limiter: Limiter,
    clock: DefaultClock,
    asked: AtomicU64,
}

impl Limits {
    pub(crate) fn new(rate: RateLimit) -> Option<Arc<Self>> {
        let limiter = RateLimiter::keyed(rate.quota()?);
        Some(Arc::new(Self {
            rate,
            limiter: limiter.with_middleware(),
            clock: DefaultClock::default(),
            asked: AtomicU64::new(0),
        }))
    }

    /// How many more requests are left, or how long the client must wait.
    fn take(&self, peer: Peer) -> Result<u32, Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(&peer.key()) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_yet) => Err(not_yet.wait_time_from(self.clock.now())),
        }
    }

    /// `RateLimit` and `RateLimit-Policy`, as draft-ietf-httpapi-ratelimit-headers-10 has them.
    fn tell(&self, headers: &mut HeaderMap, remaining: u32, seconds: u64) {
        let (quota, window) = (self.rate.requests, self.rate.seconds());
        let policy = format!("\"default\";q={quota};w={window}");
        let state = format!("\"default\";r={remaining};t={seconds}");
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            let value = HeaderValue::try_from(value).expect("digits and punctuation");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Answers 429 to a client that asks more often than it may, and tells all others how much they have left.
pub(crate) async fn limited(limits: &Limits, request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return next.run(request).await;
    };
    let (mut response, remaining, seconds) = match limits.take(peer) {
        Ok(remaining) => (next.run(request).await, remaining, limits.rate.seconds()),
        Err(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            metrics::counter!("http_server_requests_limited_total").increment(1);
            (too_many(limits.rate, seconds).into_response(), 0, seconds)
        }
    };
    limits.tell(response.headers_mut(), remaining, seconds);
    response
}

fn too_many(rate: RateLimit, seconds: u64) -> Problem {
    let detail = format!(
        "this address may send {} requests in {} s",
        rate.requests,
        rate.seconds()
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
        .detail(detail)
        .retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::{Limits, Peer, RateLimit};

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        for (text, requests, seconds) in [("100/s", 100, 1), ("6000/m", 6000, 60), ("5 / 10s", 5, 10)] {
            let rate: RateLimit = text.parse().unwrap();
            assert_eq!(
                (rate.requests.get(), rate.seconds()),
                (requests, seconds),
                "{text}"
            );
        }
        for bad in ["", "100", "0/s", "x/s", "1/0s", "4000000000/1ns"] {
            assert!(bad.parse::<RateLimit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_address_has_its_own_quota_and_an_ipv6_customer_has_one() {
        let limits = Limits::new("2/m".parse().unwrap()).unwrap();
        let take = |address: &str| limits.take(Peer(address.parse().unwrap())).is_ok();
        assert!(take("10.0.0.1") && take("10.0.0.1") && !take("10.0.0.1"));
        assert!(take("10.0.0.2") && !take("::ffff:10.0.0.1"));
        assert!(take("2001:db8::1") && take("2001:db8::2") && !take("2001:db8::3"));
        assert!(take("2001:db8:0:1::1"));
    }
}

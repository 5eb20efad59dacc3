//! What an operator may set on a gateway.

use std::{num::NonZero, time::Duration};

use super::peers::IpRange;

/// How a [`Gateway`](super::Gateway) behaves. The defaults suit one machine that hosts some hundred apps.
#[derive(Debug, Clone, Default)]
pub struct GatewaySettings {
    /// How visitors reach the listeners when no trusted proxy says otherwise.
    pub scheme: Scheme,
    /// Proxies in front, whose `X-Forwarded-*` are believed. From anybody else they are dropped.
    pub trusted_proxies: Vec<IpRange>,
    /// Threads that carry the traffic while something is served; `None` is one per core. Each keeps its own connections
    /// to apps.
    pub workers: Option<NonZero<usize>>,
    /// How much at most.
    pub limits: Limits,
    /// How long at most.
    pub timeouts: Timeouts,
}

/// The scheme of the public address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// TLS, ended by something in front.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme need not name.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// How much a gateway takes on.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Visitors' connections on all listeners; more wait in the kernel's backlog.
    pub connections: usize,
    /// Requests and tunnels under way; more get 503.
    pub requests: usize,
    /// Requests and tunnels under way per route, so that one app cannot use up `requests`; more get 503.
    pub requests_per_app: usize,
    /// Streams under way per HTTP/2 connection.
    pub streams: u32,
    /// Open connections to apps that wait for the next request. Each worker may keep its share of them, and at least one.
    pub idle: usize,
    /// The same, per route.
    pub idle_per_app: usize,
    /// Bytes of a request's header names and values; more get 431.
    pub header_bytes: usize,
    /// Header lines of a request; more get 431.
    pub headers: usize,
    /// Bytes of a request's path and query; more get 414.
    pub uri_bytes: usize,
}

impl Default for Limits {
    /// Two sockets per request stay below the 10240 open files that a Fly machine allows.
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 4096,
            requests_per_app: 2048,
            streams: 128,
            idle: 1024,
            idle_per_app: 128,
            header_bytes: 32 * 1024,
            headers: 100,
            uri_bytes: 16 * 1024,
        }
    }
}

/// How long a gateway waits.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For a visitor to finish the head of a request, and for the next request on an open connection.
    pub head: Duration,
    /// For an app to begin its answer, counted from the last byte of the request; then 504. Bodies have no limit.
    pub response: Duration,
    /// For one connection to an app to open; then 502.
    pub connect: Duration,
    /// For an app that refuses connections to come back, as it does after a crash; then 502.
    pub comeback: Duration,
    /// For an app that is being exchanged to be there again; then 503.
    pub hold: Duration,
    /// For the next request on an open connection to an app. `PocketBase` itself closes after some minutes: being
    /// well below that keeps the two from closing and using a connection at the same time.
    pub idle: Duration,
    /// For a byte in either direction of a WebSocket.
    pub tunnel: Duration,
    /// For requests under way when the gateway shuts down; then they are cut.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            response: Duration::from_mins(2),
            connect: Duration::from_secs(2),
            comeback: Duration::from_secs(2),
            hold: Duration::from_secs(30),
            idle: Duration::from_secs(15),
            tunnel: Duration::from_hours(1),
            drain: Duration::from_secs(10),
        }
    }
}

//! Who may use the API, by the door they come through.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use lab_core::Secret;
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// Where a request comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The unix socket, which only the server's user can open: the file system has asked already.
    Socket,
    /// The API's own TCP listener.
    Tcp,
    /// The lab's own host on the public gateway.
    Public,
}

/// The rule of one door.
#[derive(Debug, Clone)]
pub struct Access {
    /// Which door.
    pub door: Door,
    /// The key, where one is configured.
    pub key: Option<Arc<Secret>>,
}

impl Access {
    /// Lets a request in, or says why not.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let is_open = match uri.path() {
            "/health" => true,
            // Caddy has no key to send, and the answer is no secret: who visits the host sees it too
            "/tls/ask" => self.door == Door::Tcp,
            // the page for people
            "/" => self.door == Door::Public,
            _ => false,
        };
        if is_open || self.door == Door::Socket {
            return Ok(());
        }
        match &self.key {
            Some(key) if bearer(headers).is_some_and(|given| same(given, key.expose())) => Ok(()),
            Some(_) => Err(Problem::unauthorized()),
            None if self.door == Door::Public => Err(Problem::forbidden(
                "key_not_configured",
                "the API answers here only with a key, and none is configured: start lab-server with LAB_API_KEY set",
            )),
            None => from_this_machine(headers),
        }
    }
}

/// Who came in, for the records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) &'static str);

impl Access {
    fn caller(&self) -> Caller {
        Caller(match (self.door, &self.key) {
            (Door::Socket, _) => "the server's socket",
            (_, Some(_)) => "the API's key",
            (_, None) => "a program on this machine",
        })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// In a time that does not tell where they differ.
fn same(given: &str, key: &str) -> bool {
    given.as_bytes().ct_eq(key.as_bytes()).into()
}

/// Without a key only programs on this machine may come in. A browser on this machine runs other people's pages, those of
/// hosted apps among them: what it sends for one of them is refused, by the origin it names, and by the host where that
/// is a name that was pointed here (DNS rebinding).
fn from_this_machine(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Err(Problem::forbidden(
            "foreign_host",
            "the API without a key answers on 127.0.0.1 and localhost only",
        ));
    }
    let is_own = |origin: &str| origin.strip_prefix("http://") == Some(host);
    if text(header::ORIGIN).is_some_and(|origin| !is_own(origin)) {
        return Err(Problem::forbidden("foreign_origin", "another site's page may not use the API"));
    }
    match headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or("?")) {
        None | Some("none" | "same-origin") => Ok(()),
        Some(_) => Err(Problem::forbidden("foreign_origin", "another site's page may not use the API")),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The middleware.
pub(crate) async fn guard(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    // the query may hold what is nobody's business
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match access.check(request.uri(), request.headers()) {
        Ok(()) => {
            request.extensions_mut().insert(access.caller());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    tracing::debug!(door = ?access.door, %method, path, status = response.status().as_u16(), "a request");
    // answers are for whoever may ask, and at that moment; no cache between may keep them
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a key of some length";

    fn check(door: Door, key: Option<&str>, path: &str, headers: &[(&'static str, &str)]) -> Result<(), Problem> {
        let access = Access { door, key: key.map(|key| Arc::new(Secret::new(key))) };
        let headers = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        access.check(&path.parse().expect("a path"), &headers)
    }

    #[test]
    fn the_socket_needs_no_key_and_health_is_for_all() {
        assert!(check(Door::Socket, Some(KEY), "/api/apps", &[]).is_ok());
        for door in [Door::Tcp, Door::Public] {
            assert!(check(door, Some(KEY), "/health", &[]).is_ok());
            assert!(check(door, None, "/health", &[("host", "evil.example"), ("origin", "null")]).is_ok());
        }
        assert!(check(Door::Public, None, "/", &[]).is_ok());
        assert!(check(Door::Tcp, None, "/", &[("host", "evil.example")]).is_err());
        assert!(check(Door::Tcp, Some(KEY), "/tls/ask", &[]).is_ok());
        assert!(check(Door::Public, Some(KEY), "/tls/ask", &[]).is_err());
        for path in ["/healthy", "/tls/ask/", "/tls", "/health/", "//health", "/api/health", "/api/apps"] {
            assert!(check(Door::Tcp, Some(KEY), path, &[]).is_err(), "{path}");
        }
    }

    #[test]
    fn a_configured_key_is_needed_on_tcp() {
        let right = format!("Bearer {KEY}");
        for door in [Door::Tcp, Door::Public] {
            assert!(check(door, Some(KEY), "/api/apps", &[("authorization", &right)]).is_ok());
            for wrong in ["Bearer wrong", "Bearer ", "Basic x", KEY, "Bearer a key of some lengt"] {
                assert!(check(door, Some(KEY), "/api/apps", &[("authorization", wrong)]).is_err(), "{wrong}");
            }
            assert!(check(door, Some(KEY), "/api/apps", &[("host", "localhost")]).is_err());
        }
    }

    #[test]
    fn the_public_door_never_opens_without_a_key() {
        assert!(check(Door::Public, None, "/api/apps", &[("host", "localhost")]).is_err());
    }

    #[test]
    fn without_a_key_only_this_machine_comes_in_and_no_foreign_page() {
        for host in ["localhost:9000", "127.0.0.1:9000", "127.1.2.3", "[::1]:9000", "localhost"] {
            assert!(check(Door::Tcp, None, "/api/apps", &[("host", host)]).is_ok(), "{host}");
        }
        for host in ["", "evil.example", "lab.localhost:9000", "127.0.0.1.evil.example", "localhost.evil.example"] {
            assert!(check(Door::Tcp, None, "/api/apps", &[("host", host)]).is_err(), "{host}");
        }
        let host = ("host", "localhost:9000");
        assert!(check(Door::Tcp, None, "/api/apps", &[host, ("origin", "http://localhost:9000")]).is_ok());
        for origin in ["http://app.lab.localhost:8080", "null", "https://localhost:9000", "http://localhost:8080"] {
            assert!(check(Door::Tcp, None, "/api/apps", &[host, ("origin", origin)]).is_err(), "{origin}");
        }
        assert!(check(Door::Tcp, None, "/api/apps", &[host, ("sec-fetch-site", "same-site")]).is_err());
        assert!(check(Door::Tcp, None, "/api/apps", &[host, ("sec-fetch-site", "same-origin")]).is_ok());
    }
}

//! What happens to headers on their way through.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, COOKIE, HOST, TE, UPGRADE, VIA},
};

mod forwarded;

pub(in crate::router) use forwarded::CLIENT_IP;
pub(super) use forwarded::{Visitor, set_forwarded};

/// Removes what concerns only one connection (RFC 9110 7.6.1): `Connection` and the names it lists, `Keep-Alive`, `TE`,
/// `Transfer-Encoding`, `Upgrade` and everything that begins with `Proxy-`.
///
/// `Trailer` stays: since RFC 9110 6.6.2 it is end-to-end, and without it hyper sends no trailers.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut listed: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for name in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            // the two usual words are no header names
            if name.eq_ignore_ascii_case(b"keep-alive") || name.eq_ignore_ascii_case(b"close") {
                continue;
            }
            listed.extend(HeaderName::from_bytes(name).ok());
        }
    }
    listed.extend(headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned());
    for name in listed {
        headers.remove(name);
    }
}

/// Comparing each name is cheaper than looking for all of these, as most headers have none.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "transfer-encoding" | "upgrade") || name.starts_with("proxy-")
}

/// Whether a list header such as `Connection` or `TE` holds `token`.
pub(super) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// Whether a request wants to become a WebSocket (RFC 6455 4.1). No other upgrade is let through: an `h2c` one would
/// carry requests past the routes and limits.
pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, CONNECTION, "upgrade")
        && headers.get_all(UPGRADE).iter().count() == 1
        && headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Asks for, or confirms, a WebSocket on the other side.
pub(super) fn set_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Makes a visitor's headers those for the app, except for the forwarding ones.
pub(super) fn prepare_request(headers: &mut HeaderMap, authority: HeaderValue, version: Version) {
    let trailers = has_token(headers, TE, "trailers");
    strip_hop_by_hop(headers);
    if trailers {
        // RFC 9110 10.1.4: whoever sends TE lists it in Connection
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    headers.insert(HOST, authority);
    join_cookies(headers);
    // RFC 9110 7.6.3: the protocol that it came by
    let via = match version {
        Version::HTTP_10 => "1.0 lab",
        Version::HTTP_2 => "2.0 lab",
        _ => "1.1 lab",
    };
    headers.append(VIA, HeaderValue::from_static(via));
}

/// HTTP/2 may split cookies over several lines; HTTP/1.1 must get one (RFC 9113 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (lines.next(), lines.next()) {
        let mut joined = first.as_bytes().to_vec();
        for line in std::iter::once(second).chain(lines) {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(line.as_bytes());
        }
        if let Ok(mut value) = HeaderValue::from_bytes(&joined) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }
}

/// Bytes of all names and values.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::settings::Scheme, *};

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn headers_that_connection_lists_are_dropped() {
        let mut headers = map(&[
            ("connection", "close, X-One"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-three", "3")]));
    }

    #[test]
    fn te_passes_only_as_trailers() {
        let mut headers = map(&[("te", "gzip, Trailers")]);
        prepare_request(&mut headers, HeaderValue::from_static("a.example"), Version::HTTP_11);
        assert_eq!(headers[TE], "trailers");
        let mut headers = map(&[("te", "gzip")]);
        prepare_request(&mut headers, HeaderValue::from_static("a.example"), Version::HTTP_11);
        assert!(!headers.contains_key(TE));
    }

    #[test]
    fn split_cookies_are_joined() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        prepare_request(&mut headers, HeaderValue::from_static("a.example"), Version::HTTP_11);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        assert!(wants_websocket(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!wants_websocket(&map(&[("connection", "keep-alive"), ("upgrade", "websocket")])));
        assert!(!wants_websocket(&map(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")])));
        assert!(!wants_websocket(&map(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")])));
    }

    const HOP: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-anything",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    const LIES: [&str; 8] = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-anything",
        "x-real-ip",
        "forwarded",
        "fly-client-ip",
    ];

    fn any_name() -> impl Strategy<Value = HeaderName> {
        prop_oneof![
            Just(CONNECTION),
            proptest::sample::select(&HOP[..]).prop_map(HeaderName::from_static),
            proptest::sample::select(&LIES[..]).prop_map(HeaderName::from_static),
            "x-[ab]".prop_map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap()),
        ]
    }

    fn any_value() -> impl Strategy<Value = HeaderValue> {
        const WORDS: [&str; 10] =
            ["x-a", "X-B", " keep-alive", "te", "trailers", "close", "x-forwarded-for", "", "a b", "\""];
        proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..4)
            .prop_map(|words| HeaderValue::from_str(&words.join(",")).unwrap())
    }

    fn any_headers() -> impl Strategy<Value = HeaderMap> {
        proptest::collection::vec((any_name(), any_value()), 0..24).prop_map(|lines| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, value);
            }
            headers
        })
    }

    proptest! {
        #[test]
        fn no_hop_by_hop_header_survives(headers in any_headers()) {
            let mut after = headers.clone();
            strip_hop_by_hop(&mut after);
            for name in HOP {
                prop_assert!(!after.contains_key(name), "{name}");
            }
            for name in after.keys() {
                prop_assert!(!has_token(&headers, CONNECTION, name.as_str()), "{name} was listed");
                // and what stays, stays whole
                prop_assert_eq!(after.get_all(name).iter().collect::<Vec<_>>(), headers.get_all(name).iter().collect::<Vec<_>>());
            }
        }

        #[test]
        fn no_forwarding_header_of_an_untrusted_client_survives(headers in any_headers()) {
            let mut after = headers;
            let visitor = Visitor { peer: Some([192, 0, 2, 1].into()), trusted: &[], scheme: Scheme::Http };
            let host = HeaderValue::from_static("a.example:8080");
            let forwarded = visitor.read(&after, &host, Some(8080));
            prepare_request(&mut after, host, Version::HTTP_11);
            set_forwarded(&mut after, forwarded);
            let lines = |name: &str| after.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(lines("x-forwarded-for"), ["192.0.2.1"]);
            prop_assert_eq!(lines("x-real-ip"), ["192.0.2.1"]);
            prop_assert_eq!(lines("x-forwarded-host"), ["a.example:8080"]);
            prop_assert_eq!(lines("x-forwarded-port"), ["8080"]);
            prop_assert_eq!(lines("x-forwarded-proto"), ["http"]);
            prop_assert_eq!(lines("forwarded"), ["for=192.0.2.1;host=\"a.example:8080\";proto=http"]);
            prop_assert!(!after.contains_key("x-forwarded-anything") && !after.contains_key("fly-client-ip"));
        }
    }
}

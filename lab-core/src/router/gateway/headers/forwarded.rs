//! Telling the app who asks: `X-Forwarded-*`, `X-Real-IP` and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use crate::router::gateway::{peers::IpRange, settings::Scheme};

/// The other end of a visitor's connection.
pub(in crate::router::gateway) struct Visitor<'a> {
    /// None on a unix socket, where only a trusted proxy can be.
    pub(in crate::router::gateway) peer: Option<IpAddr>,
    pub(in crate::router::gateway) trusted: &'a [IpRange],
    pub(in crate::router::gateway) scheme: Scheme,
}

/// The values to set. They share their text with each other and with what was read, as a request is often copied.
pub(in crate::router::gateway) struct Forwarding {
    trusted: bool,
    chain: Option<HeaderValue>,
    client: Option<HeaderValue>,
    scheme: Scheme,
    host: HeaderValue,
    port: HeaderValue,
    forwarded: Option<HeaderValue>,
}

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Other names under which proxies tell the client's address. An app may be told to believe one of them, so nobody but
/// a trusted proxy may set it.
pub(in crate::router) const CLIENT_IP: [&str; 5] =
    ["cf-connecting-ip", "fly-client-ip", "true-client-ip", "x-client-ip", "x-cluster-client-ip"];

/// Whether only a proxy may say it.
fn is_forwarding(name: &str, trusted: bool) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(name, "x-real-ip" | "forwarded")
        || (!trusted && CLIENT_IP.contains(&name))
}

impl Visitor<'_> {
    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(address))
    }

    /// Works the values out; before hop-by-hop headers go, so that nobody makes us forget a trusted proxy's words by
    /// listing them in `Connection`.
    pub(in crate::router::gateway) fn read(
        &self,
        headers: &HeaderMap,
        authority: &HeaderValue,
        port: Option<u16>,
    ) -> Forwarding {
        let own = self.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let trusted = self.peer.is_none_or(|peer| self.trusts(peer));
        let scheme = match last(headers, &PROTO).filter(|_| trusted) {
            Some(s) if s.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(s) if s.eq_ignore_ascii_case("http") => Scheme::Http,
            _ => self.scheme,
        };
        let forwarded = self.element(&own, authority, scheme);
        let told = |port: Option<u16>| port.unwrap_or(scheme.default_port()).into();
        if !trusted {
            let own = value(own);
            return Forwarding {
                trusted,
                client: own.clone(),
                chain: own,
                scheme,
                host: authority.clone(),
                port: told(port),
                forwarded: value(forwarded),
            };
        }
        Forwarding {
            trusted,
            chain: joined(headers, &FOR, own),
            client: self.client(headers).and_then(|client| value(client.to_string())),
            scheme,
            host: last(headers, &HOST).and_then(|host| value(host.to_owned())).unwrap_or_else(|| authority.clone()),
            port: told(last(headers, &PORT).and_then(|p| p.parse().ok()).or(port)),
            forwarded: joined(headers, &FORWARDED, forwarded),
        }
    }

    /// What this gateway knows, in the words of RFC 7239 (4 and 6).
    fn element(&self, peer: &str, authority: &HeaderValue, scheme: Scheme) -> String {
        let (before, after) = match self.peer {
            None => ("unknown", ""),
            Some(IpAddr::V4(_)) => ("", ""),
            Some(IpAddr::V6(_)) => ("\"[", "]\""),
        };
        let host = authority.to_str().unwrap_or_default();
        ["for=", before, peer, after, ";host=\"", host, "\";proto=", scheme.as_str()].concat()
    }

    /// The nearest address that is no trusted proxy: what stands left of it, anybody may have written.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = self.peer;
        for line in headers.get_all(FOR).iter().rev() {
            for entry in line.to_str().unwrap_or_default().rsplit(',') {
                let Ok(address) = entry.trim().parse::<IpAddr>() else { return client };
                let address = address.to_canonical();
                client = Some(address);
                if !self.trusts(address) {
                    return client;
                }
            }
        }
        client
    }
}

fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim).filter(|word| !word.is_empty())
}

/// Nothing is as good as nothing known. All of it was a header's text before, or is an address.
fn value(text: String) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok().filter(|value| !value.is_empty())
}

fn joined(headers: &HeaderMap, name: &HeaderName, own: String) -> Option<HeaderValue> {
    let lines =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).filter(|line| !line.trim().is_empty());
    let mut all = lines.collect::<Vec<_>>();
    if all.is_empty() {
        return value(own);
    }
    if !own.is_empty() {
        all.push(&own);
    }
    value(all.join(", "))
}

/// Replaces whatever the headers say about the visitor. From an untrusted one `known` is all there is to tell.
pub(in crate::router::gateway) fn set_forwarded(headers: &mut HeaderMap, known: Forwarding) {
    let lies: Vec<HeaderName> =
        headers.keys().filter(|name| is_forwarding(name.as_str(), known.trusted)).cloned().collect();
    for name in lies {
        headers.remove(name);
    }
    let scheme = HeaderValue::from_static(known.scheme.as_str());
    for (name, value) in [
        (FOR, known.chain),
        (REAL_IP, known.client),
        (PROTO, Some(scheme)),
        (HOST, Some(known.host)),
        (PORT, Some(known.port)),
        (FORWARDED, known.forwarded),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(peer: &str, lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers: HeaderMap =
            lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect();
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let visitor = Visitor { peer: peer.parse().ok(), trusted: &trusted, scheme: Scheme::Http };
        let known = visitor.read(&headers, &HeaderValue::from_static("a.example"), None);
        set_forwarded(&mut headers, known);
        headers
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_appended() {
        let headers = after(
            "10.0.0.1",
            &[
                ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.7"),
                ("x-forwarded-proto", "https"),
                ("forwarded", "for=203.0.113.9"),
                ("fly-client-ip", "203.0.113.9"),
            ],
        );
        assert_eq!(headers[FOR], "6.6.6.6, 203.0.113.9, 10.0.0.7, 10.0.0.1");
        // 6.6.6.6 is what the visitor claimed; the proxy saw 203.0.113.9
        assert_eq!(headers[REAL_IP], "203.0.113.9");
        assert_eq!(headers[PROTO], "https");
        assert_eq!(headers[PORT], "443");
        assert_eq!(headers[HOST], "a.example");
        assert_eq!(headers[FORWARDED], "for=203.0.113.9, for=10.0.0.1;host=\"a.example\";proto=https");
        assert_eq!(headers["fly-client-ip"], "203.0.113.9");
    }

    #[test]
    fn an_untrusted_peer_is_not_believed() {
        let headers = after(
            "192.0.2.1",
            &[("x-forwarded-for", "10.0.0.9"), ("x-forwarded-proto", "https"), ("fly-client-ip", "1.1.1.1")],
        );
        assert_eq!(headers[FOR], "192.0.2.1");
        assert_eq!(headers[PROTO], "http");
        assert!(!headers.contains_key("fly-client-ip"));
    }

    #[test]
    fn nonsense_from_a_trusted_proxy_falls_back_to_what_we_know() {
        let headers = after(
            "10.0.0.1",
            &[("x-forwarded-for", "unknown"), ("x-forwarded-proto", "gopher"), ("x-forwarded-port", "x")],
        );
        assert_eq!(headers[REAL_IP], "10.0.0.1");
        assert_eq!(headers[PROTO], "http");
        assert_eq!(headers[PORT], "80");
    }

    #[test]
    fn an_ipv6_visitor_is_quoted_as_rfc_7239_wants() {
        let headers = after("2001:db8::1", &[]);
        assert_eq!(headers[FOR], "2001:db8::1");
        assert_eq!(headers[FORWARDED], "for=\"[2001:db8::1]\";host=\"a.example\";proto=http");
    }
}

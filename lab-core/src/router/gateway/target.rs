//! For which host a request is.

use std::{borrow::Cow, net::Ipv6Addr};

use http::{
    HeaderValue, Method, Version,
    header::HOST,
    request::Parts,
    uri::{self, PathAndQuery},
};

use super::answer::Refusal;

/// The host that a request names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// As the visitor wrote it, port included: what the app shall see as `Host`.
    pub(super) authority: HeaderValue,
    /// The port, if it was named.
    pub(super) port: Option<u16>,
    name_end: usize,
}

impl Asked {
    /// The host's name, lower case, without port and final dot.
    pub(super) fn name(&self) -> Cow<'_, str> {
        let name = self.authority.to_str().ok().and_then(|text| text.get(..self.name_end)).unwrap_or_default();
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        }
    }

    /// Reads `host[:port]` (RFC 3986 3.2.2 and 3.2.3; user names are refused, as RFC 9110 4.2.4 wants).
    fn parse(value: &HeaderValue) -> Option<Self> {
        let authority = value.to_str().ok()?;
        let name_end = match authority.strip_prefix('[') {
            Some(rest) => {
                let end = rest.find(']')?;
                rest[..end].parse::<Ipv6Addr>().ok()?;
                end + 2
            }
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (name, port) = authority.split_at(name_end);
        if name.is_empty() || name == "." || !(name.starts_with('[') || name.bytes().all(is_reg_name)) {
            return None;
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            // `parse` alone would take a `+`
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(Self { authority: value.clone(), port, name_end })
    }
}

/// unreserved, sub-delims and `%` of RFC 3986.
fn is_reg_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b)
}

/// Finds the host of a request, and refuses requests that name none, several or nonsense.
pub(super) fn asked(parts: &Parts) -> Result<Asked, Refusal> {
    // CONNECT asks for a tunnel to anywhere, TRACE for the headers we add: a gateway offers neither (RFC 9110 9.3.6, 9.3.8)
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Method);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    // RFC 9112 3.2: 400 for more than one Host line, equal or not
    if hosts.next().is_some() {
        return Err(Refusal::BadRequest("It has more than one Host header."));
    }
    let host = match host {
        None => None,
        Some(value) => Some(Asked::parse(value).ok_or(Refusal::BadRequest(BAD_HOST))?),
    };
    let in_uri = match parts.uri.authority() {
        None => None,
        Some(authority) => {
            let value = HeaderValue::from_str(authority.as_str()).ok();
            Some(value.as_ref().and_then(Asked::parse).ok_or(Refusal::BadRequest(BAD_HOST))?)
        }
    };
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Refusal::BadRequest("Its address is neither http nor https."));
    }
    match (in_uri, host) {
        // RFC 9113 8.3.1: a Host that differs from :authority makes the request malformed
        (Some(uri), Some(host)) if parts.version == Version::HTTP_2 && uri.name() != host.name() => {
            Err(Refusal::BadRequest("Its Host header contradicts its :authority."))
        }
        // RFC 9112 3.2: a request without Host is malformed even when its target names a host
        (Some(_), None) if parts.version == Version::HTTP_11 => Err(Refusal::BadRequest(NO_HOST)),
        // RFC 9112 3.2.2: the host in the target wins over the header
        (Some(uri), _) => Ok(uri),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Refusal::BadRequest(NO_HOST)),
    }
}

const BAD_HOST: &str = "Its host name cannot be read.";
const NO_HOST: &str = "It does not say which host it is for.";

/// The target in origin-form, as the app wants it (RFC 9112 3.2.1).
pub(super) fn origin_form(uri: uri::Uri) -> uri::Uri {
    let mut origin = uri::Parts::default();
    origin.path_and_query = uri.into_parts().path_and_query.or_else(|| Some(PathAndQuery::from_static("/")));
    uri::Uri::from_parts(origin).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn host(version: Version, uri: &str, hosts: &[&str]) -> Option<String> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        asked(&request.body(()).unwrap().into_parts().0).ok().map(|asked| asked.name().into_owned())
    }

    #[test]
    fn the_host_is_read_without_case_port_and_final_dot() {
        for text in ["a.example", "A.Example", "a.example.", "a.example:8080", "a.example.:80", "a.example:"] {
            assert_eq!(host(Version::HTTP_11, "/", &[text]).as_deref(), Some("a.example"), "{text}");
        }
        assert_eq!(host(Version::HTTP_11, "/", &["[::1]:80"]).as_deref(), Some("[::1]"));
        assert_eq!(host(Version::HTTP_11, "/", &["127.0.0.1"]).as_deref(), Some("127.0.0.1"));
    }

    #[test]
    fn a_host_that_cannot_be_read_is_refused() {
        for text in [
            "", ".", ":80", "a b", "a/b", "u@a", "a:b", "a:80:90", "a:99999", "a:+80", "[::1", "[x]", "[::1]x", "a\"b",
            "a<b",
        ] {
            assert_eq!(host(Version::HTTP_11, "/", &[text]), None, "{text}");
        }
    }

    #[test]
    fn no_host_and_two_hosts_are_refused() {
        assert_eq!(host(Version::HTTP_11, "/", &[]), None);
        assert_eq!(host(Version::HTTP_10, "/", &[]), None);
        assert_eq!(host(Version::HTTP_11, "/", &["a", "a"]), None);
        assert_eq!(host(Version::HTTP_11, "http://a/", &[]), None);
    }

    #[test]
    fn the_target_wins_over_the_header_except_for_a_contradiction_in_http_2() {
        assert_eq!(host(Version::HTTP_11, "http://a.example/x", &["b.example"]).as_deref(), Some("a.example"));
        assert_eq!(host(Version::HTTP_2, "http://a.example/x", &[]).as_deref(), Some("a.example"));
        assert_eq!(host(Version::HTTP_2, "http://a.example/x", &["A.example:80"]).as_deref(), Some("a.example"));
        assert_eq!(host(Version::HTTP_2, "http://a.example/x", &["b.example"]), None);
        assert_eq!(host(Version::HTTP_11, "ftp://a.example/x", &["a.example"]), None);
    }

    #[test]
    fn the_app_gets_path_and_query_only() {
        let uri = |text: &'static str| origin_form(uri::Uri::from_static(text)).to_string();
        assert_eq!(uri("http://a.example:80/x?y=1"), "/x?y=1");
        assert_eq!(uri("http://a.example"), "/");
        assert_eq!(uri("/x"), "/x");
        assert_eq!(uri("*"), "*");
    }
}

//! The gateway's own answers: what a visitor reads when no app answers.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use crate::router::Unavailable;

/// Why a request gets an answer of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request makes no sense, and why.
    BadRequest(&'static str),
    /// CONNECT or TRACE.
    Method,
    /// The path and query are too long.
    UriTooLong,
    /// The headers are too large.
    HeadersTooLarge,
    /// No route.
    UnknownHost,
    /// A route to nowhere.
    Unavailable(Unavailable),
    /// Its app is being exchanged, and that takes long.
    Held,
    /// Too much under way.
    Busy,
    /// The app takes no connections.
    Unreachable,
    /// The app broke off, or answered nonsense.
    Cut,
    /// The app did not begin its answer in time.
    TimedOut,
}

/// A refusal in words.
struct Words {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: &'static str,
    retry_after: Option<u32>,
}

impl Refusal {
    /// Its name, which never changes: programs may branch on it.
    pub(super) fn code(self) -> &'static str {
        self.words().code
    }

    fn words(self) -> Words {
        let words = |status, code, title, detail| Words { status, code, title, detail, retry_after: None };
        let later = |seconds, words: Words| Words { retry_after: Some(seconds), ..words };
        match self {
            Self::BadRequest(detail) => {
                words(StatusCode::BAD_REQUEST, "bad_request", "This request makes no sense", detail)
            }
            Self::Method => words(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This method is not allowed",
                "CONNECT and TRACE are not served here.",
            ),
            Self::UriTooLong => words(
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "The address is too long",
                "Its path and query exceed the limit.",
            ),
            Self::HeadersTooLarge => words(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "The headers are too large",
                "Often that is too many cookies: deleting those of this site helps.",
            ),
            Self::UnknownHost => words(
                StatusCode::NOT_FOUND,
                "unknown_host",
                "No app lives here",
                "Nothing answers under this name. Is it spelt right?",
            ),
            Self::Unavailable(Unavailable::Deploying) => later(
                5,
                words(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "deploying",
                    "This app is on its way",
                    "Its first deploy is under way. Please try again in a moment.",
                ),
            ),
            Self::Unavailable(Unavailable::Stopped) => later(
                300,
                words(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "stopped",
                    "This app is stopped",
                    "Its owner has stopped it. It answers again once it is started.",
                ),
            ),
            Self::Unavailable(Unavailable::Failed) => later(
                60,
                words(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "failed",
                    "This app does not run",
                    "It failed to start or keeps failing. Its owner finds the reason in its log.",
                ),
            ),
            Self::Held => later(
                5,
                words(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "exchanging",
                    "This app is being exchanged",
                    "A new version of it is on its way, and that takes longer than usual. Please try again in a moment.",
                ),
            ),
            Self::Busy => later(
                1,
                words(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "busy",
                    "Too much is going on",
                    "More requests are under way than are allowed. Please try again in a moment.",
                ),
            ),
            Self::Unreachable => later(
                5,
                words(
                    StatusCode::BAD_GATEWAY,
                    "app_unreachable",
                    "This app does not answer",
                    "It should run but takes no connections. Please try again in a moment.",
                ),
            ),
            Self::Cut => words(
                StatusCode::BAD_GATEWAY,
                "app_failed",
                "This app broke off",
                "It ended the connection before it had answered. Whether it acted on the request is not known.",
            ),
            Self::TimedOut => words(
                StatusCode::GATEWAY_TIMEOUT,
                "app_timeout",
                "This app takes too long",
                "It did not begin to answer in time. Whether it acted on the request is not known.",
            ),
        }
    }

    /// The answer: a page, or problem details (RFC 9457) when the visitor prefers JSON.
    pub(super) fn response(self, headers: &HeaderMap, host: Option<&str>) -> Response<Bytes> {
        let words = self.words();
        let (kind, body) = if prefers_json(headers) {
            ("application/problem+json", problem(&words))
        } else {
            ("text/html; charset=utf-8", page(&words, host))
        };
        let mut response = Response::new(body.into());
        *response.status_mut() = words.status;
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        out.insert(VARY, HeaderValue::from_static("accept"));
        out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        out.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
        if let Some(seconds) = words.retry_after {
            out.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::Method {
            out.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        response
    }
}

/// The page of an app that takes no connections, for what leads to apps without the gateway.
pub(in crate::router) fn unreachable_page() -> String {
    page(&Refusal::Unreachable.words(), None)
}

fn problem(words: &Words) -> String {
    serde_json::json!({
        "type": "about:blank",
        "title": words.title,
        "status": words.status.as_u16(),
        "detail": words.detail,
        "code": words.code,
    })
    .to_string()
}

fn page(words: &Words, host: Option<&str>) -> String {
    let Words { status, title, detail, .. } = words;
    let host = host.map(|h| format!("<p class=host>{}</p>", escaped(h))).unwrap_or_default();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem;color:#222;background:#fff}}\
         h1{{font-size:1.5rem}}.host{{color:#777;overflow-wrap:anywhere}}\
         @media(prefers-color-scheme:dark){{body{{color:#ddd;background:#181818}}}}</style>\
         {host}<h1>{title}</h1><p>{detail}</p><p class=host>{}</p></html>\n",
        status.as_u16()
    )
}

/// Safe inside an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether `Accept` names JSON with a higher weight than HTML (RFC 9110 12.5.1); wildcards mean a page.
fn prefers_json(headers: &HeaderMap) -> bool {
    let (mut json, mut html) = (0.0_f32, 0.0_f32);
    for line in headers.get_all(ACCEPT) {
        for range in line.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("application/problem+json") {
                json = json.max(weight);
            } else if kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml") {
                html = html.max(weight);
            }
        }
    }
    json > html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> HeaderMap {
        std::iter::once((ACCEPT, HeaderValue::from_str(text).unwrap())).collect()
    }

    #[test]
    fn json_is_for_those_who_prefer_it() {
        for text in [
            "application/json",
            "application/json, text/html;q=0.5",
            "text/html;q=0.2,application/problem+json;q=0.3, */*",
        ] {
            assert!(prefers_json(&accept(text)), "{text}");
        }
        for text in [
            "*/*",
            "text/html",
            "text/html,application/json;q=0.9",
            "application/json;q=0",
            "text/html,application/json",
            "",
        ] {
            assert!(!prefers_json(&accept(text)), "{text}");
        }
    }

    #[test]
    fn a_page_escapes_the_host_and_needs_nothing_else() {
        let response = Refusal::UnknownHost.response(&HeaderMap::new(), Some("a&b'<script>"));
        let page = String::from_utf8(response.body().to_vec()).unwrap();
        assert!(
            page.contains("a&amp;b'&lt;script&gt;") && !page.contains("<script") && !page.contains("http"),
            "{page}"
        );
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn a_problem_carries_its_code() {
        let response = Refusal::Unavailable(Unavailable::Deploying).response(&accept("application/json"), None);
        let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&"deploying".into(), &503.into()));
        assert_eq!(response.headers()[RETRY_AFTER], "5");
    }
}

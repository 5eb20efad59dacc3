//! Errors as RFC 9457 problem details: `{"type", "title", "status", "code", "detail"}`; `code` is stable.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lab_core::{DomainError, Error, ErrorKind, InvalidAppName, InvalidGitRef, InvalidGitUrl, InvalidId};
use serde_json::json;

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    pub(crate) fn forbidden(code: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail =
            "the API key is missing or wrong: send it as `Authorization: Bearer …`, or set LAB_API_KEY for `lab`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict | ErrorKind::Busy | ErrorKind::Cancelled => StatusCode::CONFLICT,
        ErrorKind::App => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let problem = Self::new(status(error.kind()), error.code(), error.report());
        if error.kind() == ErrorKind::Internal {
            tracing::error!(code = problem.code, detail = problem.detail, "a call failed");
        }
        problem
    }
}

macro_rules! invalid {
    ($($error:ty => $code:literal),+ $(,)?) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::new(StatusCode::BAD_REQUEST, $code, error.to_string())
            }
        })+
    };
}

invalid! {
    InvalidAppName => "invalid_name",
    InvalidGitUrl => "invalid_repository",
    InvalidGitRef => "invalid_branch",
    InvalidId => "invalid_id",
    DomainError => "invalid_domain",
}

macro_rules! rejected {
    ($($rejection:ty),+ $(,)?) => {
        $(impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), "invalid_request", rejection.body_text())
            }
        })+
    };
}

rejected!(JsonRejection, PathRejection, QueryRejection);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2")),
            _ => None,
        };
        response
    }
}

#[cfg(test)]
mod tests {
    use lab_core::{builder::BuildError, router::RouterError, source::SourceError};

    use super::*;

    #[test]
    fn every_kind_of_error_has_its_status() {
        let app = || "app".parse().expect("a name");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let cases: [(Error, ErrorKind, u16); 9] = [
            (Error::RepositoryMissing(app()), ErrorKind::Invalid, 400),
            (Error::NoSuchApp(app()), ErrorKind::NotFound, 404),
            (Error::NothingToRun(app()), ErrorKind::Conflict, 409),
            (Error::Busy { app: app(), activity: "deployment".to_owned() }, ErrorKind::Busy, 409),
            (BuildError::NotRecognised { looked_for: Vec::new() }.into(), ErrorKind::App, 422),
            (SourceError::Cancelled.into(), ErrorKind::Cancelled, 409),
            (Error::ShuttingDown, ErrorKind::Unavailable, 503),
            (RouterError::Failed { source: "down".into() }.into(), ErrorKind::Unavailable, 503),
            (Error::Storage { action: "write", path: "/x".to_owned(), source: full }, ErrorKind::Internal, 500),
        ];
        for (error, kind, expected) in cases {
            assert_eq!(error.kind(), kind);
            let (code, detail) = (error.code(), error.report());
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.code, problem.detail), (expected, code, detail));
        }
    }

    #[test]
    fn an_internal_error_tells_its_cause() {
        let source = std::io::Error::other("the cable is out");
        let problem = Problem::from(Error::Storage { action: "write", path: "/x".to_owned(), source });
        assert!(problem.detail.ends_with("the cable is out"), "{}", problem.detail);
    }

    #[test]
    fn a_problem_says_what_to_do_in_its_headers() {
        for (problem, header) in [
            (Problem::unauthorized(), header::WWW_AUTHENTICATE),
            (Problem::from(Error::ShuttingDown), header::RETRY_AFTER),
        ] {
            let response = problem.into_response();
            assert!(response.headers().contains_key(&header), "{header}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }
}

//! The server's API over its socket or TCP.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::{ClientBuilder, Method, RequestBuilder, Response, Url, redirect::Policy};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{args::Place, error::CliError};

mod events;

/// Time for a call that is no stream. A restart waits for the app to become healthy.
const LIMIT: Duration = Duration::from_mins(5);
/// Time for a call that copies all of an app's data.
const LONG: Duration = Duration::from_hours(1);
const CONNECT: Duration = Duration::from_secs(5);
/// Where a server listens that was told nothing else.
const USUAL: &str = "http://127.0.0.1:9000";

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    /// Where the server is, for messages.
    pub(crate) place: String,
    /// Whether that is this machine.
    pub(crate) is_here: bool,
    /// What whoever uses it should know.
    pub(crate) warning: Option<String>,
}

/// Where sockets are looked for.
pub(crate) fn sockets(place: &Place) -> Vec<PathBuf> {
    if let Some(socket) = &place.socket {
        return vec![socket.clone()];
    }
    if let Some(folder) = &place.data_dir {
        return vec![folder.join("lab.sock")];
    }
    ["data/lab.sock", "/var/lib/lab/lab.sock", "/app/data/lab.sock"].map(PathBuf::from).to_vec()
}

impl Client {
    /// The client for where the server is said to be, or is found.
    pub(crate) fn new(place: &Place) -> Result<Self, CliError> {
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).redirect(Policy::none());
        if let Some(url) = &place.url {
            return Self::at(builder, url, place.api_key.clone());
        }
        // a socket that was named is the one that is meant, also when it is not there
        let is_named = place.socket.is_some() || place.data_dir.is_some();
        let Some(path) = sockets(place).into_iter().find(|path| is_named || path.exists()) else {
            return Self::at(builder, USUAL, place.api_key.clone());
        };
        let shown = path.display().to_string();
        let http = built(builder.no_proxy().unix_socket(path))?;
        Ok(Self {
            http,
            base: "http://localhost".to_owned(),
            key: place.api_key.clone(),
            place: shown,
            is_here: true,
            warning: None,
        })
    }

    fn at(builder: ClientBuilder, text: &str, key: Option<String>) -> Result<Self, CliError> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let url = url.ok_or_else(|| {
            CliError::Usage(format!("`{text}` is not a server's address; give it as https://lab.example.com"))
        })?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_localhost = host == "localhost" || host.ends_with(".localhost");
        let is_here = is_localhost || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        // a proxy from the environment is for the world outside
        let builder = if is_here { builder.no_proxy() } else { builder };
        // names below `localhost` are this machine (RFC 6761), which not every resolver knows; the port is the URL's
        let builder = if is_localhost { builder.resolve(host, (Ipv4Addr::LOCALHOST, 0).into()) } else { builder };
        let warning = (key.is_some() && url.scheme() == "http" && !is_here).then(|| {
            format!("the API key travels to `{host}` unencrypted; use its https address, or a tunnel to 127.0.0.1")
        });
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http: built(builder)?, place: base.clone(), base, key, is_here, warning })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        Err(CliError::of_problem(status, &response.text().await.unwrap_or_default()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        CliError::Unreachable { place: self.place.clone(), reason: reason.to_string() }
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        self.read_within(LIMIT, request).await
    }

    async fn read_within<T: DeserializeOwned>(&self, limit: Duration, request: RequestBuilder) -> Result<T, CliError> {
        let response = self.send(request.timeout(limit)).await?;
        response.json().await.map_err(|e| CliError::local("the server's answer cannot be read")(e.without_url().into()))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: Option<&Value>) -> Result<T, CliError> {
        let request = self.request(Method::POST, path);
        self.read(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CliError> {
        self.read(self.request(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::PUT, path)).await
    }

    /// Deletes something, and reads what is left.
    pub(crate) async fn delete_for<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::DELETE, path)).await
    }

    /// A call without a body, for what takes as long as the app's data is large.
    pub(crate) async fn post_long<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read_within(LONG, self.request(Method::POST, path)).await
    }

    /// The bytes of an answer, as they come.
    pub(crate) async fn bytes(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, CliError>> + Unpin + use<>, CliError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        let place = self.place.clone();
        Ok(Box::pin(response.bytes_stream().map(move |piece| {
            let reason = |error: reqwest::Error| error.without_url().to_string();
            piece.map_err(|error| CliError::Unreachable { place: place.clone(), reason: reason(error) })
        })))
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.send(self.request(Method::DELETE, path).timeout(LIMIT)).await.map(drop)
    }

    /// The events of a stream, until it ends or breaks.
    pub(crate) async fn events<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<T, CliError>> + Unpin + use<T>, CliError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        Ok(Box::pin(events::read(response, self.place.clone())))
    }
}

fn built(builder: ClientBuilder) -> Result<reqwest::Client, CliError> {
    builder.build().map_err(|e| CliError::local("the HTTP client cannot be made")(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: Option<&str>, key: Option<&str>) -> Place {
        Place { url: url.map(str::to_owned), socket: None, api_key: key.map(str::to_owned), data_dir: None }
    }

    #[test]
    fn an_address_is_one_that_can_be_asked() {
        for good in
            ["http://127.0.0.1:9000", "https://lab.example.com/", "http://lab.localhost:8080", "http://[::1]:9000"]
        {
            let client = Client::new(&place(Some(good), None)).expect(good);
            assert_eq!(client.base, good.trim_end_matches('/'));
        }
        for bad in ["lab.example.com", "ftp://x", "http://", "file:///x", "127.0.0.1:9000"] {
            assert!(matches!(Client::new(&place(Some(bad), None)), Err(CliError::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn a_key_does_not_travel_in_the_open_without_a_warning() {
        for (url, is_fine) in [
            ("https://lab.example.com", true),
            ("http://127.0.0.1:9000", true),
            ("http://lab.localhost:8080", true),
            ("http://lab.example.com", false),
            ("http://localhost.example.com", false),
            ("http://127.evil.example", false),
        ] {
            let client = Client::new(&place(Some(url), Some("a key"))).expect(url);
            assert_eq!(client.warning.is_none(), is_fine, "{url}");
            assert!(Client::new(&place(Some(url), None)).expect(url).warning.is_none(), "{url}");
        }
    }

    #[test]
    fn the_named_socket_is_the_only_one() {
        let mut place = place(None, None);
        assert!(sockets(&place).len() > 1);
        place.data_dir = Some("/data".into());
        assert_eq!(sockets(&place), [PathBuf::from("/data/lab.sock")]);
        place.socket = Some("/run/lab.sock".into());
        assert_eq!(sockets(&place), [PathBuf::from("/run/lab.sock")]);
        assert_eq!(Client::new(&place).expect("a client").place, "/run/lab.sock");
    }
}

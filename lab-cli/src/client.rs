//! The server's API over its socket or TCP.

use std::{path::PathBuf, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{args::Place, error::CliError};

/// Time for a call that is no stream. A restart waits for the app to become healthy.
const LIMIT: Duration = Duration::from_mins(5);
const CONNECT: Duration = Duration::from_secs(5);
/// The longest event that is read, in bytes.
const MAX_EVENT: usize = 1 << 20;

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    /// Where the server is, for messages.
    pub(crate) place: String,
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
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        let key = place.api_key.clone();
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|e| CliError::local("the HTTP client cannot be made")(e.into()))
        };
        if let Some(url) = &place.url {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(CliError::Usage(format!(
                    "`{url}` is not a server's address; give it as https://lab.example.com"
                )));
            }
            // a proxy from the environment is for the world outside
            let local = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| url.starts_with(start));
            let http = build(if local { builder.no_proxy() } else { builder })?;
            return Ok(Self { http, base: url.trim_end_matches('/').to_owned(), key, place: url.clone() });
        }
        let wanted = place.socket.is_some() || place.data_dir.is_some();
        let found = sockets(place).into_iter().find(|path| wanted || path.exists());
        if let Some(path) = found {
            let shown = path.display().to_string();
            let http = build(builder.no_proxy().unix_socket(path))?;
            return Ok(Self { http, base: "http://localhost".to_owned(), key, place: shown });
        }
        let base = "http://127.0.0.1:9000".to_owned();
        Ok(Self { http: build(builder.no_proxy())?, place: base.clone(), base, key })
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
        let response = self.send(request.timeout(LIMIT)).await?;
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

    pub(crate) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.send(self.request(Method::DELETE, path).timeout(LIMIT)).await.map(drop)
    }

    pub(crate) async fn text(&self, path: &str) -> Result<String, CliError> {
        let response = self.send(self.request(Method::GET, path).timeout(LIMIT)).await?;
        response.text().await.map_err(|e| CliError::local("the server's answer cannot be read")(e.without_url().into()))
    }

    /// The events of a stream, until it ends or breaks.
    pub(crate) async fn events<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<T, CliError>> + Unpin + use<T>, CliError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        let state = (response, Vec::new(), self.place.clone());
        Ok(Box::pin(stream::unfold(Some(state), next_event).filter_map(async |item| item)))
    }
}

type Streaming = (Response, Vec<u8>, String);

/// The next `data:` line of an event stream, as JSON: the server sends each event's data in one line.
async fn next_event<T: DeserializeOwned>(
    state: Option<Streaming>,
) -> Option<(Option<Result<T, CliError>>, Option<Streaming>)> {
    let (mut response, mut buffer, place) = state?;
    loop {
        if let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let data = line.strip_prefix(b"data:").and_then(|data| serde_json::from_slice(data).ok());
            return Some((data.map(Ok), Some((response, buffer, place))));
        }
        match response.chunk().await {
            Ok(Some(chunk)) if buffer.len() + chunk.len() <= MAX_EVENT => buffer.extend_from_slice(&chunk),
            Ok(None) => return None,
            Ok(Some(_)) | Err(_) => {
                let reason = "the connection broke".to_owned();
                return Some((Some(Err(CliError::Unreachable { place, reason })), None));
            }
        }
    }
}

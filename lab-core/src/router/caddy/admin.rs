//! Caddy's admin API (<https://caddyserver.com/docs/api>), over its unix socket.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;

use super::{
    CaddyError,
    config::{MAP, entries, entry, entry_id, sort},
    mappings::{Change, Mappings},
};

/// How long one call may take: 5000 routes are built anew in about a third of a second.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait before Caddy, which is away, is asked again.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// The largest answer that is read; a host's entry takes about 150 bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The longest reason that is kept.
const MAX_REASON: usize = 500;

#[derive(Debug)]
pub(super) struct Admin {
    http: reqwest::Client,
    socket: PathBuf,
    patience: Duration,
}

impl Admin {
    pub(super) fn new(socket: &Path, patience: Duration) -> Result<Self, CaddyError> {
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            // one connection a call: none is left that a restarted Caddy does not know
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL_LIMIT)
            .build()
            .map_err(|source| CaddyError::NotRunning { socket: socket.to_owned(), source: source.into() })?;
        Ok(Self { http, socket: socket.to_owned(), patience })
    }

    /// Waits until it answers.
    pub(super) async fn wait(&self) -> Result<(), CaddyError> {
        self.patiently(Method::GET, "/config/admin", None).await.map(drop)
    }

    /// The configuration in force, its hosts in order.
    pub(super) async fn config(&self) -> Result<Value, CaddyError> {
        let mut config = self.get("/config/").await?;
        sort(&mut config);
        Ok(config)
    }

    /// Replaces the whole configuration.
    pub(super) async fn load(&self, config: &Value) -> Result<(), CaddyError> {
        self.patiently(Method::POST, "/load", Some(config)).await.map(drop)
    }

    /// Makes the list of hosts and ports that it has another one, and sees that it is. One changed host is one small
    /// call; of several the list is sent whole, because each call costs Caddy the same.
    pub(super) async fn change(&self, before: &Mappings, wanted: &Mappings) -> Result<(), CaddyError> {
        let list = format!("/id/{MAP}/mappings");
        match wanted.changes(before).as_slice() {
            [] => return Ok(()),
            [Change::Added(host, port)] => {
                let entry = entry(host, *port);
                self.once(Method::POST, &list, Some(&entry)).await?;
                return self.see(&format!("/id/{}", entry_id(host)), &entry).await;
            }
            [Change::Moved(host, port)] => {
                let (path, entry) = (format!("/id/{}", entry_id(host)), entry(host, *port));
                self.once(Method::PATCH, &path, Some(&entry)).await?;
                return self.see(&path, &entry).await;
            }
            [Change::Gone(host)] => {
                let path = format!("/id/{}", entry_id(host));
                self.once(Method::DELETE, &path, None).await?;
                return match self.get(&path).await {
                    Err(CaddyError::Rejected { .. }) => Ok(()),
                    Ok(_) => Err(CaddyError::Differs),
                    Err(error) => Err(error),
                };
            }
            _ => {}
        }
        let entries = entries(wanted);
        self.once(Method::PATCH, &list, Some(&entries)).await?;
        self.see(&list, &entries).await
    }

    async fn see(&self, path: &str, wanted: &Value) -> Result<(), CaddyError> {
        if self.get(path).await? == *wanted { Ok(()) } else { Err(CaddyError::Differs) }
    }

    async fn get(&self, path: &str) -> Result<Value, CaddyError> {
        let body = self.patiently(Method::GET, path, None).await?;
        serde_json::from_slice(&body).map_err(|error| CaddyError::Rejected { reason: format!("its answer: {error}") })
    }

    /// Calls, again and again for a bounded time while Caddy is away. For what may be done twice.
    async fn patiently(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, CaddyError> {
        let begun = Instant::now();
        loop {
            match self.once(method.clone(), path, body).await {
                Err(CaddyError::NotRunning { .. }) if begun.elapsed() < self.patience => {
                    tokio::time::sleep(TRY_EVERY).await;
                }
                other => return other,
            }
        }
    }

    async fn once(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, CaddyError> {
        // Caddy takes the host for the origin, and a socket's has none
        let mut request = self.http.request(method, format!("http://localhost{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| self.failed(error))?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.failed(error))? {
            if answer.len() + part.len() > MAX_ANSWER {
                return Err(CaddyError::Rejected { reason: "its answer is longer than 64 MiB".to_owned() });
            }
            answer.extend_from_slice(&part);
        }
        if status.is_success() {
            return Ok(answer);
        }
        let said = serde_json::from_slice::<Value>(&answer).ok();
        let said = said.and_then(|said| Some(said.get("error")?.as_str()?.to_owned()));
        let reason = said.unwrap_or_else(|| format!("status {}", status.as_u16()));
        Err(CaddyError::Rejected { reason: reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect() })
    }

    fn failed(&self, error: reqwest::Error) -> CaddyError {
        if error.is_timeout() {
            return CaddyError::Slow { waited: CALL_LIMIT };
        }
        let mut next = std::error::Error::source(&error);
        while let Some(source) = next {
            if source.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied) {
                return CaddyError::Permission(self.socket.clone());
            }
            next = source.source();
        }
        CaddyError::NotRunning { socket: self.socket.clone(), source: error.without_url().into() }
    }

    /// What tells one Caddy from the next.
    pub(super) async fn stamp(&self) -> Option<(u64, i64, i64)> {
        let meta = tokio::fs::metadata(&self.socket).await.ok()?;
        Some((meta.ino(), meta.ctime(), meta.ctime_nsec()))
    }
}

//! Calls to supervisord: XML-RPC by HTTP over its unix socket.
//!
//! One thread serves all calls between its other work, so several small ones go as one (`system.multicall`): they are done
//! without anything in between.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    error::{Fault, SupervisordError},
    observed::code,
    xml::{self, Answer, Value},
};
use crate::supervisor::clean;

/// How long one call may take; reading 5000 program files anew takes about 7 s.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait before supervisord, which is away, is asked again.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// The largest answer that is read; one process takes about 1.5 KB.
const MAX_ANSWER: usize = 32 << 20;
/// The longest text of a fault that is kept.
const MAX_FAULT: usize = 500;

/// One call: the method and its parameters.
#[derive(Debug, Clone)]
pub(super) struct Call(pub(super) &'static str, pub(super) Vec<Value>);

impl Call {
    /// A call about one app.
    pub(super) fn named(method: &'static str, name: &str) -> Self {
        Self(method, vec![Value::Text(name.to_owned())])
    }
}

#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    socket: PathBuf,
    log: PathBuf,
    /// How long a call is tried again while supervisord is away.
    patience: Duration,
}

impl Client {
    pub(super) fn new(socket: &Path, log: &Path, patience: Duration) -> Result<Self, SupervisordError> {
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            // one connection a call: none is left that a restarted supervisord does not know
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL_LIMIT)
            .build()
            .map_err(|source| SupervisordError::Unreachable { socket: socket.to_owned(), source: source.into() })?;
        Ok(Self { http, socket: socket.to_owned(), log: log.to_owned(), patience })
    }

    /// Calls, again and again for a bounded time while supervisord is away. So a call may be done twice.
    pub(super) async fn call(&self, call: &Call) -> Result<Value, SupervisordError> {
        let begun = Instant::now();
        loop {
            match self.once(call).await {
                Err(error) if is_away(&error) && begun.elapsed() < self.patience => tokio::time::sleep(TRY_EVERY).await,
                other => return other,
            }
        }
    }

    /// Several calls in one, each with its own answer; the same.
    pub(super) async fn calls(&self, calls: &[Call]) -> Result<Vec<Result<Value, SupervisordError>>, SupervisordError> {
        let begun = Instant::now();
        loop {
            match self.all_once(calls).await {
                Err(error) if is_away(&error) && begun.elapsed() < self.patience => tokio::time::sleep(TRY_EVERY).await,
                other => return other,
            }
        }
    }

    /// Several calls in one, tried once.
    pub(super) async fn all_once(
        &self,
        calls: &[Call],
    ) -> Result<Vec<Result<Value, SupervisordError>>, SupervisordError> {
        let list = calls.iter().map(|Call(method, params)| {
            let members = [
                ("methodName".to_owned(), Value::Text((*method).to_owned())),
                ("params".to_owned(), Value::Array(params.clone())),
            ];
            Value::Struct(members.into())
        });
        let answer = self.once(&Call("system.multicall", vec![Value::Array(list.collect())])).await?;
        let answers = answer.into_array().filter(|answers| answers.len() == calls.len());
        let answers = answers.ok_or_else(|| self.odd("it did not answer each of several calls"))?;
        answers
            .into_iter()
            .zip(calls)
            .map(|(value, Call(method, _))| match xml::fault(&value) {
                None => Ok(Ok(value)),
                Some((code, text)) => match refused(method, code, &text) {
                    SupervisordError::ShuttingDown => Err(SupervisordError::ShuttingDown),
                    other => Ok(Err(other)),
                },
            })
            .collect()
    }

    /// Calls, tried once.
    pub(super) async fn once(&self, Call(method, params): &Call) -> Result<Value, SupervisordError> {
        let request = self.http.post("http://supervisord/RPC2").header("content-type", "text/xml");
        let failed = |error: reqwest::Error| self.failed(method, error);
        let mut response = request.body(xml::call(method, params)).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(self.odd(&format!("it answers with status {}", response.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if body.len() + part.len() > MAX_ANSWER {
                return Err(self.odd("its answer is longer than 32 MiB"));
            }
            body.extend_from_slice(&part);
        }
        match xml::answer(&body).map_err(|why| self.odd(&format!("its answer makes no sense: {why}")))? {
            Answer::Value(value) => Ok(value),
            Answer::Fault { code, text } => Err(refused(method, code, &text)),
        }
    }

    pub(super) fn odd(&self, why: &str) -> SupervisordError {
        SupervisordError::NotSupervisord { socket: self.socket.clone(), why: why.to_owned() }
    }

    fn failed(&self, method: &str, error: reqwest::Error) -> SupervisordError {
        let socket = self.socket.clone();
        if error.is_timeout() {
            return SupervisordError::Slow { method: method.to_owned(), waited: CALL_LIMIT };
        }
        match io_kind(&error) {
            Some(io::ErrorKind::NotFound) => SupervisordError::NotRunning { socket, log: self.log.clone() },
            Some(io::ErrorKind::PermissionDenied) => SupervisordError::Permission(socket),
            None if chain(&error).filter_map(|error| error.downcast_ref()).any(hyper::Error::is_parse) => {
                self.odd("it does not speak HTTP")
            }
            // it broke off: killed, perhaps
            _ => SupervisordError::Unreachable { socket, source: error.into() },
        }
    }
}

/// Whether it is worth while to ask again soon.
fn is_away(error: &SupervisordError) -> bool {
    matches!(
        error,
        SupervisordError::NotRunning { .. } | SupervisordError::Unreachable { .. } | SupervisordError::ShuttingDown
    )
}

fn refused(method: &str, code: i64, text: &str) -> SupervisordError {
    if code == Fault::SHUTDOWN_STATE {
        return SupervisordError::ShuttingDown;
    }
    let text = clean(text.as_bytes()).chars().take(MAX_FAULT).collect();
    SupervisordError::Fault { method: method.to_owned(), code, text }
}

/// Every error in the chain that led to this one.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind)
}

/// What supervisord says of one process (its `getProcessInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) name: String,
    /// 0 STOPPED, 10 STARTING, 20 RUNNING, 30 BACKOFF, 40 STOPPING, 100 EXITED, 200 FATAL, 1000 UNKNOWN.
    pub(super) state: i64,
    /// 0 where there is none.
    pub(super) pid: u32,
    /// Seconds since 1970; 0 for never.
    pub(super) start: i64,
    pub(super) stop: i64,
    /// Why it could not be made, or did not stay.
    pub(super) spawn_error: String,
}

impl Info {
    /// Whether it stays without a process unless somebody asks for one.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.state, code::STOPPED | code::FATAL | code::UNKNOWN)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state == code::STOPPING
    }

    pub(super) fn parse(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_int();
        Some(Self {
            name: value.get("name")?.as_str()?.to_owned(),
            state: number("state")?,
            pid: u32::try_from(number("pid")?).ok()?,
            start: number("start")?,
            stop: number("stop")?,
            spawn_error: value.get("spawnerr")?.as_str()?.to_owned(),
        })
    }
}

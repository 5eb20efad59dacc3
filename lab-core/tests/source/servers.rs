//! Servers on loopback: git's own daemon, git's CGI program behind a small HTTP server, and one that says nothing.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command, task::JoinHandle};

/// A task that ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `git daemon` for the repositories below `root`, one process a connection, as inetd would start it.
pub(crate) async fn daemon(root: &Path) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let root = root.to_owned();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut child = Command::new("git")
                .args(["-c", "safe.directory=*", "daemon", "--inetd", "--export-all", "--log-destination=none"])
                .arg(format!("--base-path={}", root.display()))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
                let up = tokio::spawn(async move { tokio::io::copy(&mut from, &mut stdin).await });
                drop(tokio::io::copy(&mut stdout, &mut to).await);
                drop(to);
                up.abort();
                drop(child.wait().await);
            });
        }
    });
    Server { address, task }
}

/// Takes connections and says nothing.
pub(crate) async fn silent() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    Server { address, task }
}

/// How the HTTP server behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Web {
    /// Where the repositories are.
    pub(crate) root: PathBuf,
    /// Repositories below `/private/` want this password.
    pub(crate) password: Option<String>,
    /// Requests for `/moved/…` are sent on to here.
    pub(crate) moved_to: Option<String>,
    /// Every answer's status, instead of git's.
    pub(crate) status: Option<u16>,
    /// All `Authorization` headers, and none as an empty text.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl Web {
    pub(crate) async fn start(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let web = self.clone();
                let service = service_fn(move |request| {
                    let web = web.clone();
                    async move { Ok::<_, Infallible>(web.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Server { address, task }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let given = request.headers().get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned();
        self.seen.lock().unwrap().push(given.clone());
        let path = request.uri().path().to_owned();
        let empty = |status: u16| Response::builder().status(status).body(Full::default()).unwrap();
        if let Some(status) = self.status {
            return empty(status);
        }
        if let (Some(rest), Some(to)) = (path.strip_prefix("/moved/"), &self.moved_to) {
            let mut answer = empty(302);
            let query = request.uri().query().unwrap_or_default();
            answer.headers_mut().insert(header::LOCATION, format!("{to}/{rest}?{query}").parse().unwrap());
            return answer;
        }
        let known = self.password.as_ref().is_some_and(|password| given.ends_with(password.as_str()));
        if path.starts_with("/private/") && !known {
            let mut answer = empty(401);
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, "Basic realm=\"git\"".parse().unwrap());
            return answer;
        }
        self.cgi(request).await
    }

    async fn cgi(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let header = |name| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let mut child = Command::new("git")
            .args(["-c", "safe.directory=*", "http-backend"])
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", parts.uri.path())
            .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
            .env("REQUEST_METHOD", parts.method.as_str())
            .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feed = tokio::spawn(async move { stdin.write_all(&body).await });
        let output = child.wait_with_output().await.unwrap().stdout;
        drop(feed.await);
        let split = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(output.len());
        let (head, body) = output.split_at(split);
        let mut answer = Response::builder();
        for line in String::from_utf8_lossy(head).lines() {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            answer = match name {
                "" => answer,
                "Status" => answer.status(value[..3].parse::<u16>().unwrap()),
                _ => answer.header(name, value),
            };
        }
        answer.body(Full::new(Bytes::copy_from_slice(body.get(4..).unwrap_or_default()))).unwrap()
    }
}

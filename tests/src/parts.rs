//! Real parts for tests: repositories made of the examples, pinned PocketBase binaries, an HTTP client for the gateway.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

/// The repository's own root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The pinned PocketBase binaries. `make tools` installs them.
pub fn pocketbase() -> PathBuf {
    let folder = root().join(".tools/pocketbase");
    assert!(folder.join("0.40.6/pocketbase").is_file(), "PocketBase is missing: run `make tools`");
    folder
}

/// A folder for a lab's data, not below the machine's temporary folder: PocketBase treats programs there differently.
pub fn folder() -> tempfile::TempDir {
    let parent = root().join("target/tmp");
    std::fs::create_dir_all(&parent).unwrap();
    tempfile::tempdir_in(parent).unwrap()
}

/// Every process that was started for an app whose data is below `data`.
pub fn processes(data: &Path) -> Vec<u32> {
    let mark = format!("DB_DIR={}/", data.display()).into_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|b| *b == 0).any(|variable| variable.starts_with(&mark)) {
            found.push(pid);
        }
    }
    found
}

/// Ends them, also after a test that failed.
pub fn end_processes(data: &Path) {
    for pid in processes(data) {
        let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
}

/// A git repository that tests push to.
pub struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    /// One with the files of an example app.
    pub fn of_example(name: &str) -> Self {
        let dir = folder();
        copy(&root().join("examples/apps").join(name), dir.path());
        Self::of_folder(dir)
    }

    /// One with everything in a folder.
    pub fn of_folder(dir: tempfile::TempDir) -> Self {
        let repository = Self { dir };
        git2::Repository::init_opts(repository.dir.path(), git2::RepositoryInitOptions::new().initial_head("main"))
            .unwrap();
        repository.commit("The files");
        repository
    }

    /// One with these files.
    pub fn of_files(files: &[(&str, &str)]) -> Self {
        let repository = Self { dir: folder() };
        git2::Repository::init_opts(repository.dir.path(), git2::RepositoryInitOptions::new().initial_head("main"))
            .unwrap();
        repository.push(files);
        repository
    }

    /// Its address: a path on this machine.
    pub fn address(&self) -> String {
        self.dir.path().display().to_string()
    }

    /// Writes files and commits them.
    pub fn push(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        self.commit("A change");
    }

    fn commit(&self, message: &str) {
        let repository = git2::Repository::open(self.dir.path()).unwrap();
        let mut index = repository.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let me = git2::Signature::now("Me", "me@example.com").unwrap();
        let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
        repository.commit(Some("HEAD"), &me, &me, message, &tree, &parent.iter().collect::<Vec<_>>()).unwrap();
    }
}

/// Copies a folder, without what a build in it leaves.
pub fn copy(from: &Path, to: &Path) {
    const LEFT_OUT: [&str; 5] = ["node_modules", "dist", "pb_data", ".git", "target"];
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A visitor of one app through the gateway.
#[derive(Debug, Clone)]
pub struct Visitor {
    client: reqwest::Client,
    base: String,
}

impl Visitor {
    pub fn new(app: &str, gateway_port: u16) -> Self {
        Self::of_host(&format!("{app}.lab.localhost"), gateway_port)
    }

    /// One of a host of its own.
    pub fn of_host(host: &str, gateway_port: u16) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            // not every resolver knows *.localhost
            .resolve(host, ([127, 0, 0, 1], gateway_port).into())
            .build()
            .unwrap();
        Self { client, base: format!("http://{host}:{gateway_port}") }
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The answer, where there is one.
    pub async fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    pub async fn get_json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.try_post(path, body).await.unwrap()
    }

    /// The answer, where there is one.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let response = self.client.post(format!("{}{path}", self.base)).json(body).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// The lines of an event stream.
    pub async fn stream(&self, path: &str) -> reqwest::Response {
        self.try_stream(path).await.unwrap()
    }

    /// The same, where it can be had. PocketBase ends it after five minutes without an event.
    pub async fn try_stream(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.client.get(format!("{}{path}", self.base)).timeout(Duration::from_mins(10)).send().await
    }
}

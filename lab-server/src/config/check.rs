//! `lab-server check`: the settings in force, and what would not work.

use std::{
    fmt::Write,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

use lab_core::{Secret, UrlPolicy};

use super::{Config, Kept, PocketBaseFrom, StackKind, values::word};

/// The most bytes of a unix socket's path: `sun_path` on Linux, with room for the name it is made under.
const MAX_SOCKET_PATH: usize = 104;

/// Programs that some apps need, and for what.
const TOOLS: [(&str, &str); 3] = [("go", "apps written in Go"), ("node", "frontends"), ("npm", "frontends")];

impl Config {
    /// The settings in force, secrets hidden, and what would not work; whether all would.
    pub fn check(&self) -> (String, bool) {
        let mut text = String::new();
        for (name, origin) in &self.origins {
            // writing to a string cannot fail
            let _ = writeln!(text, "{name:<26} {:<40} ({origin})", self.shown(name));
        }
        for note in self.notes() {
            let _ = writeln!(text, "\nnote: {note}");
        }
        let faults = self.faults();
        for fault in &faults {
            let _ = writeln!(text, "\nproblem: {fault}");
        }
        if faults.is_empty() {
            text.push_str("\neverything looks fine");
        }
        (text.trim_end().to_owned(), faults.is_empty())
    }

    fn shown(&self, name: &str) -> String {
        let hidden = |secret: &Option<Secret>| if secret.is_some() { "(hidden)" } else { "(none)" }.to_owned();
        let join = |items: Vec<String>| if items.is_empty() { "(none)".to_owned() } else { items.join(",") };
        match name {
            "data_dir" => self.data_dir.display().to_string(),
            "domain_name" => self.domain.to_string(),
            "stack" => word(&self.production.stack),
            "caddy_layout" => word(&self.production.layout),
            "tls" => word(&self.production.tls),
            "https_listen" => self.production.https_listen.to_string(),
            "acme_email" => self.production.acme_email.clone().unwrap_or_else(|| "(none)".to_owned()),
            "acme_directory" => {
                self.production.acme_directory.as_deref().map_or_else(|| "(none)".to_owned(), without_credentials)
            }
            "acme_root" => self
                .production
                .acme_root
                .as_ref()
                .map_or_else(|| "(none)".to_owned(), |file| file.display().to_string()),
            "supervisord" => self.production.supervisord.display().to_string(),
            "caddy" => self.production.caddy.display().to_string(),
            "manager_port" => self.addresses.listen.port().to_string(),
            "listen" => self.addresses.listen.to_string(),
            "caddy_port" => self.addresses.public_listen.port().to_string(),
            "public_listen" => self.addresses.public_listen.to_string(),
            "public_https" => self.addresses.public.https.to_string(),
            "public_port" => self.addresses.public.port.to_string(),
            "trusted_proxies" => join(self.addresses.trusted_proxies.iter().map(ToString::to_string).collect()),
            "api_key" => hidden(&self.api_key),
            "github_token" => hidden(&self.github_token),
            "ssh_keys" => join(self.ssh_keys.iter().map(|path| path.display().to_string()).collect()),
            "allow_local_repositories" => (self.repositories == UrlPolicy::LocalAllowed).to_string(),
            "pocketbase_version" => self.pocketbase_version.clone(),
            "pocketbase_source" => match &self.pocketbase_from {
                PocketBaseFrom::Official => "github".to_owned(),
                PocketBaseFrom::Mirror(url) => without_credentials(url),
                PocketBaseFrom::Wheel => "wheel".to_owned(),
                PocketBaseFrom::Folder(folder) => format!("path:{}", folder.display()),
            },
            "ports" => format!("{}-{}", self.addresses.ports.start(), self.addresses.ports.end()),
            "parallel_builds" => self.builds.parallel.to_string(),
            "build_timeout" => format!("{} s", self.builds.timeout.as_secs()),
            "fetch_timeout" => format!("{} s", self.builds.fetch_limits.timeout.as_secs()),
            "max_repository_size" => format!("{} bytes", self.builds.fetch_limits.max_bytes),
            "rehearsal" => self.builds.rehearsal.policy.to_string(),
            "rehearsal_isolation" => {
                if self.builds.rehearsal.without_isolation { "preferred" } else { "required" }.to_owned()
            }
            "max_rehearsal_size" => format!("{} bytes", self.builds.rehearsal.limits.max_bytes),
            "max_build_cache" => format!("{} bytes", self.builds.max_cache_bytes),
            "kept_releases" => self.kept.releases.to_string(),
            "max_release_size" => format!("{} bytes", self.kept.release_bytes),
            "kept_points" => self.kept.points.to_string(),
            "point_days" => Kept::days(self.kept.points_for),
            "trash_days" => Kept::days(self.kept.trash_for),
            "stop_apps_on_exit" => self.stop_apps_on_exit.to_string(),
            "log" => self.log_filter.clone(),
            other => format!("({other}?)"),
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = writable(&self.data_dir) {
            faults.push(format!("`{}` cannot be written: {error}", self.data_dir.display()));
        }
        for key in self.ssh_keys.iter().filter(|key| !key.is_file()) {
            faults.push(format!("the ssh key `{}` is not there", key.display()));
        }
        if let PocketBaseFrom::Folder(folder) = &self.pocketbase_from
            && !folder.is_dir()
        {
            faults.push(format!("the folder of PocketBase binaries `{}` is not there", folder.display()));
        }
        if self.production.stack == StackKind::Production {
            for (program, name) in
                [(&self.production.supervisord, "LAB_SUPERVISORD"), (&self.production.caddy, "LAB_CADDY")]
            {
                if !program.is_file() {
                    let program = program.display();
                    faults.push(format!("`{program}` is not there: install it, or say where it is by {name}"));
                }
            }
            if !self.is_in_path("setpriv") {
                faults.push("`setpriv` is not in PATH: install util-linux".to_owned());
            }
        }
        if let Some(root) = self.production.acme_root.as_ref().filter(|root| !root.is_file()) {
            faults.push(format!("the ACME root `{}` is not there", root.display()));
        }
        let socket = self.data_dir.join("lab.sock");
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            let place = self.data_dir.display();
            faults.push(format!("`{place}` is too long a path for a socket in it; choose a shorter one"));
        }
        for (name, address) in [("the API", self.addresses.listen), ("the apps", self.addresses.public_listen)] {
            if let Err(error) = TcpListener::bind(address) {
                let running =
                    if UnixStream::connect(&socket).is_ok() { " (a lab-server runs on this data)" } else { "" };
                faults.push(format!("{name} cannot listen on {address}: {error}{running}"));
            }
        }
        faults
    }

    fn is_in_path(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| folder.join(program).is_file())
    }

    /// What works without, but not for everybody.
    fn notes(&self) -> Vec<String> {
        let missing = TOOLS.iter().filter(|(program, _)| !self.is_in_path(program));
        let mut notes: Vec<String> =
            missing.map(|(program, what)| format!("`{program}` is not in PATH: {what} cannot be built")).collect();
        if let Some(file) = &self.secret_file
            && std::fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
        {
            let file = file.display();
            notes.push(format!("`{file}` holds secrets and others may read it: `chmod 600 {file}`"));
        }
        notes
    }
}

/// An address as it may be shown.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://(hidden)@{host}/{path}"),
        None => url.to_owned(),
    }
}

/// Whether a file can be made in the folder, or in the nearest one above it that is there.
fn writable(folder: &Path) -> std::io::Result<()> {
    let there = folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK)?;
    Ok(())
}

//! Creates superusers without their passwords ever being seen by others.
//!
//! PocketBase's own command takes the password as an argument, which every user of the machine can read while it runs. So
//! the command gets a random one, and the real one is set over the app's own API right after: the random one is then
//! worth nothing.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::{
    AppName, Error, Lab, Port, Secret,
    lab::activity::Doing,
    reconcile,
    release::Release,
    supervisor::{ProcessSpec, ProcessState},
};

/// The least characters PocketBase takes (8), more for people who choose their own.
const MIN_PASSWORD: usize = 10;
/// The most bytes that bcrypt looks at, and PocketBase takes.
const MAX_PASSWORD: usize = 72;
const LIMIT: Duration = Duration::from_secs(30);

impl Lab {
    /// Creates a superuser of a running app, or gives an existing one a new password. Returns the password: the given one,
    /// or a new one of 24 characters.
    pub async fn create_superuser(
        &self,
        app: &AppName,
        email: &str,
        password: Option<Secret>,
    ) -> Result<Secret, Error> {
        let name = app.clone();
        let fail = |reason: String| Error::Superuser { app: name.clone(), reason };
        if !is_email(email) {
            return Err(fail("the email address is not one; give it as me@example.com".to_owned()));
        }
        let password = password.unwrap_or_else(|| random_password(24));
        if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.expose().len()) {
            return Err(fail(format!("the password must have {MIN_PASSWORD} to {MAX_PASSWORD} bytes")));
        }
        self.record(app).await?;
        let (lab, name, email) = (self.clone(), app.clone(), email.to_owned());
        self.to_its_end(async move {
            // its program is run on the data: nothing may exchange either meanwhile
            let activity = lab.begin(&name, Doing::MakingSuperuser)?;
            let made = lab.make_superuser(&name, &email, password).await;
            drop(activity);
            lab.observe(&name).await;
            made
        })
        .await
    }

    async fn make_superuser(&self, app: &AppName, email: &str, password: Secret) -> Result<Secret, Error> {
        let fail = |reason: String| Error::Superuser { app: app.clone(), reason };
        let record = self.record(app).await?;
        let dirs = self.dirs(app);
        let release =
            reconcile::serving_release(&dirs, &record).await?.ok_or_else(|| Error::NothingToRun(app.clone()))?;
        let runs = matches!(self.backends().supervisor.state(app).await?, Some(ProcessState::Running { .. }));
        let port = record.port.filter(|_| runs).ok_or_else(|| Error::NotRunning(app.clone()))?;
        let env = self.app_env(&dirs).await?;
        let process = release.process(&dirs, port, &env, self.settings().stop_grace);
        let passing = random_password(40);
        let generation = Generation::of(&release);
        let said = run_commands(&process, generation, email, &passing).await.map_err(fail)?;
        set_password(port, generation, email, &passing, &password).await.map_err(|reason| {
            fail(if said.is_empty() { reason } else { format!("{reason}; its program said: {said}") })
        })?;
        Ok(password)
    }
}

/// Makes a superuser that nobody knows, of data that will be thrown away, and signs it in.
pub(crate) async fn token_of_a_new_one(release: &Release, process: &ProcessSpec, port: Port) -> Result<Secret, String> {
    let (generation, email, password) = (Generation::of(release), "rehearsal@lab.invalid", random_password(40));
    run_commands(process, generation, email, &password).await?;
    let base = format!("http://127.0.0.1:{port}{}", generation.base());
    let auth = json!({"identity": email, "password": password.expose()});
    let auth = send(client(LIMIT)?.post(format!("{base}/auth-with-password")).json(&auth)).await?;
    auth["token"].as_str().map(Secret::new).ok_or_else(|| "its sign-in answered without a token".to_owned())
}

/// A client for an app's own port.
pub(crate) fn client(limit: Duration) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        // loopback: a proxy from the environment has no business here
        .no_proxy()
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| format!("no HTTP client: {e}"))
}

/// The two forms that PocketBase's superusers have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// Up to 0.22: "admins".
    Admins,
    /// From 0.23: the collection `_superusers`.
    Superusers,
}

impl Generation {
    /// An app's own program that does not say is taken for a new one.
    fn of(release: &Release) -> Self {
        let version = release.run.pocketbase.as_deref().and_then(|v| semver::Version::parse(v).ok());
        if version.is_some_and(|v| v < semver::Version::new(0, 23, 0)) { Self::Admins } else { Self::Superusers }
    }

    fn commands(self) -> &'static [[&'static str; 2]] {
        match self {
            // there is no command for both in one
            Self::Admins => &[["admin", "create"], ["admin", "update"]],
            Self::Superusers => &[["superuser", "upsert"]],
        }
    }

    fn base(self) -> &'static str {
        match self {
            Self::Admins => "/api/admins",
            Self::Superusers => "/api/collections/_superusers",
        }
    }
}

/// Runs PocketBase's own commands and returns what they said. Their exit codes tell nothing: up to 0.22 every error ends
/// with 0. Whether they worked shows when the superuser signs in.
async fn run_commands(
    process: &ProcessSpec,
    generation: Generation,
    email: &str,
    passing: &Secret,
) -> Result<String, String> {
    let mut said = String::new();
    for command in generation.commands() {
        let data = process.env.get("DB_DIR").cloned().unwrap_or_default();
        let mut child = tokio::process::Command::new(&process.program)
            .args(command)
            .args(["--dir", &data, "--", email, passing.expose()])
            .current_dir(&process.directory)
            .env_clear()
            .envs(&process.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("`{}` cannot be started: {e}", process.program.display()))?;
        let mut output = Vec::new();
        let finished = tokio::time::timeout(LIMIT, async {
            if let Some(stdout) = child.stdout.take() {
                // what it says is for the message only
                let _ = stdout.take(4096).read_to_end(&mut output).await;
            }
            child.wait().await
        });
        match finished.await {
            Ok(Ok(_)) => {
                let text = crate::supervisor::clean(&output);
                said = text.trim().replace(passing.expose(), "…");
            }
            Ok(Err(error)) => return Err(format!("its program could not be waited for: {error}")),
            Err(_) => return Err(format!("its program did not end within {} s", LIMIT.as_secs())),
        }
    }
    Ok(said)
}

async fn set_password(
    port: Port,
    generation: Generation,
    email: &str,
    passing: &Secret,
    password: &Secret,
) -> Result<(), String> {
    let client = client(LIMIT)?;
    let base = format!("http://127.0.0.1:{port}{}", generation.base());
    let auth = json!({"identity": email, "password": passing.expose()});
    let auth = send(client.post(format!("{base}/auth-with-password")).json(&auth)).await;
    let auth =
        auth.map_err(|e| format!("it did not take the superuser that its own program should have made ({e})"))?;
    let record = if generation == Generation::Admins { &auth["admin"] } else { &auth["record"] };
    let (Some(token), Some(id)) = (auth["token"].as_str(), record["id"].as_str()) else {
        return Err("its sign-in answered without a token".to_owned());
    };
    let url = match generation {
        Generation::Admins => format!("{base}/{id}"),
        Generation::Superusers => format!("{base}/records/{id}"),
    };
    let change = json!({"password": password.expose(), "passwordConfirm": password.expose()});
    send(client.patch(url).header("Authorization", token).json(&change))
        .await
        .map(drop)
        .map_err(|e| format!("the password could not be set ({e}); try again"))
}

async fn send(request: reqwest::RequestBuilder) -> Result<Value, String> {
    // without the URL, and never with the body: it may repeat what was sent
    let response = request.send().await.map_err(|e| e.without_url().to_string())?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answered {status}"));
    }
    response.json().await.map_err(|e| e.without_url().to_string())
}

fn is_email(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c);
    text.len() <= 254
        && text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && !user.starts_with('-')
                && user.chars().all(plain)
                && host.contains('.')
                && host.split('.').all(|label| !label.is_empty() && label.chars().all(plain))
        })
}

/// Letters and digits that are hard to take for one another.
fn random_password(length: usize) -> Secret {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let letter = || LETTERS.get(rand::random_range(0..LETTERS.len())).map_or('A', |b| char::from(*b));
    Secret::new((0..length).map(|_| letter()).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_taken() {
        for good in ["me@example.com", "a.b+c@sub.example.org"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "me", "-x@example.com", "me@", "me@host", "a b@example.com", "me@exa\nmple.com", "me@.com"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn generated_passwords_differ() {
        let (a, b) = (random_password(24), random_password(24));
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.expose().len(), 24);
    }
}

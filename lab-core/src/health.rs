//! The role that tells whether an app answers.

use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::{app::Port, procfs, release::HealthCheck};

pub mod http;

/// Why an app does not count as up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// Nothing listens.
    #[error("nothing listens on port {0}")]
    Refused(Port),
    /// Nothing listens there, but the program does elsewhere.
    #[error(
        "nothing listens on port {port}: the program listens on {} instead; its code must take its address from \
         `serve --http` or from `PORT` in its environment",
        ports(.listens_on)
    )]
    Elsewhere {
        /// Where it was to listen.
        port: Port,
        /// Where it listens.
        listens_on: Vec<u16>,
    },
    /// It answered something else than 2xx.
    #[error("`{path}` answered {status}")]
    Status {
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer in time, or none that is HTTP.
    #[error("`{path}` gave no answer: {reason}")]
    NoAnswer {
        /// The path.
        path: String,
        /// What happened.
        reason: String,
    },
}

impl HealthError {
    /// What is wrong, told by where the program with this id listens. Blocks.
    pub(crate) fn explained(self, pid: Option<u32>) -> Self {
        let (&Self::Refused(port), Some(pid)) = (&self, pid) else { return self };
        match procfs::listening_ports(pid) {
            listens_on if listens_on.is_empty() || listens_on.contains(&port.get()) => self,
            listens_on => Self::Elsewhere { port, listens_on },
        }
    }
}

/// What PocketBase answers at since its first version.
pub(crate) const DASHBOARD: &str = "/_/";

/// How long an app must go on answering something else than 2xx until it counts as up.
const SETTLES: Duration = Duration::from_secs(2);

/// What an app that is starting has answered so far.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Since when it answers something else than 2xx.
    otherwise: Option<Instant>,
}

impl Answers {
    /// Whether the app is up by its next answer; if so, the warning that is due. PocketBase listens once it is ready, and
    /// an app may redirect or refuse what it does not know (301, 401, 403, 429), so on PocketBase's own paths any answer
    /// below 500 counts when it lasts. A path that was chosen must answer 2xx.
    pub(crate) fn judge(
        &mut self,
        check: &HealthCheck,
        probed: Result<(), HealthError>,
    ) -> Result<Option<String>, HealthError> {
        let is_chosen = check.path != HealthCheck::default().path && check.path != DASHBOARD;
        match probed {
            Err(HealthError::Status { path, status: status @ ..500 }) if !is_chosen => {
                if self.otherwise.get_or_insert_with(Instant::now).elapsed() < SETTLES {
                    return Err(HealthError::Status { path, status });
                }
                Ok(Some(format!(
                    "`{path}` answers {status} instead of 2xx: the app counts as up because it goes on answering; \
                     `[health]` in `lab.toml` can name a path that tells more"
                )))
            }
            probed => {
                self.otherwise = None;
                probed.map(|()| None)
            }
        }
    }
}

fn ports(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Asks an app whether it is up, once.
///
/// # Contract
/// - `Ok` means that `http://127.0.0.1:<port><path>` answered 2xx within `limit`.
/// - One call is one request; it returns within `limit`.
#[async_trait]
pub trait HealthProbe: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `http`, `memory` …
    fn backend(&self) -> &'static str;
    /// Asks once.
    async fn probe(&self, port: Port, path: &str, limit: Duration) -> Result<(), HealthError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answers: &mut Answers, check: &HealthCheck, status: u16) -> Result<Option<String>, HealthError> {
        answers.judge(check, Err(HealthError::Status { path: check.path.clone(), status }))
    }

    #[test]
    fn an_answer_below_500_counts_once_it_lasts_and_on_pocketbases_own_path_only() {
        // before the first superuser, the dashboard leads to the form for one
        let old = HealthCheck { path: DASHBOARD.to_owned(), ..HealthCheck::default() };
        let mut answers = Answers { otherwise: Instant::now().checked_sub(SETTLES) };
        assert!(judged(&mut answers, &old, 307).expect("up").is_some());
        let own = HealthCheck::default();
        let mut answers = Answers::default();
        assert_eq!(answers.judge(&own, Ok(())), Ok(None));
        assert!(judged(&mut answers, &own, 401).is_err());
        answers.otherwise = Instant::now().checked_sub(SETTLES);
        let warning = judged(&mut answers, &own, 429).expect("up").expect("a warning");
        assert!(warning.contains("answers 429"), "{warning}");
        // what ended or failed in between begins anew
        assert!(judged(&mut answers, &own, 502).is_err());
        assert!(judged(&mut answers, &own, 401).is_err());
        answers.otherwise = Instant::now().checked_sub(SETTLES);
        let chosen = HealthCheck { path: "/up".to_owned(), ..own };
        assert!(judged(&mut answers, &chosen, 404).is_err());
    }
}

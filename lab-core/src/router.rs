//! The role that leads requests to apps.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::app::{AppName, Port};

pub mod caddy;
pub mod gateway;
pub mod memory;

/// Why a text is not a [`Hostname`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a host name: labels of a-z, 0-9 and `-`, at most 63 characters each, joined by dots", .0.escape_default())]
pub struct InvalidHostname(String);

/// A host name, lower case, without port or final dot (RFC 1123).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hostname {
    type Err = InvalidHostname;

    /// Upper case is taken, and a final dot.
    fn from_str(text: &str) -> Result<Self, InvalidHostname> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if name.len() <= 253 && name.split('.').all(label) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidHostname(text.chars().take(255).collect()))
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0.to_string()
    }
}

impl TryFrom<String> for Hostname {
    type Error = InvalidHostname;

    fn try_from(text: String) -> Result<Self, InvalidHostname> {
        text.parse()
    }
}

impl std::borrow::Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Where the requests of one host go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The app; none for the lab's own host.
    pub app: Option<AppName>,
    /// Where to.
    pub target: Target,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// To this loopback port.
    Port(Port),
    /// To this loopback port once the route says [`Port`](Self::Port) again: the app's process is being exchanged. A
    /// router that can lets requests wait until then; any other tries refused connections again for a while.
    Held(Port),
    /// Nowhere: a page says why.
    Unavailable(Unavailable),
}

/// Why an app does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// Its first deploy is under way.
    Deploying,
    /// Its owner stopped it.
    Stopped,
    /// It fails.
    Failed,
}

/// Every route there is.
pub type RouteTable = BTreeMap<Hostname, Route>;

/// Why a table was not applied.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The router refused it; traffic is as it was.
    #[error("the router refused the routes: {reason}")]
    Rejected {
        /// What it said.
        reason: String,
    },
    /// The router could not be reached or failed.
    #[error("the router could not be reached")]
    Failed {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Leads requests to apps.
///
/// # Contract
/// - `apply` takes the whole table: afterwards new requests follow it, and it is what `table` returns.
/// - It is atomic: a request sees the old table or the new one, and after an error the old one stays. Of calls that come at
///   once, the last to be done is in force as a whole.
/// - Requests and streams of hosts whose route did not change are not disturbed.
#[async_trait]
pub trait RouterConfig: fmt::Debug + Send + Sync + 'static {
    /// The name of the technology: `gateway`, `caddy`, `memory` …
    fn backend(&self) -> &'static str;
    /// Makes this the table.
    async fn apply(&self, table: RouteTable) -> Result<(), RouterError>;
    /// The table in force.
    async fn table(&self) -> Result<RouteTable, RouterError>;
    /// Waits until the requests that are under way at a host whose route is [`Target::Held`] have ended, at most `limit`.
    /// Event streams and tunnels have no end to wait for: they are ended, and visitors connect again. A router that does
    /// not see requests returns at once.
    async fn drain(&self, host: &Hostname, limit: Duration) {
        let _ = (host, limit);
    }
}

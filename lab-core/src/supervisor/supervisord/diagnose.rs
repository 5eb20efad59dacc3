//! What is wrong with supervisord, for `lab doctor`.

use std::time::Duration;

use super::{
    SupervisordError, SupervisordSettings, config,
    observed::{LOST_TRACK, code},
    poll,
    rpc::{Call, Client},
    xml::Value,
};
use crate::Finding;

/// The oldest version whose calls are the ones used here.
const OLDEST: u64 = 4;

/// Refuses a supervisord that is too old; its version.
pub(super) fn check_version(client: &Client, version: &Value) -> Result<String, SupervisordError> {
    let version = version.as_str().ok_or_else(|| client.odd("its version is no text"))?;
    let major: Option<u64> = version.split('.').next().and_then(|number| number.parse().ok());
    match major {
        Some(major) if major >= OLDEST => Ok(version.to_owned()),
        Some(_) => Err(SupervisordError::TooOld { found: version.to_owned() }),
        None => Err(client.odd(&format!("its version is `{}`", version.escape_debug()))),
    }
}

/// Looks at the folder, the socket, the version and the programs.
pub async fn diagnose(settings: &SupervisordSettings) -> Vec<Finding> {
    let looked = async {
        config::check(settings)?;
        let client = Client::new(&settings.socket(), &settings.log_file(), Duration::ZERO)?;
        let version = client.once(&Call("supervisor.getSupervisorVersion", Vec::new())).await?;
        let version = check_version(&client, &version)?;
        let (pid, infos) = poll::look(&client).await?;
        let mut findings =
            vec![Finding::well(format!("supervisord {version} answers (pid {pid}), with {} programs", infos.len()))];
        for info in infos {
            let name = &info.name;
            match info.state {
                code::FATAL => findings.push(Finding::wrong(format!(
                    "supervisord gave `{name}` up ({}); `lab logs {name}` says more, `lab restart {name}` tries again",
                    if info.spawn_error.is_empty() { "it ended too often" } else { &info.spawn_error }
                ))),
                code::UNKNOWN => findings.push(Finding::wrong(format!(
                    "supervisord has lost track of `{name}` (state UNKNOWN), and {LOST_TRACK} (`kill {pid}`)"
                ))),
                _ => {}
            }
        }
        Ok::<_, SupervisordError>(findings)
    };
    looked.await.unwrap_or_else(|error| vec![Finding::wrong(crate::error::report(&error))])
}

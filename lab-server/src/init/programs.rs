//! What the three programs are started with.

use std::ffi::OsString;

use lab_core::supervisor::supervisord::SupervisordSettings;

use super::{Init, InitError, Program, system};
use crate::config::Config;

/// Variables through which Caddy reaches a certificate authority.
const NETWORK: [&str; 6] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];
/// Variables that say what is reached without a proxy.
const AROUND: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Says what to start. Blocks.
pub(super) fn prepare(config: &Config, words: Vec<OsString>) -> Result<Init, InitError> {
    let data = config.data();
    let path = ("PATH".into(), OsString::from(&config.path));
    let lang = ("LANG".into(), "C.UTF-8".into());

    let settings = SupervisordSettings::new(data.supervisor(), data.logs());
    settings.prepare()?;
    // only now, while no lab-server writes them
    settings.mend()?;
    let apps = settings.clone();
    let args = vec!["-c".into(), settings.config_file().into()];
    let program = config.production.supervisord.clone();
    let supervisord = Program::new("supervisord", program, args, vec![path.clone(), lang.clone()], move || {
        settings.prepare().map_err(Into::into)
    });

    let settings = config.caddy();
    let args = ["run", "--config"].map(OsString::from).into_iter().chain([settings.config_file().into()]).collect();
    let mut env = vec![path, lang];
    // where it keeps what it is not told to keep elsewhere
    env.extend(
        ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name.into(), data.caddy().join("home").into())),
    );
    let given = config.environment.iter();
    env.extend(given.filter(|(name, _)| NETWORK.iter().any(|known| name == known)).cloned());
    env.push((AROUND[0].into(), around(config)));
    let caddy = Program::new("caddy", config.production.caddy.clone(), args, env, move || {
        settings.prepare().map_err(Into::into)
    })
    .trusted();

    let itself = std::env::current_exe().map_err(system("find lab-server's own program"))?;
    let mut env: Vec<_> = config.environment.iter().filter(|(name, _)| name != "LAB_STACK").cloned().collect();
    env.push(("LAB_STACK".into(), "production".into()));
    let server = Program::new("lab-server", itself, words, env, || Ok(()));
    Ok(Init { supervisord, caddy, server, apps, is_ending: false })
}

/// What Caddy reaches without a proxy: what it is told, and where it asks whether a host may have a certificate.
fn around(config: &Config) -> OsString {
    let given = AROUND.iter().find_map(|known| config.environment.iter().find(|(name, _)| name == known));
    let mut hosts = given.map(|(_, value)| value.clone()).unwrap_or_default();
    if !hosts.is_empty() {
        hosts.push(",");
    }
    hosts.push(config.addresses.ask().ip().to_string());
    hosts
}

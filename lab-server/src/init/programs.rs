//! What the three programs are started with.

use std::ffi::OsString;

use super::{Init, InitError, Program, system};
use crate::config::Config;

/// Variables through which Caddy reaches a certificate authority.
const NETWORK: [&str; 5] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];

/// Writes the configurations and says what to start.
pub(super) fn prepare(config: &Config, words: Vec<OsString>) -> Result<Init, InitError> {
    let path = ("PATH".into(), OsString::from(&config.path));
    let lang = ("LANG".into(), "C.UTF-8".into());
    let supervisord =
        Program::new("supervisord", config.production.supervisord.clone(), vec![], vec![path.clone(), lang.clone()]);
    let mut env = vec![path, lang];
    env.extend(NETWORK.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))));
    let caddy = Program::new("caddy", config.production.caddy.clone(), vec![], env);
    let itself = std::env::current_exe().map_err(system("find lab-server's own program"))?;
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().filter(|(name, _)| name != "LAB_STACK").collect();
    env.push(("LAB_STACK".into(), "production".into()));
    let server = Program::new("lab-server", itself, words, env);
    Ok(Init { supervisord, caddy, server, is_ending: false })
}

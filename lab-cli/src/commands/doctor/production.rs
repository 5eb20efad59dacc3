//! The programs of the production stack, where this machine runs it.

use lab_core::{
    Finding,
    layout::DataDir,
    router::caddy::{self, CaddySettings},
    supervisor::supervisord::{self, SupervisordSettings},
};

use super::Check;
use crate::{args::Place, client::sockets};

pub(super) async fn checks(place: &Place) -> Vec<Check> {
    let folders = sockets(place).into_iter().filter_map(|socket| Some(socket.parent()?.to_owned()));
    // the folder where it left its files, also when nothing of it runs
    let data = folders.map(DataDir::new).find(|data| data.supervisor().join("supervisord.conf").is_file());
    let Some(data) = data.filter(|data| data.caddy().join("config.json").is_file()) else { return Vec::new() };
    let supervisord = SupervisordSettings::new(data.supervisor(), data.logs());
    // only the folder counts: what Caddy has is looked at, not what it should have
    let caddy = CaddySettings::new(data.caddy(), ([127, 0, 0, 1], 0).into());
    let mut checks: Vec<Check> =
        supervisord::diagnose(&supervisord).await.into_iter().map(|found| check("supervisor", found)).collect();
    checks.extend(caddy::diagnose(&caddy).await.into_iter().map(|found| check("caddy", found)));
    checks
}

fn check(what: &'static str, Finding { is_well, text }: Finding) -> Check {
    Check::needed(what, if is_well { Ok(text) } else { Err(text) })
}

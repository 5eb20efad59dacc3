use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
};

use lab_core::{PublicAddress, router::gateway::IpRange};

use super::{ConfigError, File, Pick, Production, Tls, arguments::Given, invalid, values};

/// Where the lab listens, and what its apps get.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where the apps answer.
    pub public_listen: SocketAddr,
    /// What is written into an app's URL.
    pub public: PublicAddress,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpRange>,
    /// The ports that apps get.
    pub ports: RangeInclusive<u16>,
}

impl Addresses {
    /// Where Caddy asks whether a host may have a certificate: the API's own address. On any other, whoever listens there
    /// could say yes to all.
    pub fn ask(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        (ip, self.listen.port()).into()
    }

    pub(super) fn pick(
        pick: &mut Pick<'_>,
        given: &Given,
        file: &File,
        production: &Production,
        has_key: bool,
    ) -> Result<Self, ConfigError> {
        let manager_port = pick.of("manager_port", given.manager_port, file.manager_port, 9000);
        let listen = (Ipv4Addr::LOCALHOST, manager_port).into();
        let listen = pick.of("listen", given.listen, file.listen, listen);
        let caddy_port = pick.of("caddy_port", given.caddy_port, file.caddy_port, 8080);
        let public_listen = (Ipv4Addr::UNSPECIFIED, caddy_port).into();
        let public_listen = pick.of("public_listen", given.public_listen, file.public_listen, public_listen);
        let https = pick.of("public_https", given.public_https, file.public_https, production.tls != Tls::Edge);
        let public_port = match (https, production.tls) {
            (true, Tls::Edge) => 443,
            (true, _) => production.https_listen.port(),
            (false, _) => public_listen.port(),
        };
        let public_port = pick.of("public_port", given.public_port, file.public_port, public_port);
        let trusted = given.trusted_proxies.clone();
        let trusted = pick.of("trusted_proxies", trusted, file.trusted_proxies.clone(), Vec::new());
        let trusted_proxies = trusted
            .iter()
            .map(|text| text.trim().parse().map_err(|e| invalid("trusted_proxies", e)))
            .collect::<Result<_, _>>()?;
        let ports = pick.of("ports", given.ports.clone(), file.ports.clone(), "8091-8999".to_owned());
        let ports = values::ports(&ports)?;
        if !has_key && !listen.ip().is_loopback() {
            return Err(invalid(
                "listen",
                format!(
                    "{listen} can be reached from other machines, and whoever reaches the API can run programs here: set \
                     LAB_API_KEY, or listen on 127.0.0.1"
                ),
            ));
        }
        let https_listen = (production.tls != Tls::Edge).then_some(("https_listen", production.https_listen));
        let ours = [("manager_port", listen), ("caddy_port", public_listen)].into_iter().chain(https_listen);
        for (name, port) in ours.map(|(name, address)| (name, address.port())) {
            if ports.contains(&port) {
                let reason = format!("{port} is among the apps' ports; choose another, or set LAB_PORTS");
                return Err(invalid(name, reason));
            }
        }
        if production.tls != Tls::Edge && listen.port() == 0 {
            let reason = "Caddy asks there whether a host may have a certificate, so it must be known: give it a port";
            return Err(invalid("manager_port", reason));
        }
        if listen.port() == public_listen.port() && listen.port() != 0 {
            return Err(invalid("caddy_port", format!("{} is the API's port; choose another", listen.port())));
        }
        Ok(Self { listen, public_listen, public: PublicAddress { https, port: public_port }, trusted_proxies, ports })
    }
}

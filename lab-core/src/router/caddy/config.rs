//! Caddy's configuration, in its own JSON (<https://caddyserver.com/docs/json/>).

use std::{fmt::Write, net::SocketAddr, os::unix::ffi::OsStrExt};

use serde_json::{Value, json};

use super::{CaddyError, CaddyLayout, CaddySettings, CaddyTls, mappings::Mappings, unix};
use crate::{
    app::Port,
    router::{Hostname, RouteTable, gateway::CLIENT_IP},
};

/// The id of the list of hosts and ports.
pub(super) const MAP: &str = "lab-map";
/// Where that list is in a configuration.
pub(super) const MAPPINGS: &str = "/apps/http/servers/lab/routes/1/handle/0/mappings";
/// How long requests are tried again while an app's port, or the gateway's socket, refuses connections: nothing was sent
/// yet, so that is safe for every request.
const TRY_FOR: &str = "10s";
const TRY_EVERY: &str = "25ms";
/// How long a WebSocket outlives the configuration that it began under, which it keeps in memory. Without it any change would
/// cut all of them.
const STREAMS: &str = "24h";
/// How long requests under way have to end when Caddy does, or their listener.
const GRACE: &str = "10s";
/// The longest path of a socket (`sun_path` of unix(7), less its end).
const MAX_SOCKET: usize = 107;

/// Refuses a folder whose path a socket's address or Caddy's own syntax cannot hold.
pub(super) fn check(settings: &CaddySettings) -> Result<(), CaddyError> {
    let refuse = |why: String| CaddyError::Folder { path: settings.dir.clone(), why };
    let path = settings.dir.to_str().ok_or_else(|| refuse("its path is not UTF-8".to_owned()))?;
    if !settings.dir.is_absolute() {
        return Err(refuse("its path is not absolute".to_owned()));
    }
    if let Some(odd) = path.chars().find(|c| c.is_control() || "{}|".contains(*c)) {
        return Err(refuse(format!("its path has a `{}`", odd.escape_default())));
    }
    let length = settings.gateway_socket().as_os_str().as_bytes().len();
    if length > MAX_SOCKET {
        return Err(refuse(format!("a socket's path in it has {length} bytes, and {MAX_SOCKET} are the most")));
    }
    Ok(())
}

/// One host's entry, with its id.
pub(super) fn entry(host: &Hostname, port: Port) -> Value {
    json!({"@id": entry_id(host), "input": host, "outputs": [format!("127.0.0.1:{port}")]})
}

pub(super) fn entry_id(host: &Hostname) -> String {
    format!("lab-host-{host}")
}

/// All entries.
pub(super) fn entries(mappings: &Mappings) -> Value {
    mappings.0.iter().map(|(host, port)| entry(host, *port)).collect()
}

/// Puts the entries in order: Caddy keeps them as they came.
pub(super) fn sort(config: &mut Value) {
    if let Some(Value::Array(entries)) = config.pointer_mut(MAPPINGS) {
        entries.sort_by(|a, b| a["input"].as_str().cmp(&b["input"].as_str()));
    }
}

/// The whole configuration.
pub(super) fn config(settings: &CaddySettings, mappings: &Mappings) -> Value {
    json!({
        "admin": {
            // the bits of the socket's mode: its own user only
            "listen": format!("{}|0600", unix(&settings.admin_socket())),
            // what it starts with is the lab's business
            "config": {"persist": false},
        },
        "logging": {"logs": {"default": {"level": "WARN", "encoder": {"format": "console"}}}},
        "storage": {"module": "file_system", "root": settings.dir.join("storage")},
        "apps": apps(settings, mappings),
    })
}

fn apps(settings: &CaddySettings, mappings: &Mappings) -> Value {
    let routes = routes(settings, mappings);
    let errors = json!({"routes": [{"handle": [unreachable()]}]});
    let mut server = json!({"routes": routes, "errors": errors, "automatic_https": {"disable": true}});
    if !settings.trusted_proxies.is_empty() {
        server["trusted_proxies"] = json!({"source": "static", "ranges": trusted(settings)});
    }
    let mut http = json!({
        "http_port": settings.http.port(),
        "https_port": settings.https.port(),
        "grace_period": GRACE,
        "servers": {},
    });
    if settings.tls == CaddyTls::Edge {
        server["listen"] = json!([listen(settings.http)]);
        http["servers"] = json!({"lab": server});
        return json!({"http": http});
    }
    server["listen"] = json!([listen(settings.https)]);
    // one policy for all: the certificate is chosen, or fetched, by the host that is asked for
    server["tls_connection_policies"] = json!([{}]);
    let port = if settings.https.port() == 443 { String::new() } else { format!(":{}", settings.https.port()) };
    let to_https = json!({
        "handler": "static_response",
        "status_code": 308,
        "headers": {"Location": [format!("https://{{http.request.host}}{port}{{http.request.uri}}")]},
    });
    let redirects = json!({
        "listen": [listen(settings.http)],
        "routes": [{"handle": [to_https]}],
        "automatic_https": {"disable": true},
    });
    http["servers"] = json!({"lab": server, "redirects": redirects});
    let mut apps = json!({"http": http, "tls": tls(settings)});
    if settings.tls == CaddyTls::Internal {
        // whom this machine trusts is its owner's business, and changing that takes many seconds
        apps["pki"] = json!({"certificate_authorities": {"local": {"install_trust": false}}});
    }
    apps
}

fn tls(settings: &CaddySettings) -> Value {
    let issuer = match &settings.tls {
        CaddyTls::Acme { email, directory, root } => {
            let mut issuer = json!({"module": "acme"});
            if let Some(email) = email {
                issuer["email"] = json!(email);
            }
            if let Some(directory) = directory {
                issuer["ca"] = json!(directory);
            }
            if let Some(root) = root {
                issuer["trusted_roots_pem_files"] = json!([root]);
            }
            issuer
        }
        CaddyTls::Internal | CaddyTls::Edge => json!({"module": "internal"}),
    };
    json!({"automation": {
        "policies": [{"issuers": [issuer], "on_demand": true}],
        "on_demand": {"permission": {"module": "http", "endpoint": settings.ask}},
    }})
}

fn trusted(settings: &CaddySettings) -> Vec<String> {
    settings.trusted_proxies.iter().map(ToString::to_string).collect()
}

/// Takes away what only a trusted proxy may say. What `reverse_proxy` says itself it says after this.
fn unforged(settings: &CaddySettings) -> Value {
    let names: Vec<&str> = CLIENT_IP.into_iter().chain(["X-Forwarded-*"]).collect();
    let mut route = json!({"handle": [{"handler": "headers", "request": {"delete": names}}]});
    if !settings.trusted_proxies.is_empty() {
        route["match"] = json!([{"not": [{"remote_ip": {"ranges": trusted(settings)}}]}]);
    }
    route
}

fn routes(settings: &CaddySettings, mappings: &Mappings) -> Value {
    let gateway = unix(&settings.gateway_socket());
    match settings.layout {
        CaddyLayout::Edge => json!([unforged(settings), {"handle": [proxy(settings, &gateway)]}]),
        CaddyLayout::Direct => {
            let map = json!({
                "@id": MAP,
                "handler": "map",
                "source": "{http.request.host}",
                "destinations": ["{lab_upstream}"],
                "mappings": entries(mappings),
                "defaults": [gateway],
            });
            json!([unforged(settings), {"handle": [map, proxy(settings, "{lab_upstream}")]}])
        }
    }
}

fn proxy(settings: &CaddySettings, upstream: &str) -> Value {
    let mut proxy = json!({
        "handler": "reverse_proxy",
        "upstreams": [{"dial": upstream}],
        // only refused dials: what was sent is never sent again but for safe requests, which is Caddy's default
        "load_balancing": {"try_duration": TRY_FOR, "try_interval": TRY_EVERY},
        "stream_close_delay": STREAMS,
        "transport": {
            "protocol": "http",
            "dial_timeout": "3s",
            "keep_alive": {"enabled": true, "idle_timeout": "15s", "max_idle_conns_per_host": 64},
        },
    });
    let mut set = serde_json::Map::new();
    if settings.tls == CaddyTls::Edge && settings.is_https {
        // it comes over plain HTTP from whoever ends TLS
        set.insert("X-Forwarded-Proto".to_owned(), json!(["https"]));
    }
    // names which no app should take for its visitor's
    let delete = json!(["X-Real-Ip", "Forwarded"]);
    proxy["headers"] = json!({"request": {"set": set, "delete": delete}});
    proxy
}

/// What is said when an app, or the gateway, takes no connections.
fn unreachable() -> Value {
    let body = crate::router::gateway::unreachable_page();
    json!({
        "handler": "static_response",
        "status_code": "{http.error.status_code}",
        "headers": {
            "Content-Type": ["text/html; charset=utf-8"],
            "Cache-Control": ["no-store"],
            "Retry-After": ["5"],
            "X-Content-Type-Options": ["nosniff"],
        },
        "body": body,
    })
}

fn listen(address: SocketAddr) -> String {
    // Caddy's form of "every address"
    if address.ip().is_unspecified() { format!(":{}", address.port()) } else { address.to_string() }
}

/// A Caddyfile that leads each host where the table does, to read or to take away: the lab itself gives Caddy JSON.
pub fn caddyfile(settings: &CaddySettings, table: &RouteTable) -> String {
    let mut text = String::from("# Written by `lab routes --caddyfile`. Apps that do not run have no site.\n{\n");
    text.push_str("\tadmin off\n");
    // writing to a string cannot fail
    match &settings.tls {
        CaddyTls::Edge => text.push_str("\tauto_https off\n"),
        CaddyTls::Acme { email, directory, .. } => {
            for (name, value) in [("email", email), ("acme_ca", directory)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "\t{name} {value}");
                }
            }
        }
        CaddyTls::Internal => text.push_str("\tlocal_certs\n"),
    }
    let _ = writeln!(text, "\thttp_port {}\n\thttps_port {}\n}}", settings.http.port(), settings.https.port());
    for (host, port) in Mappings::of_all(table) {
        let scheme = if settings.tls == CaddyTls::Edge { "http" } else { "https" };
        let listener = if settings.tls == CaddyTls::Edge { settings.http } else { settings.https };
        let _ = write!(text, "\n{scheme}://{host}:{} {{\n", listener.port());
        let _ = write!(
            text,
            "\treverse_proxy 127.0.0.1:{port} {{\n\t\tlb_try_duration {TRY_FOR}\n\t\tstream_close_delay {STREAMS}\n\t}}\n}}\n"
        );
    }
    text
}

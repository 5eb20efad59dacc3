//! The ranges of the values, and what they have to agree with.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use super::{
    HEALTH_PATH, STOP_BUDGET, facts,
    schema::{Fly, HttpCheck, HttpService, PublicPort, Service},
    span::Span,
};

/// Fly.io's own limit of `kill_timeout`.
const MAX_KILL_TIMEOUT: Duration = Duration::from_mins(5);
/// PocketBase ends a realtime stream that was idle for so long.
const REALTIME_IDLE: u32 = 300;
/// What a start may take, with the wait for another machine's stale claim.
const START: Duration = lab_core::machine::STALE_AFTER.saturating_add(Duration::from_secs(10));
/// A key for `lab-server check`, where the API port is opened and the real key is a secret.
const ANY_KEY: &str = "0123456789abcdef";

/// What is wrong with it, each with what to do.
pub fn faults(fly: &Fly) -> Vec<String> {
    let mut found = Found(Vec::new());
    found.names(fly);
    found.stop(fly);
    found.deploy(fly);
    found.machines(fly);
    let image = facts::image();
    found.env(fly);
    let mut env = image.env.clone();
    env.extend(fly.env.clone());
    env.entry("LAB_API_KEY".to_owned()).or_insert_with(|| ANY_KEY.to_owned());
    match facts::settings(&env) {
        Ok(settings) => found.settings(fly, &settings, &image),
        Err(error) => found.0.push(format!("`[env]`: {error}")),
    }
    found.0
}

struct Found(Vec<String>);

impl Found {
    fn unless(&mut self, is_right: bool, fault: impl Display) {
        if !is_right {
            self.0.push(fault.to_string());
        }
    }

    fn names(&mut self, fly: &Fly) {
        let is_name = |text: &str, also: u8| {
            let is_right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == also;
            !text.is_empty() && text.len() <= 63 && text.bytes().all(is_right)
        };
        self.unless(is_name(&fly.app, b'-'), "`app`: lower-case letters, digits and `-`");
        let region = &fly.primary_region;
        let is_region = region.len() == 3 && region.bytes().all(|byte| byte.is_ascii_lowercase());
        self.unless(is_region, "`primary_region`: a code of three letters, see `fly platform regions`");
        for mount in fly.mounts.all() {
            let is_right = is_name(&mount.source, b'_') && mount.source.len() <= 30;
            self.unless(is_right, "`mounts.source`: up to 30 lower-case letters, digits and `_`");
        }
    }

    fn stop(&mut self, fly: &Fly) {
        let signal = fly.kill_signal.as_deref().unwrap_or("SIGINT");
        self.unless(
            ["SIGTERM", "SIGINT"].contains(&signal),
            format!("`kill_signal`: {signal} ends Lab without an end of its apps; take SIGTERM"),
        );
        let timeout = fly.kill_timeout.map_or(Duration::from_secs(5), |span| span.0);
        self.unless(
            timeout > STOP_BUDGET,
            format!(
                "`kill_timeout`: {timeout:?} is not more than the {STOP_BUDGET:?} that Lab may take to end its apps"
            ),
        );
        self.unless(
            timeout <= MAX_KILL_TIMEOUT,
            format!("`kill_timeout`: {timeout:?} is more than Fly.io's limit of {MAX_KILL_TIMEOUT:?}"),
        );
    }

    fn deploy(&mut self, fly: &Fly) {
        let dockerfile = fly.build.as_ref().and_then(|build| build.dockerfile.as_deref()).unwrap_or("Dockerfile");
        self.unless(crate::parts::root().join(dockerfile).is_file(), format!("`build.dockerfile`: no `{dockerfile}`"));
        let Some(deploy) = &fly.deploy else { return };
        let strategy = deploy.strategy.as_deref().unwrap_or("rolling");
        self.unless(
            strategy == "rolling",
            format!(
                "`deploy.strategy`: {strategy} either needs a second machine, which a volume excludes, or waits for no health \
                 check; take rolling"
            ),
        );
        self.unless(deploy.max_unavailable.is_none_or(|count| count > 0.0), "`deploy.max_unavailable`: more than 0");
        let enough = Span(Duration::from_mins(5));
        self.unless(deploy.wait_timeout.is_none_or(|wait| wait >= enough), "`deploy.wait_timeout`: at least 5m");
    }

    fn machines(&mut self, fly: &Fly) {
        self.unless(
            fly.processes.is_empty(),
            "`processes`: each group has machines of its own, and Lab is one machine",
        );
        self.unless(
            matches!(&fly.restart[..], [restart] if restart.policy == "always"),
            "`restart`: one, with policy \"always\": nothing else starts the machine again",
        );
        let [vm] = &fly.vm[..] else {
            self.0.push("`vm`: one: Lab is one machine".to_owned());
            return;
        };
        let presets = ["shared-cpu-", "performance-"];
        let is_preset = presets.iter().any(|preset| {
            let count = vm.size.strip_prefix(preset).and_then(|rest| rest.strip_suffix('x'));
            count.is_some_and(|count| ["1", "2", "4", "8", "16"].contains(&count))
        });
        self.unless(is_preset, format!("`vm.size`: `{}` is no preset, see `fly platform vm-sizes`", vm.size));
        let megabytes = vm.memory.as_deref().map_or(Some(256), |text| bytes(text, &[("gb", 1024), ("mb", 1)]));
        self.unless(
            megabytes.is_some_and(|size| size >= 1024 && size % 256 == 0),
            "`vm.memory`: with its unit, in steps of 256mb, and 1gb at least: builds need it",
        );
        self.unless(fly.swap_size_mb.is_none_or(|size| (1..=8192).contains(&size)), "`swap_size_mb`: 1 to 8192");
    }

    fn env(&mut self, fly: &Fly) {
        for name in fly.env.keys() {
            if ["LAB_API_KEY", "GITHUB_TOKEN"].contains(&name.as_str()) {
                self.0.push(format!(
                    "`env.{name}`: it is a secret; `fly secrets set {name}=…` keeps it out of this file"
                ));
            } else {
                let is_known = facts::variables().contains(name);
                self.unless(is_known, format!("`env.{name}`: lab-server reads no such variable"));
            }
        }
    }

    fn settings(&mut self, fly: &Fly, settings: &BTreeMap<String, String>, image: &facts::Image) {
        let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
        self.unless(setting("stack") == "production", "`env.LAB_STACK`: the image runs the production stack");
        self.unless(
            setting("tls") == "edge",
            "`env.LAB_TLS`: Fly.io's proxy ends TLS; a Caddy that does it too redirects its plain HTTP in circles; take edge",
        );
        self.unless(
            setting("public_https") == "true",
            "`env.LAB_PUBLIC_HTTPS`: visitors come over https; without it apps are told otherwise",
        );
        self.mount(fly, setting("data_dir"));
        match &fly.http_service {
            Some(service) => self.http(service, setting("public_listen"), setting("domain_name"), image),
            None => self.0.push("`http_service`: nothing leads visitors to Caddy".to_owned()),
        }
        for service in &fly.services {
            self.api(service, setting("listen"), image);
        }
        let is_open = !setting("listen").starts_with("127.");
        self.unless(
            !is_open || !fly.services.is_empty(),
            "`env.LAB_LISTEN`: the API listens on all addresses, but no service with TLS leads there",
        );
    }

    fn mount(&mut self, fly: &Fly, data_dir: &str) {
        let [mount] = fly.mounts.all() else {
            let count = fly.mounts.all().len();
            self.0.push(format!(
                "`mounts`: {count} volumes; one, at {data_dir}: what is not on it is gone with each deploy"
            ));
            return;
        };
        self.unless(
            mount.destination == data_dir,
            format!("`mounts.destination`: {} is not the data directory, {data_dir}", mount.destination),
        );
        let gigabytes = mount.initial_size.as_deref().map_or(Some(1), |text| bytes(text, &[("gb", 1)]));
        self.unless(gigabytes.is_some_and(|size| (1..=500).contains(&size)), "`mounts.initial_size`: 1gb to 500gb");
        let days = mount.snapshot_retention.unwrap_or(5);
        self.unless((1..=60).contains(&days), "`mounts.snapshot_retention`: 1 to 60 days");
        self.unless(mount.scheduled_snapshots != Some(false), "`mounts.scheduled_snapshots`: they are the last resort");
    }

    fn http(&mut self, service: &HttpService, listen: &str, domain: &str, image: &facts::Image) {
        let place = "http_service";
        self.port(place, service.internal_port, listen, "Caddy", image);
        let (auto_stop, least) = (service.auto_stop_machines.as_ref(), service.min_machines_running);
        self.always_on(place, auto_stop, service.auto_start_machines, least);
        self.unless(service.force_https, "`http_service.force_https`: passwords would travel in the clear");
        if let Some(concurrency) = &service.concurrency {
            let is_kind = concurrency.kind.as_deref().is_none_or(|kind| ["connections", "requests"].contains(&kind));
            self.unless(is_kind, "`http_service.concurrency.type`: connections or requests");
            self.unless(
                concurrency.soft_limit.is_none_or(|limit| limit > 0),
                "`http_service.concurrency.soft_limit`: from 1",
            );
            self.unless(
                concurrency.hard_limit.is_none(),
                "`http_service.concurrency.hard_limit`: each realtime stream counts, and past the limit visitors are refused",
            );
        }
        let idle = service.http_options.as_ref().and_then(|options| options.idle_timeout).unwrap_or(60);
        self.unless(
            idle > REALTIME_IDLE,
            format!(
                "`http_service.http_options.idle_timeout`: {idle} s cuts realtime streams, which PocketBase keeps idle for \
                 {REALTIME_IDLE} s"
            ),
        );
        self.unless(
            !service.checks.is_empty(),
            "`http_service.checks`: none: a deploy would not notice that Lab is down",
        );
        for check in &service.checks {
            self.check(check, domain);
        }
    }

    fn check(&mut self, check: &HttpCheck, domain: &str) {
        let place = "http_service.checks";
        let method = check.method.as_deref().unwrap_or("GET");
        self.unless(method.eq_ignore_ascii_case("GET"), format!("`{place}.method`: GET"));
        self.unless(
            check.path == HEALTH_PATH,
            format!("`{place}.path`: {} is not the API's {}", check.path, HEALTH_PATH),
        );
        let protocol = check.protocol.as_deref().unwrap_or("http");
        self.unless(protocol == "http", format!("`{place}.protocol`: Caddy speaks plain http inside the machine"));
        let host =
            check.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, host)| host.as_str());
        self.unless(
            host == Some(domain),
            format!("`{place}.headers.Host`: {}, but the lab answers for {domain}", host.unwrap_or("none")),
        );
        self.times(place, check.interval, check.timeout, check.grace_period);
    }

    fn times(&mut self, place: &str, interval: Span, timeout: Span, grace: Span) {
        let seconds = |range: std::ops::RangeInclusive<u64>, span: Span| {
            Duration::from_secs(*range.start()) <= span.0 && span.0 <= Duration::from_secs(*range.end())
        };
        self.unless(seconds(5..=60, interval), format!("`{place}.interval`: 5s to 60s"));
        self.unless(seconds(1..=60, timeout) && timeout <= interval, format!("`{place}.timeout`: 1s to the interval"));
        self.unless(
            grace.0 >= START && seconds(1..=600, grace),
            format!("`{place}.grace_period`: {grace} is less than a start may take, {START:?}, or more than 10m"),
        );
    }

    fn api(&mut self, service: &Service, listen: &str, image: &facts::Image) {
        let place = "services";
        self.unless(service.protocol == "tcp", "`services.protocol`: tcp");
        self.port(place, service.internal_port, listen, "the API", image);
        let (auto_stop, least) = (service.auto_stop_machines.as_ref(), service.min_machines_running);
        self.always_on(place, auto_stop, service.auto_start_machines, least);
        self.unless(!service.ports.is_empty(), "`services.ports`: none");
        for PublicPort { port, handlers } in &service.ports {
            let mut sorted: Vec<&str> = handlers.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            self.unless(
                sorted == ["http", "tls"],
                format!("`services.ports.handlers` of port {port}: \"tls\" and \"http\": the API's key must not travel in the clear"),
            );
            self.unless(![80, 443].contains(port), format!("`services.ports.port`: {port} is `http_service`'s"));
        }
        for check in &service.tcp_checks {
            self.times("services.tcp_checks", check.interval, check.timeout, check.grace_period);
        }
    }

    /// A service's port: one that is listened on, from outside the machine's loopback, and that the image exposes.
    fn port(&mut self, place: &str, port: u16, listen: &str, whose: &str, image: &facts::Image) {
        let (address, listens) = listen.rsplit_once(':').unwrap_or(("", listen));
        self.unless(
            listens == port.to_string(),
            format!("`{place}.internal_port`: {port}, but {whose} listens on {listens}"),
        );
        self.unless(
            address == "0.0.0.0",
            format!("`{place}.internal_port`: {whose} listens on {listen} only, where Fly.io's proxy does not get"),
        );
        self.unless(
            listens != port.to_string() || image.exposed.contains(&port),
            format!("`{place}.internal_port`: {port} is not among the image's exposed ports, {:?}", image.exposed),
        );
    }

    fn always_on(&mut self, place: &str, stop: Option<&toml::Value>, start: Option<bool>, least: Option<u32>) {
        // not set means off today, and meant a stop in files of another age: it is said
        let is_off = stop.and_then(toml::Value::as_str) == Some("off");
        let given = stop.map_or("not set".to_owned(), ToString::to_string);
        self.unless(
            is_off,
            format!("`{place}.auto_stop_machines`: {given}; \"off\", or apps end whenever nobody visits"),
        );
        self.unless(start != Some(false), format!("`{place}.auto_start_machines`: a stopped machine would stay so"));
        self.unless(
            least == Some(1),
            format!(
                "`{place}.min_machines_running`: 1: a volume is one machine's, and a second machine is another lab"
            ),
        );
    }
}

/// A size such as `10gb`, in the smallest unit.
fn bytes(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    units.iter().find_map(|(unit, factor)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor))
}

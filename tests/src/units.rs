//! The systemd units in `deploy/`: every key is known, every value the meant one, and they fit the stop budget and the
//! settings. What systemd itself says of them counts as well.

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use crate::{
    fly::{STOP_BUDGET, facts},
    parts::{folder, root},
};

/// How both units keep what they run away from the rest of the machine, as systemd.exec(5) has it.
const HARDENING: [(&str, &str); 18] = [
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ReadWritePaths", "/var/lib/lab"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LockPersonality", "yes"),
    ("SystemCallArchitectures", "native"),
];

/// What both do besides.
const SERVICE: [(&str, &str); 13] = [
    ("Type", "exec"),
    ("EnvironmentFile", "/etc/lab/lab.env"),
    ("User", "lab"),
    ("Group", "lab"),
    ("StateDirectory", "lab"),
    ("StateDirectoryMode", "0700"),
    ("UMask", "0077"),
    ("Restart", "always"),
    ("RestartSec", "1"),
    // lab-server's exit code for settings that make no sense
    ("RestartPreventExitStatus", "2"),
    ("KillSignal", "SIGTERM"),
    ("OOMPolicy", "continue"),
    ("TasksMax", "8192"),
];

/// A unit by section and key; a key that stands several times has its values joined by spaces.
#[derive(Debug)]
struct Unit(BTreeMap<(String, String), String>);

impl Unit {
    fn of(name: &str) -> Self {
        Self::parse(&fs::read_to_string(root().join("deploy").join(name)).unwrap()).unwrap()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut keys, mut section) = (BTreeMap::new(), String::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| format!("`{line}` is no setting"))?;
            if key != key.trim() || value != value.trim() || line.ends_with('\\') {
                return Err(format!("`{line}`: write it on one line, without spaces around"));
            }
            match keys.entry((section.clone(), key.to_owned())) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(value.to_owned())),
                std::collections::btree_map::Entry::Occupied(mut entry) if key == "Environment" => {
                    entry.get_mut().extend([" ", value]);
                }
                std::collections::btree_map::Entry::Occupied(_) => return Err(format!("`{key}` stands twice")),
            }
        }
        Ok(Self(keys))
    }

    /// Takes a key out of it, so that what is left is unknown.
    fn take(&mut self, section: &str, key: &str) -> String {
        self.0.remove(&(section.to_owned(), key.to_owned())).unwrap_or_else(|| panic!("[{section}] lacks {key}"))
    }

    fn expect(&mut self, section: &str, pairs: &[(&str, &str)]) {
        for (key, value) in pairs {
            assert_eq!(self.take(section, key), *value, "{key}");
        }
    }
}

/// What both units have in common; the rest of the keys is left in what is returned.
fn common(name: &str) -> Unit {
    let mut unit = Unit::of(name);
    assert!(unit.take("Unit", "Description").starts_with("Lab: "));
    let network = "network-online.target";
    unit.expect("Unit", &[("Wants", network), ("After", network), ("StartLimitIntervalSec", "0")]);
    unit.expect("Install", &[("WantedBy", "multi-user.target")]);
    unit.expect("Service", &SERVICE);
    unit.expect("Service", &HARDENING);
    let stop = Duration::from_secs(unit.take("Service", "TimeoutStopSec").parse().unwrap());
    assert!(
        stop > STOP_BUDGET && stop <= Duration::from_mins(5),
        "TimeoutStopSec is {stop:?}, the budget {STOP_BUDGET:?}"
    );
    let files: u64 = unit.take("Service", "LimitNOFILE").parse().unwrap();
    assert!((10_240..=1_048_576).contains(&files), "LimitNOFILE");
    let environment = unit.take("Service", "Environment");
    for pair in environment.split(' ') {
        let (variable, value) = pair.split_once('=').unwrap();
        match variable {
            "PATH" => assert!(value.split(':').all(|folder| folder.starts_with('/')), "{value}"),
            "DATA_DIR" => assert_eq!(value, "/var/lib/lab", "the StateDirectory"),
            other => assert!(facts::variables().contains(other), "lab-server reads no `{other}`"),
        }
    }
    unit
}

#[test]
fn the_embedded_unit_leaves_the_apps_alone_when_the_server_ends() {
    let mut unit = common("lab.service");
    unit.expect("Service", &[("ExecStart", "/usr/local/bin/lab-server")]);
    unit.expect("Service", &[("KillMode", "process"), ("CapabilityBoundingSet", "")]);
    assert!(unit.0.is_empty(), "unknown: {unit:?}");
}

#[test]
fn the_production_unit_lets_init_end_everything() {
    let mut unit = common("lab-production.service");
    unit.expect("Unit", &[("Conflicts", "lab.service")]);
    unit.expect("Service", &[("ExecStart", "/usr/local/bin/lab-server init"), ("KillMode", "mixed")]);
    // ports 80 and 443
    let ports = "CAP_NET_BIND_SERVICE";
    unit.expect("Service", &[("CapabilityBoundingSet", ports), ("AmbientCapabilities", ports)]);
    assert!(unit.0.is_empty(), "unknown: {unit:?}");
}

#[test]
fn a_unit_with_an_odd_line_is_refused() {
    for text in
        ["[Service]\nType = exec", "[Service]\nType=exec\nType=simple", "[Service]\nType", "[Service]\nPATH=a\\\nb"]
    {
        assert!(Unit::parse(text).is_err(), "{text}");
    }
}

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    let folder = folder();
    for name in ["lab.service", "lab-production.service"] {
        // it looks for the program, which is not installed here
        let text = fs::read_to_string(root().join("deploy").join(name)).unwrap();
        let text = text.replace("/usr/local/bin/lab-server", "/bin/true");
        let unit = folder.path().join(name);
        fs::write(&unit, text).unwrap();
        let output = Command::new("systemd-analyze").arg("verify").arg(&unit).output();
        let output = output.expect("systemd-analyze is missing: `apt-get install systemd`");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
    }
}

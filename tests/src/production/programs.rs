//! What `lab doctor` says of the programs beside lab-server, and what happens to an app that one of them stopped.

use std::{collections::BTreeMap, time::Duration};

use lab_core::supervisor::{
    ProcessSpec, ProcessState, ProcessSupervisor, RestartPolicy,
    supervisord::{SupervisordSettings, SupervisordSupervisor},
};

use super::{answers, small};
use crate::{
    server::{Server, eventually, signal},
    stack::{Stack, run},
};

fn settings(server: &Server) -> SupervisordSettings {
    SupervisordSettings::new(server.data().join("supervisor"), server.data().join("logs"))
}

/// The lines of the doctor that begin with this mark.
fn doctor(server: &Server, mark: &str) -> Vec<String> {
    let output = server.lab(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.starts_with(mark)).map(str::to_owned).collect()
}

#[test]
fn the_doctor_sees_each_program_that_does_not_answer_and_each_app_that_was_given_up() {
    let mut server = Server::start_on(Stack::Edge);
    let well = doctor(&server, "✓");
    assert!(well.iter().any(|line| line.contains("supervisord 4.3")), "{well:?}");
    assert!(well.iter().any(|line| line.contains("Caddy answers")), "{well:?}");

    // an app that ends at once, beside the lab, which takes half a minute to give one up
    run(async {
        let supervisor = SupervisordSupervisor::open(settings(&server)).await.unwrap();
        let restart =
            RestartPolicy { max_restarts: 0, stable_after: Duration::from_secs(1), ..RestartPolicy::default() };
        let spec = ProcessSpec {
            app: "ends".parse().unwrap(),
            program: "/bin/false".into(),
            args: Vec::new(),
            directory: "/".into(),
            env: BTreeMap::new(),
            stop_grace: Duration::from_secs(1),
            restart,
        };
        supervisor.start(spec).await.unwrap();
        let is_failed = async || {
            let state = supervisor.state(&"ends".parse().unwrap()).await.unwrap();
            matches!(state, Some(ProcessState::Failed { .. }))
        };
        while !is_failed().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        supervisor.shutdown().await;
    });
    let ill = doctor(&server, "✗");
    assert!(ill.len() == 1 && ill[0].contains("gave `ends` up") && ill[0].contains("lab logs ends"), "{ill:?}");

    // each is looked at, whatever became of the other's files
    std::fs::remove_file(server.data().join("caddy/config.json")).unwrap();
    assert!(doctor(&server, "✗")[0].contains("gave `ends` up"));
    assert!(server.end_with("TERM").success());
    let ill = doctor(&server, "✗").join("\n");
    assert!(ill.contains("supervisord does not run; start it (`lab-server init` does)"), "{ill}");
    assert!(ill.contains("Caddy does not run; start it (`lab-server init` does)"), "{ill}");
}

#[test]
fn an_app_that_supervisord_was_told_to_stop_is_started_again_and_one_that_its_owner_stopped_is_not() {
    let server = Server::start_on(Stack::Edge);
    for app in ["app", "stopped"] {
        server.deploy(app, &small(app));
    }
    assert!(server.lab(&["stop", "stopped"]).status.success());
    let before = server.processes();
    run(settings(&server).stop_all(Duration::from_secs(10))).unwrap();
    let visitor = server.visit("app");
    eventually("the app", || server.processes() != before && run(answers(&visitor, "app")));
    eventually("its status", || server.lab_json(&["show", "app"])["status"] == "running");
    assert!(server.log().contains("was stopped by something else than the lab"), "{}", server.log());
    assert_eq!(server.processes().len(), 1);
    assert_eq!(server.lab_json(&["show", "stopped"])["status"], "stopped");
}

#[test]
fn a_lab_server_that_refuses_its_settings_ends_init_and_everything_with_it() {
    let folder = crate::parts::folder();
    let file = folder.path().join("lab.toml");
    std::fs::write(&file, "").unwrap();
    let mut server = Server::start_with(Stack::Edge, &[("LAB_CONFIG", file.to_str().unwrap())]);
    server.deploy("app", &small("app"));
    std::fs::write(&file, "domain_name = 7\n").unwrap();
    let pid = server.programs().into_iter().find(|(_, words)| words.contains("lab-server")).unwrap().0;
    signal("KILL", pid);
    let status = server.ended();
    assert_eq!(status.code(), Some(2), "{}", server.log());
    assert!(server.processes().is_empty() && server.holders().is_empty());
    assert!(!server.data().join("machine.json").exists(), "the claim is given back");
}

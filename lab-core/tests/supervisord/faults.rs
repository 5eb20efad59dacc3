//! What can be wrong with supervisord, and what is said of it.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use futures_util::future::join_all;
use lab_core::{
    supervisor::{
        ProcessState, ProcessSupervisor,
        supervisord::{SupervisordError, SupervisordSettings, SupervisordSupervisor, diagnose},
    },
    testing::supervisor::{script, scripts, wait_for_state},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use super::running::{Running, eventually, name};

fn impatient(folder: &std::path::Path) -> SupervisordSettings {
    let mut settings = SupervisordSettings::new(folder.join("supervisor"), folder.join("logs"));
    settings.patience = Duration::from_millis(200);
    settings
}

/// Something that answers every request on supervisord's socket with this.
fn answering(settings: &SupervisordSettings, answer: String) -> tokio_util::task::AbortOnDropHandle<()> {
    settings.prepare().unwrap();
    let listener = UnixListener::bind(settings.socket()).unwrap();
    tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }))
}

fn xml(value: &str) -> String {
    let body = format!("<?xml version='1.0'?><methodResponse>{value}</methodResponse>");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn refused(settings: SupervisordSettings) -> String {
    let said = diagnose(&settings).await;
    assert!(said.len() == 1 && !said[0].is_well, "{said:?}");
    let error = SupervisordSupervisor::open(settings).await.unwrap_err();
    let report = lab_core::report(&error);
    assert_eq!(said[0].text, report, "the doctor says the same");
    report
}

#[tokio::test]
async fn each_fault_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let settings = impatient(folder.path());
    settings.prepare().unwrap();
    let said = refused(settings.clone()).await;
    assert!(said.contains("supervisord does not run") && said.contains("start it"), "{said}");

    drop(UnixListener::bind(settings.socket()).unwrap());
    let said = refused(settings.clone()).await;
    assert!(said.contains("nobody answers on"), "{said}");

    for (answer, part) in [
        (xml("<params><param><value><string>3.4.0</string></value></param></params>"), "4.0 is the oldest"),
        (xml("<params><param><value><string>what</string></value></param></params>"), "is not supervisord"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "status 404"),
        ("+OK hello\r\n".to_owned(), "does not speak HTTP"),
        (xml("<params><param><value><struct>"), "makes no sense"),
        (
            xml("<fault><value><struct><member><name>faultCode</name><value><int>4711</int></value></member><member>\
                 <name>faultString</name><value><string>NEW_ONE</string></value></member></struct></value></fault>"),
            "fault 4711, \"NEW_ONE\"",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let settings = impatient(folder.path());
        let _server = answering(&settings, answer);
        let said = refused(settings).await;
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn a_folder_that_supervisord_cannot_work_in_is_refused_before() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(90));
    std::fs::create_dir(&long).unwrap();
    let error = SupervisordSettings::new(long.join("supervisor"), folder.path()).prepare().unwrap_err();
    assert!(matches!(error, SupervisordError::Folder { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_supervisord_gave_up_is_in_the_diagnosis() {
    let running = Running::start();
    let supervisor = running.open().await;
    let said = diagnose(&running.settings).await;
    assert!(said.len() == 1 && said[0].is_well && said[0].text.contains("4.3"), "{said:?}");
    supervisor.start(script("one", running.folder(), scripts::ENDS)).await.unwrap();
    wait_for_state(&supervisor, &name("one"), |state| matches!(state, ProcessState::Failed { .. })).await;
    let said = diagnose(&running.settings).await;
    assert!(said.iter().any(|finding| !finding.is_well && finding.text.contains("lab logs one")), "{said:?}");
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisord_that_is_gone_is_an_error_and_not_a_state() {
    let mut running = Running::start();
    eventually("supervisord", async || running.settings.socket().exists()).await;
    running.settings.patience = Duration::from_millis(500);
    let supervisor = running.open().await;
    supervisor.start(script("one", running.folder(), scripts::FOREVER)).await.unwrap();
    running.kill();
    eventually("an error", async || supervisor.state(&name("one")).await.is_err()).await;
    let error = supervisor.stop(&name("one")).await.unwrap_err();
    assert!(lab_core::report(&error).contains("supervisor.sock"), "{error}");
    assert_eq!(supervisor.state(&name("nobody")).await.unwrap(), None);
    running.up();
    // the stop was recorded before it failed
    eventually("the app's end", async || {
        matches!(supervisor.state(&name("one")).await, Ok(Some(ProcessState::Stopped)))
    })
    .await;
    supervisor.shutdown().await;
}

#[test]
fn what_holds_secrets_is_for_its_user_only() {
    let running = Running::start();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&running.settings.config_file()), 0o600);
    assert_eq!(mode(&running.settings.programs()), 0o700);
    assert_eq!(mode(&running.settings.dir), 0o700);
    assert!(running.pid() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_could_not_be_read_are_told_to_each_who_waited_for_that() {
    let running = Running::start();
    let supervisor = running.open().await;
    let broken = running.settings.programs().join("broken.conf");
    std::fs::write(&broken, "[program:x\n").unwrap();
    let names = ["one", "two", "three", "four"];
    let start = |app| supervisor.start(script(app, running.folder(), scripts::FOREVER));
    for started in join_all(names.map(start)).await {
        let said = lab_core::report(&started.unwrap_err());
        assert!(said.contains("fault 92") && said.contains("restart the lab"), "{said}");
    }
    std::fs::remove_file(&broken).unwrap();
    for started in join_all(names.map(start)).await {
        started.unwrap();
    }
    supervisor.shutdown().await;
}

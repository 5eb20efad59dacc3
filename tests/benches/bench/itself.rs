//! The app and the gateway that are measured: this program, as processes of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use lab_core::{
    Port,
    router::{
        Route, RouterConfig, Target,
        gateway::{Gateway, GatewaySettings, Listener},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
};
use tokio_util::sync::CancellationToken;

use super::{
    HOST, Outcome,
    processes::{Place, Program},
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// This program.
pub fn program() -> Outcome<PathBuf> {
    Ok(std::env::current_exe()?)
}

/// Starts the app on a port.
pub fn start_app(port: u16, folder: &Path) -> Outcome<Program> {
    let mut command = Command::new(program()?);
    command.args(["serve", "--http", &format!("127.0.0.1:{port}")]);
    let mut app = Program::start(&mut command, &folder.join(format!("app-{port}.log")))?;
    app.listens_on(&Place::Port(port))?;
    Ok(app)
}

/// Starts a gateway that leads [`HOST`] to the app.
pub fn start_gateway(place: &Place, app: u16, folder: &Path) -> Outcome<Program> {
    let (word, log) = match place {
        Place::Port(port) => (port.to_string(), "gateway.log"),
        Place::Socket(path) => (path.display().to_string(), "gateway-on-socket.log"),
    };
    let mut command = Command::new(program()?);
    command.args(["gateway", &app.to_string(), &word]);
    let mut gateway = Program::start(&mut command, &folder.join(log))?;
    gateway.listens_on(place)?;
    Ok(gateway)
}

/// `serve … --http <address> …`: answers every GET with two bytes, on one thread and with as little work as can be, so
/// that what is measured is what stands before it. Takes PocketBase's command line, so that Lab can run it as an app.
pub async fn serve(arguments: &[String]) -> Outcome<()> {
    let address = arguments.iter().skip_while(|word| *word != "--http").nth(1).ok_or("serve --http <address>")?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 10];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            read => filled += read,
        }
        while let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
            stream.write_all(ANSWER).await?;
        }
    }
}

/// `gateway <app's port> <port or socket>`: Lab's gateway and nothing else.
pub async fn gateway(arguments: &[String]) -> Outcome<()> {
    let [app, place] = arguments else { return Err("gateway <app's port> <port or socket>".into()) };
    let target = Target::Port(Port::new(app.parse()?).ok_or("a port is not 0")?);
    let gateway = Gateway::new(GatewaySettings::default());
    gateway.apply([(HOST.parse()?, Route { app: None, target })].into()).await?;
    let listener: Listener = match place.parse::<u16>() {
        Ok(port) => TcpListener::bind(("127.0.0.1", port)).await?.into(),
        Err(_) => UnixListener::bind(place)?.into(),
    };
    gateway.serve(listener, CancellationToken::new()).await;
    Ok(())
}

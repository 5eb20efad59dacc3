//! nginx with a worker per core and kept connections to the upstream.

use std::{path::Path, process::Command};

use crate::bench::{
    HOST, Outcome,
    processes::{Place, Program, tool, version as version_of},
};

const PROGRAM: &str = "nginx/usr/sbin/nginx";

/// `nginx 1.22.1`.
pub fn version() -> Outcome<String> {
    let text = version_of(Command::new(tool(PROGRAM)?).arg("-v"))?;
    Ok(format!("nginx {}", text.rsplit('/').next().unwrap_or_default()))
}

/// Starts nginx on a port that leads [`HOST`] to an upstream.
pub fn start_proxy(port: u16, upstream: u16, folder: &Path) -> Outcome<Program> {
    let home = folder.join("nginx");
    std::fs::create_dir_all(&home)?;
    let place = home.display();
    // the limits of requests per connection would only measure how fast connections open
    let config = format!(
        "daemon off; worker_processes auto; pid {place}/pid; error_log {place}/error.log; {}\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;\n\
           client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
           uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
           upstream app {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}\n\
           server {{\n\
             listen 127.0.0.1:{port}; server_name {HOST};\n\
             location / {{\n\
               proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
               proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
               proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;\n\
             }}\n\
           }}\n\
         }}\n",
        // its workers could not read the folder as another user
        if nix::unistd::geteuid().is_root() { "user root;" } else { "" },
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = Command::new(tool(PROGRAM)?);
    command.arg("-p").arg(&home).arg("-e").arg(home.join("error.log")).arg("-c").arg(&file);
    let mut nginx = Program::start(&mut command, &folder.join("nginx.log"))?;
    nginx.listens_on(&Place::Port(port))?;
    Ok(nginx)
}

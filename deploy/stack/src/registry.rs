//! How the Apicurio Registry is configured and started.

use std::process::Command;

use crate::cache::Programs;
use crate::process::Launch;
use crate::server::{Kind, Site};
use crate::{StackError, probe};

/// The API of Confluent's registry, which every client speaks.
pub(crate) const API: &str = "/apis/ccompat/v7";

/// A small program that is asked a few hundred times: what counts is that it starts soon and stays small.
/// With Java's second compiler it takes 2.2 s to start, without 1.5 s (both without the file of its classes).
const JVM: [&str; 3] = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

pub(crate) async fn answers(port: u16) -> bool {
    probe::http_answers(port, &format!("{API}/subjects")).await
}

/// Keeps the log of the run before, and names the settings.
pub(crate) fn prepare(site: &Site, programs: &Programs) -> Result<Launch, StackError> {
    let log = site.home.join("registry.log");
    site.home.rotate(&log)?;
    Ok(Launch {
        name: Kind::Registry.name(),
        command: command(site, programs)?,
        output: log.clone(),
        log,
        pid_file: Some(site.home.pid_file()),
    })
}

fn command(site: &Site, programs: &Programs) -> Result<Command, StackError> {
    // WRITE_DELAY: H2 answers up to half a second before it writes. A schema that is lost with a `kill -9`
    // would be bad enough, and then the next schema gets its id.
    let database = format!(
        "jdbc:h2:file:{};WRITE_DELAY=0",
        site.home.join("schemas").display()
    );
    let port = site.port.number().to_string();
    let settings = [
        ("apicurio.storage.kind", "sql"),
        ("apicurio.storage.sql.kind", "h2"),
        ("apicurio.datasource.url", &database),
        // 20 to 100 connections by default, for one user.
        ("apicurio.datasource.jdbc.initial-size", "2"),
        ("apicurio.datasource.jdbc.min-size", "2"),
        ("apicurio.datasource.jdbc.max-size", "10"),
        ("quarkus.http.host", "127.0.0.1"),
        ("quarkus.http.port", &port),
        ("quarkus.http.access-log.enabled", "false"),
    ];
    let mut command = Command::new(&site.java.program);
    command
        .args(JVM)
        .args(site.classes.flag())
        .arg(site.home.temporary()?)
        .args(settings.map(|(key, value)| format!("-D{key}={value}")))
        .arg("-jar")
        .arg(programs.registry_jar())
        // Quarkus reads `.env` and `config/` where it starts: not those of whoever calls us.
        .current_dir(site.home.path());
    Ok(command)
}

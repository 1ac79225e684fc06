//! How Apache Kafka is configured and started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::Programs;
use crate::cluster::Cluster;
use crate::process::{Launch, Process};
use crate::server::{Kind, Site};
use crate::{Progress, StackError, Step, probe};

const SERVER_PROPERTIES: &str = include_str!("../config/server.properties");
const LOG_CONFIG: &str = include_str!("../config/log4j2.properties");

/// As Kafka's own start script has it: short pauses matter more than the last percent of throughput. Named,
/// because Java chooses another collector on a machine with one core or little memory.
const GC: [&str; 3] = [
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
];

pub(crate) async fn answers(port: u16) -> bool {
    probe::kafka_answers(port).await
}

/// Writes the configuration, and formats the storage if the folder is new.
pub(crate) async fn prepare(
    site: &Site,
    programs: &Programs,
    progress: &dyn Progress,
) -> Result<Launch, StackError> {
    let files = Files::of(site);
    // One that is alone may have another port for its controller at each start, and so is never without one.
    let cluster = match &site.cluster {
        Some(cluster) => cluster.clone(),
        None => Cluster::of(1)?,
    };
    write(
        &files.server_properties,
        &server_properties(site, &files, &cluster),
    )?;
    write(&files.log_config, LOG_CONFIG)?;
    if !files.log_dir.join("meta.properties").exists() {
        progress.step(&Step::Formatting);
        format(site, programs, &files, &cluster.id).await?;
    }
    let log = site.home.join("broker.log");
    let mut command = java(site, programs, &files, &log);
    command
        .args(site.classes.flag())
        .arg(format!("-Xmx{}m", site.options.heap_mb))
        .args(GC);
    command
        .arg(site.home.temporary()?)
        .args(&site.options.broker_java);
    command.arg("kafka.Kafka").arg(&files.server_properties);
    Ok(Launch {
        name: Kind::Broker.name(),
        command,
        output: site.home.join("broker.out"),
        log,
        pid_file: Some(site.home.pid_file()),
    })
}

struct Files {
    server_properties: PathBuf,
    log_config: PathBuf,
    log_dir: PathBuf,
}

impl Files {
    fn of(site: &Site) -> Self {
        Self {
            server_properties: site.home.join("server.properties"),
            log_config: site.home.join("log4j2.properties"),
            log_dir: site.home.join("data"),
        }
    }
}

fn server_properties(site: &Site, files: &Files, cluster: &Cluster) -> String {
    let mut config = format!("{SERVER_PROPERTIES}\n{}", cluster.config(site.node));
    // Of two lines with the same key Java takes the last one.
    for (key, value) in &site.options.broker_config {
        config.push_str(&format!("{key}={value}\n"));
    }
    config
        .replace("@port@", &site.port.number().to_string())
        .replace(
            "@controller_port@",
            &cluster.controller_port(site.node).to_string(),
        )
        .replace("@log_dir@", &files.log_dir.display().to_string())
}

fn write(file: &Path, text: &str) -> Result<(), StackError> {
    fs::write(file, text).map_err(StackError::io(format!("write {}", file.display())))
}

/// Writes the cluster's id and its feature levels into a new folder: Kafka refuses one without them.
async fn format(site: &Site, programs: &Programs, files: &Files, cluster_id: &str) -> Result<(), StackError> {
    let name = "Kafka's storage tool";
    let log = site.home.join("format.log");
    let mut command = java(site, programs, files, &log);
    // Half a second of work: compiling it well would take longer than the work.
    command.args(site.classes.flag_to_read()).args([
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "kafka.tools.StorageTool",
        "format",
    ]);
    // What an interrupted format left is no reason to refuse.
    command.args(["--ignore-formatted", "--cluster-id", cluster_id, "--config"]);
    command.arg(&files.server_properties);
    let output = site.home.join("format.out");
    let process = Process::spawn(Launch {
        name,
        command,
        output,
        log,
        pid_file: None,
    })?;
    let status = process.wait().await;
    if status.success() {
        return Ok(());
    }
    let (log, tail) = process.last_lines();
    Err(StackError::Exited {
        name,
        status,
        log,
        tail,
    })
}

/// Java on Kafka's classes; more flags, the main class and its arguments are to follow.
fn java(site: &Site, programs: &Programs, files: &Files, log: &Path) -> Command {
    let mut command = Command::new(&site.java.program);
    command
        .arg("-cp")
        .arg(programs.kafka_class_path())
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            files.log_config.display()
        ))
        .arg(format!("-Dfoldline.log={}", log.display()))
        .current_dir(site.home.path());
    command
}

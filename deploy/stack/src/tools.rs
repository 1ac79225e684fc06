use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::StackError;

/// What Kafka 4 and the registry ask for.
const JAVA_MIN: u32 = 17;

const INSTALL: &str = if cfg!(target_os = "macos") {
    "brew install openjdk@17 maven && export JAVA_HOME=$(brew --prefix openjdk@17)"
} else {
    "apt-get install openjdk-17-jre-headless maven"
};

/// Where `java` and `mvn` are looked for.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// Folders, as in `PATH`; also the `PATH` of what we start.
    pub path: OsString,
    /// A Java that is asked before those on the path.
    pub java_home: Option<PathBuf>,
}

/// A Java that is new enough.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    pub(crate) program: PathBuf,
    /// What it says of itself: equal for equal ones.
    pub(crate) version: String,
}

impl Tools {
    /// As this process's `PATH` and `JAVA_HOME` say.
    pub fn from_env() -> Self {
        Self {
            path: env::var_os("PATH").unwrap_or_default(),
            java_home: env::var_os("JAVA_HOME")
                .filter(|home| !home.is_empty())
                .map(PathBuf::from),
        }
    }

    /// The first Java that is new enough.
    pub(crate) async fn java(&self) -> Result<Java, StackError> {
        let at_home = self
            .java_home
            .iter()
            .map(|home| home.join("bin/java"))
            .filter(|java| java.is_file());
        let mut found = Vec::new();
        for java in at_home.chain(self.find("java")) {
            match java_version(&java).await {
                Ok((version, answer)) if version >= JAVA_MIN => {
                    return Ok(Java {
                        program: java,
                        version: answer,
                    });
                }
                Ok((version, _)) => found.push(format!("{} is version {version}", java.display())),
                Err(answer) => found.push(format!("{} answers {answer:?}", java.display())),
            }
        }
        let found = if found.is_empty() {
            "and none was found".to_owned()
        } else {
            format!("but {}", found.join(", "))
        };
        Err(StackError::ToolMissing {
            tool: "java 17 or newer",
            purpose: "to run Apache Kafka and the schema registry",
            found,
            install: INSTALL,
        })
    }

    /// Maven, which only a start with an empty cache needs.
    pub(crate) fn maven(&self) -> Result<PathBuf, StackError> {
        self.find("mvn").next().ok_or_else(|| StackError::ToolMissing {
            tool: "mvn (Apache Maven)",
            purpose: "to fetch Apache Kafka and the schema registry",
            found: "and none was found".to_owned(),
            install: INSTALL,
        })
    }

    fn find(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        env::split_paths(&self.path)
            .map(move |folder| folder.join(name))
            .filter(|file| file.is_file())
    }
}

/// The major version and all that it says of itself, or what the program says instead.
async fn java_version(java: &Path) -> Result<(u32, String), String> {
    let output = Command::new(java)
        .arg("-version")
        .kill_on_drop(true)
        .output()
        .await;
    // Written to stderr since 1995. macOS has a `java` that only says there is none.
    let answer = output.map_err(|error| error.to_string())?.stderr;
    let answer = String::from_utf8_lossy(&answer);
    match parse_java_version(&answer) {
        Some(version) => Ok((version, answer.into_owned())),
        None => Err(answer.lines().next().unwrap_or_default().to_owned()),
    }
}

/// `openjdk version "17.0.15" 2025-04-15` is 17, and `java version "1.8.0_392"` is 8.
fn parse_java_version(answer: &str) -> Option<u32> {
    let quoted = answer.split('"').nth(1)?;
    let mut parts = quoted.split(|c: char| !c.is_ascii_digit());
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_java_version;

    #[test]
    fn java_versions_old_and_new_are_read() {
        let cases = [
            (
                "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime",
                Some(17),
            ),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"24-ea\" 2025-03-18", Some(24)),
            ("java version \"1.8.0_392\"", Some(8)),
            (
                "The operation couldn't be completed. Unable to locate a Java Runtime.",
                None,
            ),
        ];
        for (answer, version) in cases {
            assert_eq!(parse_java_version(answer), version, "{answer}");
        }
    }
}

//! Configuration in layers: default < TOML file < environment < flag.
//!
//! clap knows the keys, their defaults, their environment variables and their `--help`. The file's values are
//! put in as clap's defaults, so that there is one list of keys and one way to check a value.
//!
//! So `requires` and `conflicts_with` must not stand between settings: clap takes what is in the file for what nobody has
//! given, refuses what the file and the environment say together, and misses what the file says alone. Whoever has the
//! settings looks at what goes together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command};

const CONFIG: &str = "config";

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// What clap says; `--help` and `--version` are among it.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{} is not TOML: {source}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// The file has a key that is no setting.
    #[error("{}: unknown key {key:?}; {command} knows: {known}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Whose settings these are.
        command: String,
        /// All keys.
        known: String,
    },
    /// The file has a table or the like where a value must be.
    #[error("{}: {key} must be a string, a number, true or false, or an array of these", path.display())]
    NotAValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The file has a value that the setting cannot have.
    #[error("{}: {why}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// Names the key, the value and what is wrong with it.
        why: String,
    },
}

impl SettingsError {
    /// Prints it as clap does, help to stdout, and ends the process.
    pub fn exit(&self) -> ! {
        match self {
            Self::Arguments(error) => error.exit(),
            other => {
                eprintln!("error: {other}");
                std::process::exit(2)
            }
        }
    }
}

/// Parses arguments, with the file that `--config` or `FOLDLINE_CONFIG` names underneath.
///
/// The file's keys are the long flags of the command that runs: those of the subcommand, if one is given.
pub fn parse_layered(
    command: Command,
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<ArgMatches, SettingsError> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let command = command.arg(config_arg());
    let Some((path, chain)) = find_file(&command, &args) else {
        return Ok(command.try_get_matches_from(args)?);
    };
    let values = read_file(&path)?;
    let command = with_defaults(command, &chain, &path, &values)?;
    command
        .try_get_matches_from(args)
        .map_err(|error| blame(error, path, &values))
}

fn config_arg() -> Arg {
    Arg::new(CONFIG)
        .long("config")
        .value_name("FILE")
        .env("FOLDLINE_CONFIG")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        // Or it would stand under the last heading of the command's own options.
        .help_heading(None::<&str>)
        .help("A TOML file with settings: its keys are the long flags. Environment and flags win over it")
}

/// The file, and the subcommands that lead to the command that runs.
fn find_file(command: &Command, args: &[OsString]) -> Option<(PathBuf, Vec<String>)> {
    // Errors are for the real parse, which sees them with the file's values in place.
    let lenient = command.clone().ignore_errors(true);
    let matches = lenient.try_get_matches_from(args).ok()?;
    let path = matches.get_one::<PathBuf>(CONFIG)?.clone();
    let mut chain = Vec::new();
    let mut here = &matches;
    while let Some((name, under)) = here.subcommand() {
        chain.push(name.to_owned());
        here = under;
    }
    Some((path, chain))
}

type Values = BTreeMap<String, Vec<String>>;

fn read_file(path: &Path) -> Result<Values, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let table: toml::Table = text.parse().map_err(|source| SettingsError::NotToml {
        path: path.to_owned(),
        source,
    })?;
    let value_of = |(key, value): (String, toml::Value)| {
        let texts = match value {
            toml::Value::Array(items) => items.into_iter().map(scalar).collect(),
            other => scalar(other).map(|text| vec![text]),
        };
        match texts {
            Some(texts) => Ok((key, texts)),
            None => Err(SettingsError::NotAValue {
                path: path.to_owned(),
                key,
            }),
        }
    };
    table.into_iter().map(value_of).collect()
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Datetime(time) => Some(time.to_string()),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

/// The command with the file's values as the defaults of the command that runs.
fn with_defaults(
    command: Command,
    chain: &[String],
    path: &Path,
    values: &Values,
) -> Result<Command, SettingsError> {
    if let Some((name, rest)) = chain.split_first() {
        // `mut_subcommand` takes no closure that fails.
        let mut failed = None;
        let command = command.mut_subcommand(name, |under| {
            let untouched = under.clone();
            with_defaults(under, rest, path, values).unwrap_or_else(|error| {
                failed = Some(error);
                untouched
            })
        });
        return failed.map_or(Ok(command), Err);
    }
    let mut command = command;
    for (key, texts) in values {
        let known = command.get_arguments().find(|arg| is_key(arg, key));
        let Some(id) = known.map(|arg| arg.get_id().clone()) else {
            return Err(unknown_key(&command, path, key));
        };
        command = command.mut_arg(id, |arg| arg.required(false).default_values(texts.clone()));
    }
    Ok(command)
}

fn is_key(arg: &Arg, key: &str) -> bool {
    // The file cannot name another file.
    arg.get_long() == Some(key) && !["config", "help", "version"].contains(&key)
}

fn unknown_key(command: &Command, path: &Path, key: &str) -> SettingsError {
    let mut known: Vec<&str> = command
        .get_arguments()
        .filter_map(Arg::get_long)
        .filter(|long| !["config", "help", "version"].contains(long))
        .collect();
    known.sort_unstable();
    SettingsError::UnknownKey {
        path: path.to_owned(),
        key: key.to_owned(),
        command: command.get_name().to_owned(),
        known: known.join(", "),
    }
}

/// Names the file, if it is the file's value that clap does not like.
fn blame(error: clap::Error, path: PathBuf, values: &Values) -> SettingsError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let flag = text(ContextKind::InvalidArg);
    let key = flag
        .trim_start_matches("--")
        .split(' ')
        .next()
        .unwrap_or_default();
    let value = text(ContextKind::InvalidValue);
    if !values
        .get(key)
        .is_some_and(|texts| texts.iter().any(|text| text == value))
    {
        return error.into();
    }
    let whole = error.render().to_string();
    let why = whole.lines().next().unwrap_or_default();
    SettingsError::BadValue {
        path,
        why: why.trim_start_matches("error: ").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::SocketAddr;

    use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

    use super::parse_layered;

    /// `cargo test` sets this variable, and no test may set one: there are other threads.
    const VARIABLE: &str = "CARGO_PKG_NAME";

    #[derive(Debug, Parser)]
    struct Flat {
        #[arg(long, default_value = "127.0.0.1:1")]
        listen: SocketAddr,
        #[arg(long, default_value = "default")]
        name: String,
        #[arg(long, env = VARIABLE, default_value = "default")]
        named: String,
        #[arg(long)]
        quiet: bool,
        #[arg(long = "kafka")]
        kafka: Vec<String>,
        #[arg(long)]
        needed: u32,
    }

    #[derive(Debug, Parser)]
    struct Nested {
        #[arg(long, default_value = "root")]
        name: String,
        #[command(subcommand)]
        command: Option<Sub>,
    }

    #[derive(Debug, Subcommand)]
    enum Sub {
        Serve {
            #[arg(long, default_value = "default")]
            name: String,
        },
        Other,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn parse<P: CommandFactory + FromArgMatches>(toml: &str, args: &[&str]) -> Result<P, String> {
        let file = file(toml);
        let config = ["--config", file.path().to_str().unwrap()];
        let all = ["prog"].iter().chain(args).chain(&config).copied();
        let matches = parse_layered(P::command(), all).map_err(|error| error.to_string())?;
        Ok(P::from_arg_matches(&matches).unwrap())
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let toml = "name = 'file'\nnamed = 'file'\nneeded = 7";
        let flat: Flat = parse(toml, &[]).unwrap();
        assert_eq!(flat.listen.port(), 1);
        assert_eq!(flat.name, "file");
        assert_eq!(flat.needed, 7);
        assert_eq!(flat.named, std::env::var(VARIABLE).unwrap());
        let flat: Flat = parse(toml, &["--name", "flag", "--named", "flag", "--needed=8"]).unwrap();
        assert_eq!(
            (flat.name, flat.named, flat.needed),
            ("flag".into(), "flag".into(), 8)
        );
    }

    #[test]
    fn the_file_has_numbers_booleans_and_arrays() {
        let toml = "quiet = true\nkafka = ['a=b', 'c=d']\nneeded = 1";
        let flat: Flat = parse(toml, &[]).unwrap();
        assert!(flat.quiet);
        assert_eq!(flat.kafka, ["a=b", "c=d"]);
        let flat: Flat = parse(toml, &["--kafka", "e=f"]).unwrap();
        assert_eq!(flat.kafka, ["e=f"]);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = parse::<Flat>("needed = 1\nnaem = 'x'", &[]).unwrap_err();
        assert!(error.contains("unknown key \"naem\""), "{error}");
        assert!(
            error.contains("kafka, listen, name, named, needed, quiet"),
            "{error}"
        );
        let error = parse::<Flat>("config = 'other.toml'", &[]).unwrap_err();
        assert!(error.contains("unknown key \"config\""), "{error}");
    }

    #[test]
    fn a_wrong_value_is_blamed_on_where_it_stands() {
        let error = parse::<Flat>("needed = 1\nlisten = 'here'", &[]).unwrap_err();
        assert!(
            error.contains("/") && error.contains("listen") && error.contains("'here'"),
            "{error}"
        );
        assert!(!error.starts_with("error:"), "{error}");
        let error = parse::<Flat>("needed = 1", &["--listen", "there"]).unwrap_err();
        assert!(
            error.starts_with("error:") && error.contains("'there'"),
            "{error}"
        );
        let error = parse::<Flat>("[needed]\nx = 1", &[]).unwrap_err();
        assert!(error.contains("needed must be"), "{error}");
        let error = parse::<Flat>("needed = ", &[]).unwrap_err();
        assert!(error.contains("is not TOML"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = parse_layered(Flat::command(), ["prog", "--config", "nowhere.toml"]).unwrap_err();
        assert!(error.to_string().contains("nowhere.toml"), "{error}");
    }

    #[test]
    fn the_keys_are_those_of_the_subcommand_that_runs() {
        let nested: Nested = parse("name = 'file'", &["serve"]).unwrap();
        assert_eq!(nested.name, "root");
        assert!(matches!(nested.command, Some(Sub::Serve { name }) if name == "file"));
        let nested: Nested = parse("name = 'file'", &[]).unwrap();
        assert_eq!(nested.name, "file");
        let error = parse::<Nested>("name = 'file'", &["other"]).unwrap_err();
        assert!(error.contains("unknown key \"name\""), "{error}");
    }

    #[test]
    fn help_is_help_with_a_file_too() {
        let help = parse::<Flat>("needed = 1", &["--help"]).unwrap_err();
        assert!(
            help.contains("--config <FILE>") && help.contains("--listen"),
            "{help}"
        );
    }
}

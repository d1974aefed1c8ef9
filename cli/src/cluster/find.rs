//! Finding the cluster: options, then the environment, then the config file, then the ports of `kv dev`.
//!
//! The first source that names any endpoint wins, whole: mixing two would let a forgotten config file send a test's
//! writes to production. One thing is taken from the config file whatever the source: the certificates, and the ids of
//! nodes whose address it lists.

use std::path::PathBuf;

use kvorum_client::{Endpoint, Identity};
use kvorum_protocol::AccessToken;
use kvorum_protocol::codec::Invalid;

use crate::args::connection::ConnectionArguments;
use crate::cluster::config_file::{ClientConfig, read_token};
use crate::failure::{Failure, Outcome};

/// The first client port of `kv dev`, and the distance to the next node's.
const DEV_CLIENT_PORT: u16 = 7401;
const DEV_PORT_STEP: u16 = 10;
/// How many dev ports are tried: a refused connection on loopback costs microseconds.
const DEV_PORTS: u16 = 10;

/// What we read of the process's environment, in one place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// `KVORUM_ENDPOINTS`: endpoints separated by commas or blanks.
    pub(crate) endpoints: Option<String>,
    /// `KVORUM_TOKEN`: an access token, or why it is none.
    pub(crate) token: Option<Result<AccessToken, Invalid>>,
    /// `XDG_CONFIG_HOME`, or `.config` in the home directory.
    pub(crate) config_home: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables.
    pub(crate) fn read() -> Environment {
        let path =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config_home =
            path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
        let endpoints =
            std::env::var("KVORUM_ENDPOINTS").ok().filter(|text| !text.trim().is_empty());
        let token = std::env::var("KVORUM_TOKEN").ok().filter(|text| !text.trim().is_empty());
        let token = token.map(|text| text.trim().parse());
        Environment { endpoints, token, config_home }
    }

    /// Where the config file is when nobody names another.
    pub(crate) fn default_config(&self) -> Option<PathBuf> {
        self.config_home.as_ref().map(|home| home.join("kvorum").join("config.toml"))
    }
}

/// Where the endpoints came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--endpoint`.
    Options,
    /// `KVORUM_ENDPOINTS`.
    Environment,
    /// The config file at this path.
    ConfigFile(PathBuf),
    /// Nobody named any: the ports of `kv dev`.
    DevPorts,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Options => formatter.write_str("--endpoint"),
            Origin::Environment => formatter.write_str("KVORUM_ENDPOINTS"),
            Origin::ConfigFile(path) => write!(formatter, "{}", path.display()),
            Origin::DevPorts => formatter.write_str("the ports of kv dev"),
        }
    }
}

/// Where to knock, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) origin: Origin,
    pub(crate) identity: Option<Identity>,
    pub(crate) token: Option<AccessToken>,
    pub(crate) cluster: Option<String>,
}

/// Settles where the cluster is.
///
/// # Errors
/// A usage failure when a named file cannot be read or `KVORUM_ENDPOINTS` makes no sense.
pub(crate) fn find(options: &ConnectionArguments, environment: &Environment) -> Outcome<Found> {
    let config = match (&options.config, environment.default_config()) {
        (Some(path), _) => Some(ClientConfig::read(path)?),
        (None, Some(path)) if path.is_file() => Some(ClientConfig::read(&path)?),
        _ => None,
    };
    let (named, origin) = if !options.endpoints.is_empty() {
        (options.endpoints.clone(), Origin::Options)
    } else if let Some(text) = &environment.endpoints {
        (parse_list(text)?, Origin::Environment)
    } else if let Some(config) = config.as_ref().filter(|config| !config.endpoints.is_empty()) {
        (config.endpoints.clone(), Origin::ConfigFile(config.path.clone()))
    } else {
        (dev_ports(), Origin::DevPorts)
    };
    let endpoints = match &config {
        Some(config) => named.into_iter().map(|endpoint| config.complete(endpoint)).collect(),
        None => named,
    };
    // A dev cluster has another name than the one in the file; nobody asked for the file's cluster there.
    let cluster = config
        .as_ref()
        .and_then(|config| config.cluster.clone())
        .filter(|_| origin != Origin::DevPorts);
    let token = find_token(options, environment, config.as_ref())?;
    if token.is_some() && origin == Origin::DevPorts {
        return Err(guessed());
    }
    let identity = config.and_then(|config| config.identity);
    Ok(Found { endpoints, origin, identity, token, cluster })
}

/// A token is for a cluster that somebody named: whatever listens on a guessed port would get to see it.
fn guessed() -> Failure {
    let failure = Failure::usage("there is an access token, and no endpoint to show it to");
    failure.advise(
        "Name a node: --endpoint ID@HOST:PORT, KVORUM_ENDPOINTS, or endpoints in the config file.",
    )
}

/// The access token to show: of the option, else of the environment, else of the config file.
fn find_token(
    options: &ConnectionArguments,
    environment: &Environment,
    config: Option<&ClientConfig>,
) -> Outcome<Option<AccessToken>> {
    if let Some(path) = &options.token_file {
        return read_token(path).map(Some);
    }
    if let Some(token) = &environment.token {
        let token = token.clone();
        return token.map(Some).map_err(|error| Failure::usage(format!("KVORUM_TOKEN: {error}")));
    }
    config.and_then(|config| config.token_file.as_deref()).map(read_token).transpose()
}

fn parse_list(text: &str) -> Outcome<Vec<Endpoint>> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse()
                .map_err(|error| Failure::usage(format!("KVORUM_ENDPOINTS: {word:?}: {error}")))
        })
        .collect()
}

fn dev_ports() -> Vec<Endpoint> {
    (0..DEV_PORTS).map(|node| Endpoint::loopback(DEV_CLIENT_PORT + DEV_PORT_STEP * node)).collect()
}

/// What to say when nobody answered.
pub(crate) fn nobody_answers(found: &Found, causes: &[(Endpoint, String)]) -> Failure {
    let mut failure = Failure::unavailable(format!("no node answers (tried {})", found.origin));
    for (endpoint, cause) in causes.iter().take(5) {
        failure = failure.advise(format!("{endpoint}: {cause}"));
    }
    if causes.len() > 5 {
        failure = failure.advise(format!("and {} more", causes.len() - 5));
    }
    let advice = match found.origin {
        Origin::DevPorts => {
            "Start a cluster with `kv dev`, or name a node: --endpoint HOST:PORT or KVORUM_ENDPOINTS."
        }
        _ => {
            "Check that a node runs there (`kv node start DIR`) and that this machine reaches its client port."
        }
    };
    failure.advise(advice)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::{Environment, Found, Origin, find, nobody_answers};
    use crate::args::connection::ConnectionArguments;
    use crate::exit_code::ExitCode;

    fn options(endpoints: &[&str]) -> ConnectionArguments {
        let endpoints = endpoints.iter().map(|text| text.parse().expect("an endpoint")).collect();
        let timeout = Duration::from_secs(1);
        ConnectionArguments { endpoints, config: None, token_file: None, timeout }
    }

    fn texts(found: &Found) -> Vec<String> {
        found.endpoints.iter().map(ToString::to_string).collect()
    }

    fn environment(home: &Path, endpoints: Option<&str>) -> Environment {
        let endpoints = endpoints.map(str::to_owned);
        Environment { endpoints, token: None, config_home: Some(home.to_owned()) }
    }

    #[test]
    fn options_win_over_environment_over_file_over_dev_ports() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let origin = |endpoints: &[&str], variable| {
            find(&options(endpoints), &environment(home.path(), variable)).expect("found")
        };
        let dev = origin(&[], None);
        assert_eq!(dev.origin, Origin::DevPorts);
        assert_eq!(texts(&dev)[..2], ["127.0.0.1:7401", "127.0.0.1:7411"]);

        fs::create_dir(home.path().join("kvorum")).expect("created");
        fs::write(
            home.path().join("kvorum/config.toml"),
            "cluster = \"prod\"\nendpoints = [\"f:1\"]",
        )
        .expect("written");
        let file = origin(&[], None);
        assert_eq!((texts(&file), file.cluster.as_deref()), (vec!["f:1".to_owned()], Some("prod")));
        let variable = origin(&[], Some("a:1, b:2"));
        assert_eq!(
            (texts(&variable), variable.origin),
            (vec!["a:1".to_owned(), "b:2".to_owned()], Origin::Environment)
        );
        let option = origin(&["o:1"], Some("a:1"));
        assert_eq!((texts(&option), option.origin), (vec!["o:1".to_owned()], Origin::Options));
    }

    #[test]
    fn a_token_comes_from_the_option_before_the_environment_before_the_file_and_is_never_repeated()
    {
        let home = tempfile::tempdir().expect("a temporary directory");
        let token = |digit: &str| format!("kvorum_{}_{}", digit.repeat(16), digit.repeat(64));
        let write = |name: &str, text: &str| {
            let path = home.path().join("kvorum").join(name);
            fs::write(&path, text).expect("written");
            path
        };
        fs::create_dir(home.path().join("kvorum")).expect("created");
        write("token", &token("3"));
        write("config.toml", "endpoints = [\"f:1\"]\ntoken_file = \"token\"");
        let (mut options, mut environment) = (options(&[]), environment(home.path(), None));
        let found = |options: &_, environment: &_| {
            find(options, environment).map(|found| found.token.expect("a token").reveal())
        };
        assert_eq!(found(&options, &environment), Ok(token("3")));
        environment.token = Some(token("2").parse());
        assert_eq!(found(&options, &environment), Ok(token("2")));
        options.token_file = Some(write("mine", &(token("1") + "\n")));
        assert_eq!(found(&options, &environment), Ok(token("1")));
        options.token_file = Some(write("wrong", "secret and not a token"));
        let failure = found(&options, &environment).expect_err("no token");
        assert!(!failure.message().contains("secret and"), "{failure:?}");
    }

    #[test]
    fn a_token_is_not_shown_to_ports_that_nobody_named() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut environment = environment(home.path(), None);
        let token = format!("kvorum_{}_{}", "1".repeat(16), "2".repeat(64));
        environment.token = Some(token.parse());
        let failure = find(&options(&[]), &environment).expect_err("nobody was named");
        assert_eq!(failure.code(), ExitCode::Usage);
        assert!(failure.advice().iter().any(|line| line.contains("--endpoint")), "{failure:?}");
        let found = find(&options(&["h:1"]), &environment).expect("named");
        assert!(found.token.is_some());
    }

    #[test]
    fn a_named_config_file_that_is_missing_is_an_error() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut options = options(&[]);
        options.config = Some(home.path().join("nothing.toml"));
        let failure = find(&options, &environment(home.path(), None)).expect_err("no such file");
        assert_eq!(failure.code(), ExitCode::Usage);
    }

    #[test]
    fn when_nobody_answers_the_exit_code_is_3_and_it_says_what_to_do() {
        let found = find(&options(&[]), &Environment::default()).expect("dev ports");
        let failure = nobody_answers(
            &found,
            &[(found.endpoints[0].clone(), "connection refused".to_owned())],
        );
        assert_eq!(failure.code(), ExitCode::Unavailable);
        assert!(failure.advice().iter().any(|line| line.contains("kv dev")), "{failure:?}");
    }
}

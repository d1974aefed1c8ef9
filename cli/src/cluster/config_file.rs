//! The client's config file: where the cluster is and who we are there.
//!
//! `kv cluster init` writes one into the client directory, next to the certificates it names; copied to
//! `~/.config/kvorum/`, it makes every verb work without options.

use std::fs;
use std::path::{Path, PathBuf};

use kvorum_client::{Endpoint, Identity};
use kvorum_protocol::AccessToken;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

/// The file as it is written. Paths are relative to the file's own directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigText {
    /// The cluster's name: a node of another cluster is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// Nodes to ask first, as `--endpoint` takes them.
    pub(crate) endpoints: Vec<String>,
    /// The cluster's CA certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// The private key of our certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// A file with an access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
}

impl ConfigText {
    /// The file's text, each key with what it means.
    pub(crate) fn render(&self) -> Outcome<String> {
        let body = toml::to_string(self).map_err(|error| {
            Failure::usage(format!("cannot write the client's config: {error}"))
        })?;
        Ok(format!("{HEADER}{body}"))
    }
}

/// What stands above the keys.
const HEADER: &str = "\
# Settings of a Kvorum client. Copied to ~/.config/kvorum/config.toml they make every kv verb find the cluster.
#
# cluster      the cluster's name: nodes of another cluster are refused
# endpoints    nodes to ask first, NODE-ID@HOST:PORT; any one that answers tells of all others
# ca           the cluster's authority; paths are relative to this file
# certificate  the client's certificate
# key          its private key: keep it secret
#
# A client with an access token needs the authority, but no certificate and no key of its own:
# token_file   a file with the token: keep it secret

";

/// The file, read and checked.
#[derive(Debug, Clone)]
pub(crate) struct ClientConfig {
    /// Where it was.
    pub(crate) path: PathBuf,
    /// The cluster's name.
    pub(crate) cluster: Option<String>,
    /// Nodes to ask first.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Who we are; `None` only for a cluster without certificates.
    pub(crate) identity: Option<Identity>,
    /// Where our access token is.
    pub(crate) token_file: Option<PathBuf>,
}

/// Reads a file that holds an access token and nothing else. What is in it is never repeated in a message.
///
/// # Errors
/// A usage failure that names the file.
pub(crate) fn read_token(path: &Path) -> Outcome<AccessToken> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let wrong = |error| Failure::usage(format!("{}: {error}", path.display()));
    text.trim().parse().map_err(wrong)
}

impl ClientConfig {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A usage failure that names the file and what is wrong with it.
    pub(crate) fn read(path: &Path) -> Outcome<ClientConfig> {
        let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
        let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        let raw: ConfigText = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let endpoints = raw.endpoints.iter().map(|text| {
            text.parse::<Endpoint>().map_err(|error| wrong(format!("endpoint {text:?}: {error}")))
        });
        let endpoints = endpoints.collect::<Outcome<Vec<Endpoint>>>()?;
        let identity = match (&raw.ca, &raw.certificate, &raw.key) {
            (None, None, None) => None,
            (Some(ca), None, None) => Some(read_authority(path, ca)?),
            (Some(ca), Some(certificate), Some(key)) => {
                Some(read_identity(path, [ca, certificate, key])?)
            }
            _ => {
                return Err(wrong(
                    "ca, certificate and key belong together: give all three, ca alone, or none"
                        .to_owned(),
                ));
            }
        };
        let directory = path.parent().unwrap_or(Path::new("."));
        let token_file = raw.token_file.map(|file| directory.join(file));
        let (path, cluster) = (path.to_owned(), raw.cluster);
        Ok(ClientConfig { path, cluster, endpoints, identity, token_file })
    }

    /// The endpoint with the node id that this file knows for the same address.
    pub(crate) fn complete(&self, endpoint: Endpoint) -> Endpoint {
        if endpoint.node.is_some() || endpoint.transport.is_some() {
            return endpoint;
        }
        let same = |known: &&Endpoint| known.host == endpoint.host && known.port == endpoint.port;
        self.endpoints.iter().find(same).cloned().unwrap_or(endpoint)
    }
}

fn read_authority(config: &Path, ca: &Path) -> Outcome<Identity> {
    let path = config.parent().unwrap_or(Path::new(".")).join(ca);
    let pem = fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
    Identity::authority_only(&pem)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn read_identity(config: &Path, files: [&PathBuf; 3]) -> Outcome<Identity> {
    let directory = config.parent().unwrap_or(Path::new("."));
    let read = |file: &PathBuf| {
        let path = directory.join(file);
        fs::read(&path).map_err(|error| Failure::file("read", &path, &error))
    };
    let [ca, certificate, key] = files;
    Identity::from_pem(&read(ca)?, &read(certificate)?, &read(key)?).map_err(|error| {
        Failure::usage(format!("the certificates named by {}: {error}", config.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::ClientConfig;

    fn read(text: &str) -> Result<ClientConfig, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("config.toml");
        fs::write(&path, text).expect("written");
        ClientConfig::read(&path).map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn mistakes_are_named_with_the_file() {
        for (text, expected) in [
            ("endpoints = [\"nowhere\"]", "nowhere"),
            ("endpoints = []\nendpoint = []", "endpoint"),
            ("endpoints = []\nkey = \"client.key\"", "belong together"),
            ("endpoints = []\nca = \"ca.pem\"", "cannot read"),
            ("endpoints = []\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"", "cannot read"),
        ] {
            let error = read(text).expect_err("a mistake");
            assert!(
                error.contains(expected)
                    && (error.contains("config.toml") || error.contains("cannot read")),
                "{error}"
            );
        }
    }

    #[test]
    fn an_address_without_an_id_takes_the_id_of_the_file() {
        let id = "00ab00000000000000000000000000ff";
        let config = read(&format!("endpoints = [\"{id}@h:7401\"]")).expect("a good file");
        let complete = |text: &str| config.complete(text.parse().expect("an endpoint")).to_string();
        assert_eq!(complete("h:7401"), format!("{id}@h:7401"));
        assert_eq!(complete("h:7402"), "h:7402");
        assert_eq!(complete("plain://h:7401"), "plain://h:7401");
    }
}

//! Takes renewed certificates into use while the node runs.
//!
//! The node reads its three small files every other moment and compares them with what it uses. That needs no signal that
//! somebody might forget, and works the same for `kv cert renew`, for a copy over the network and for whatever else replaces
//! files. Content that has changed is looked at twice before it counts, because several files are not replaced in one
//! step. Then it is checked as at a start; what does not pass is logged once and leaves the old credentials in use.
//!
//! Handshakes that begin later use the new credentials, at every door and when dialling. Open connections live on. A
//! certificate that nobody renews is warned of, 30, 7 and 1 days ahead and when it is over.
//!
//! **Not here:** the context keys and the settings, which a node reads at its start only.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use kvorum_ring::NodeId;
use quinn::Endpoint;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::identity::{
    CLIENT_NAME, CredentialFiles, Credentials, CredentialsError, ExpiryStage, PeerName,
};
use crate::runtime::clock::Clock;
use crate::runtime::error::RunError;
use crate::runtime::limits;
use crate::runtime::metrics::Meters;
use crate::runtime::security::{Current, Security};

/// Whose credentials, and where they are.
#[derive(Clone)]
pub(crate) struct Home {
    /// The node.
    pub(crate) node: NodeId,
    /// The directory of the three files.
    pub(crate) directory: PathBuf,
}

impl Home {
    /// Understands three files and checks that they are this node's.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn credentials(&self, files: &CredentialFiles) -> Result<Credentials, RunError> {
        let credentials = Credentials::parse(&self.directory, files)?;
        let configured = self.node;
        match PeerName::of(&credentials.chain())? {
            PeerName::Node(node) if node == configured => Ok(credentials),
            PeerName::Node(node) => {
                Err(RunError::OtherNode { configured, certified: node.to_string() })
            }
            PeerName::Client => {
                Err(RunError::OtherNode { configured, certified: CLIENT_NAME.to_owned() })
            }
        }
    }
}

/// What a look at the files found.
enum Look {
    /// Nothing, or nothing new.
    Same,
    /// Renewed credentials, checked.
    Renewed(Box<Security>),
    /// Something new that cannot be used.
    Refused(String),
}

/// Compares what is found with what is used.
struct Comparison {
    home: Home,
    used: CredentialFiles,
    /// What the last look found, when it was something else.
    last: Option<Result<CredentialFiles, String>>,
    /// What has been said about it.
    said: Option<String>,
}

impl Comparison {
    fn look(&mut self, found: Result<CredentialFiles, CredentialsError>, now: SystemTime) -> Look {
        let found = found.map_err(|error| error.to_string());
        if found.as_ref() == Ok(&self.used) {
            (self.last, self.said) = (None, None);
            return Look::Same;
        }
        if self.last.as_ref() != Some(&found) {
            (self.last, self.said) = (Some(found), None);
            return Look::Same;
        }
        // Twice the same: nobody is writing any more.
        let checked = found.and_then(|files| {
            let security = self.check(&files, now).map_err(|error| error.to_string())?;
            Ok((files, security))
        });
        match checked {
            Ok((files, security)) => {
                self.used = files;
                (self.last, self.said) = (None, None);
                Look::Renewed(Box::new(security))
            }
            Err(error) if self.said.as_ref() == Some(&error) => Look::Same,
            Err(error) => {
                self.said = Some(error.clone());
                Look::Refused(error)
            }
        }
    }

    fn check(&self, files: &CredentialFiles, now: SystemTime) -> Result<Security, RunError> {
        let credentials = self.home.credentials(files)?;
        credentials.check(now)?;
        Security::of(&credentials)
    }
}

/// The endpoints that are told of renewed credentials.
pub(crate) struct Endpoints {
    /// Where nodes connect.
    pub(crate) peers: Endpoint,
    /// Where clients connect over QUIC.
    pub(crate) clients: Endpoint,
}

/// Looks after a node's credentials.
pub(crate) struct Renewal {
    comparison: Comparison,
    security: watch::Sender<Rc<Security>>,
    warned: ExpiryStage,
}

impl Renewal {
    /// Begins with the credentials of a start. They have to be the cluster's; being out of date does not keep a node from
    /// starting, because its clock may be set right or its certificate renewed while it runs.
    ///
    /// # Errors
    /// What is wrong with the credentials.
    pub(crate) fn begin(home: Home, now: SystemTime) -> Result<(Renewal, Current), RunError> {
        use kvorum_protocol::CertificateFault::{Expired, NotYetValid};
        let used = CredentialFiles::read(&home.directory)?;
        let credentials = home.credentials(&used)?;
        match credentials.check(now) {
            Err(error @ CredentialsError::Fault(Expired | NotYetValid)) => {
                tracing::error!(%error, "nobody will accept this node's certificate");
            }
            checked => checked?,
        }
        let (security, current) = watch::channel(Rc::new(Security::of(&credentials)?));
        let comparison = Comparison { home, used, last: None, said: None };
        Ok((Renewal { comparison, security, warned: ExpiryStage::Far }, current))
    }

    /// Goes on for as long as the task runs.
    pub(crate) async fn keep(mut self, clock: Clock, endpoints: Endpoints, meters: Rc<Meters>) {
        loop {
            let now_ms = clock.now().wall_ms;
            self.warn(now_ms);
            sleep(limits::CREDENTIALS_LOOKED_AT_EVERY).await;
            let directory = self.comparison.home.directory.clone();
            // A disk may hang, and then nothing else shall.
            let read = spawn_blocking(move || CredentialFiles::read(&directory)).await;
            let Ok(found) = read else { continue };
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.now().wall_ms);
            match self.comparison.look(found, now) {
                Look::Same => {}
                Look::Renewed(security) => {
                    endpoints.peers.set_server_config(Some(security.peers.clone()));
                    endpoints.clients.set_server_config(Some(security.clients_quic.clone()));
                    meters.credentials.taken();
                    tracing::info!(
                        expires_in_days = days_left(security.expires_at_ms, now_ms),
                        "renewed certificates are in use"
                    );
                    self.security.send_replace(Rc::new(*security));
                    self.warned = ExpiryStage::Far;
                }
                Look::Refused(error) => {
                    meters.credentials.refused();
                    let directory = self.directory().display();
                    tracing::error!(
                        %directory, error,
                        "the changed certificates cannot be used; those from before stay in use"
                    );
                }
            }
        }
    }

    fn directory(&self) -> &Path {
        &self.comparison.home.directory
    }

    /// Says once in each stage that the end of the certificate comes nearer.
    fn warn(&mut self, now_ms: u64) {
        let expires_at_ms = self.security.borrow().expires_at_ms;
        let stage = ExpiryStage::at(expires_at_ms, now_ms);
        if stage > self.warned {
            let directory = self.directory().display();
            match stage {
                ExpiryStage::Over => tracing::error!(
                    %directory,
                    "this node's certificate has expired: no new connection will be accepted; kv cert renew makes a new one"
                ),
                _ => tracing::warn!(
                    %directory, days = days_left(expires_at_ms, now_ms),
                    "this node's certificate expires soon; kv cert renew makes a new one"
                ),
            }
        }
        self.warned = stage;
    }
}

fn days_left(expires_at_ms: u64, now_ms: u64) -> u64 {
    expires_at_ms.saturating_sub(now_ms) / (24 * 3_600 * 1_000)
}

#[cfg(test)]
mod tests;

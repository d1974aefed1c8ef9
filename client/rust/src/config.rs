//! What a client is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use kvorum_protocol::AccessToken;

use crate::endpoint::Endpoint;
use crate::identity::Identity;

/// Where the cluster is, who we are, how long a request may take.
///
/// ```
/// use std::time::Duration;
/// use kvorum_client::{Config, Endpoint};
///
/// let config = Config::new([Endpoint::loopback(7401), Endpoint::loopback(7411)])
///     .cluster("dev")
///     .deadline(Duration::from_secs(2));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) identity: Option<Identity>,
    pub(crate) token: Option<AccessToken>,
    pub(crate) cluster: Option<Arc<str>>,
    pub(crate) deadline: Duration,
    pub(crate) attempts: u32,
    pub(crate) in_flight: usize,
}

impl Config {
    /// Nodes to ask first. One that answers is enough: it tells of all others.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Config {
        let deadline =
            Duration::from_millis(u64::from(kvorum_protocol::limits::DEADLINE_DEFAULT_MS));
        Config {
            endpoints: endpoints.into_iter().collect(),
            identity: None,
            token: None,
            cluster: None,
            deadline,
            attempts: crate::limits::ATTEMPTS,
            in_flight: crate::limits::IN_FLIGHT,
        }
    }

    /// Our certificate, or the authority alone beside a token: needed for every address that is not loopback.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Config {
        self.identity = Some(identity);
        self
    }

    /// The access token that we show: it alone then decides what we may do, whatever certificate we have. It leaves this
    /// machine over TLS and QUIC only.
    #[must_use]
    pub fn token(mut self, token: AccessToken) -> Config {
        self.token = Some(token);
        self
    }

    /// The cluster's name; a node of another cluster is then refused.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<Arc<str>>) -> Config {
        self.cluster = Some(name.into());
        self
    }

    /// How long a request may take when it does not say, retries included. At most a minute
    /// ([`DEADLINE_MAX_MS`](kvorum_protocol::limits::DEADLINE_MAX_MS)).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Config {
        self.deadline = deadline;
        self
    }

    /// How often a request is sent at most, from once to [`limits::ATTEMPTS`](crate::limits::ATTEMPTS) times, which is also
    /// what happens when nobody says. With one attempt every refusal and every silence is the caller's to see and to answer.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Config {
        self.attempts = attempts.clamp(1, crate::limits::ATTEMPTS);
        self
    }

    /// Requests in flight on the connection to one node, at least one; what is more waits for its place within its own
    /// deadline. [`limits::IN_FLIGHT`](crate::limits::IN_FLIGHT), which is as many as a node works on at a time, when nobody says. With
    /// more, it is the node that refuses what is too much, as overloaded and at once.
    #[must_use]
    pub fn in_flight(mut self, requests: usize) -> Config {
        self.in_flight = requests.clamp(1, crate::limits::IN_FLIGHT_MAX);
        self
    }
}

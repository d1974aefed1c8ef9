//! Where a run takes place: in the cluster that was named, or in one that is started for it and stopped afterwards.

use std::collections::BTreeMap;

use kvorum_client::{Client, Config, Transport};

use crate::args::bench::{Carrier, RunArguments};
use crate::cluster::connect::connect_with;
use crate::failure::{Failure, Outcome};
use crate::local::signals::Signals;
use crate::local::{Access, LocalCluster, Plan, Sizing, ports, ready};
use crate::output::Output;

/// A cluster that answers.
pub(crate) struct Site<'a> {
    /// The one that was started for the run; otherwise the one that was named.
    own: Option<&'a LocalCluster>,
    options: &'a RunArguments,
    output: Output,
}

/// Works in a cluster. One that is started for it is stopped whatever comes of it.
///
/// # Errors
/// Of starting and stopping nodes, and of the work.
pub(crate) async fn at_site<T>(
    options: &RunArguments,
    output: Output,
    work: impl AsyncFnOnce(Site<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let Some(nodes) = options.cluster.nodes else {
        return work(Site { own: None, options, output }).await;
    };
    with_own(options, nodes, async |cluster| work(Site::of(cluster, options, output)).await).await
}

/// Works in a cluster of so many nodes that is started for it, and is stopped whatever comes of it.
///
/// # Errors
/// Of starting and stopping nodes, and of the work.
pub(crate) async fn with_own<T>(
    options: &RunArguments,
    nodes: u16,
    work: impl AsyncFnOnce(&mut LocalCluster) -> Outcome<T>,
) -> Outcome<T> {
    let plan = Plan {
        nodes: Some(nodes),
        directory: options.cluster.dir.clone(),
        port_base: Some(options.cluster.port_base),
        log_level: "warn".to_owned(),
        access: match options.cluster.transport {
            Carrier::Plain => Access::Plaintext,
            Carrier::Quic | Carrier::Tls => Access::Certificates,
        },
        sizing: Sizing::own_machines(),
    };
    let mut signals = Signals::watch()?;
    let mut cluster = LocalCluster::open(&plan)?;
    let outcome = tokio::select! {
        () = signals.first() => Err(Failure::unavailable("interrupted")),
        outcome = async {
            start(&mut cluster).await?;
            work(&mut cluster).await
        } => outcome,
    };
    let stopped = cluster.stop(signals.first()).await;
    let outcome = outcome?;
    stopped.map(|()| outcome)
}

async fn start(cluster: &mut LocalCluster) -> Outcome<()> {
    let nodes: Vec<usize> = (0..cluster.nodes().len()).collect();
    ports::await_free(cluster.nodes().iter()).await?;
    for node in &nodes {
        cluster.start(*node)?;
    }
    ready::wait(cluster, &nodes).await
}

impl<'a> Site<'a> {
    /// A cluster that was started for the run.
    pub(crate) fn of(
        cluster: &'a LocalCluster,
        options: &'a RunArguments,
        output: Output,
    ) -> Site<'a> {
        Site { own: Some(cluster), options, output }
    }

    /// A client that knows these nodes of the own cluster to begin with.
    ///
    /// # Errors
    /// Unavailable when none of them answers.
    pub(crate) async fn connect_to(&self, nodes: &[usize]) -> Outcome<Client> {
        match self.own {
            Some(cluster) => self.connect_to_own(cluster, nodes, &|config| config).await,
            None => Err(Failure::usage("the nodes were not started for this run")),
        }
    }

    /// How the nodes are reached, as reports say it.
    pub(crate) fn transport(&self) -> &'static str {
        match (self.own, self.options.cluster.transport) {
            (None, _) => "as configured",
            (Some(_), Carrier::Quic) => "QUIC with mutual TLS",
            (Some(_), Carrier::Tls) => "TCP with mutual TLS",
            (Some(_), Carrier::Plain) => "TCP without TLS",
        }
    }

    /// The processes of the nodes that were started for the run, by name.
    pub(crate) fn pids(&self) -> BTreeMap<String, u32> {
        let Some(own) = self.own else { return BTreeMap::new() };
        let nodes = own.nodes().iter().enumerate();
        nodes.filter_map(|(position, node)| Some((node.name.clone(), own.pid(position)?))).collect()
    }

    /// As many clients as there are to be connections to each node, made by what the options say and `adjust` changes.
    ///
    /// # Errors
    /// Unavailable when no node answers.
    pub(crate) async fn connect(
        &self,
        connections: usize,
        adjust: impl Fn(Config) -> Config,
    ) -> Outcome<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(match self.own {
                Some(cluster) => {
                    let all: Vec<usize> = (0..cluster.nodes().len()).collect();
                    self.connect_to_own(cluster, &all, &adjust).await?
                }
                None => connect_with(&self.options.connection, self.output, &adjust).await?,
            });
        }
        Ok(clients)
    }

    async fn connect_to_own(
        &self,
        cluster: &LocalCluster,
        nodes: &[usize],
        adjust: &impl Fn(Config) -> Config,
    ) -> Outcome<Client> {
        let transport = match self.options.cluster.transport {
            Carrier::Quic => Some(Transport::Quic),
            Carrier::Tls => Some(Transport::Tls),
            Carrier::Plain => None,
        };
        let config = cluster.client_config(nodes, transport)?;
        let config = adjust(config.deadline(self.options.connection.timeout));
        Client::connect(config).await.map_err(|error| Failure::unavailable(error.to_string()))
    }
}

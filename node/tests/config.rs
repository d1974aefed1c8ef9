//! `kvorum.toml`: what is rendered parses, and what is wrong is named.

use kvorum_gossip::facts::NodeAddresses;
use kvorum_node::config::{
    ClusterConfig, Config, ConfigError, Invalid, ListenConfig, LogConfig, LogFormat, MemberConfig,
    NodeConfig, PathsConfig, StoreConfig,
};
use kvorum_ring::{NodeId, PartitionCount, Weight, Zone};

fn member(number: u128) -> MemberConfig {
    MemberConfig {
        id: NodeId(number),
        name: format!("n{number}"),
        addresses: NodeAddresses {
            peers: format!("host-{number}.example:7400"),
            clients: "[2001:db8::1]:7401".to_owned(),
            admin: "10.0.0.1:7402".to_owned(),
        },
        zone: format!("rack-{number}").parse::<Zone>().unwrap(),
        weight: Weight::new(50).unwrap(),
    }
}

fn config() -> Config {
    Config {
        node: NodeConfig { id: NodeId(2), name: "n2".to_owned() },
        cluster: ClusterConfig {
            name: "prod".to_owned(),
            partitions: PartitionCount::new(64).unwrap(),
            members: vec![member(1), member(2), member(3)],
        },
        listen: ListenConfig {
            peers: "0.0.0.0:7400".parse().unwrap(),
            clients: "127.0.0.1:7401".parse().unwrap(),
            admin: "0.0.0.0:7402".parse().unwrap(),
            dev_plaintext: true,
        },
        paths: PathsConfig { log: "/data/a \"quoted\" place/log".into(), ..PathsConfig::default() },
        store: StoreConfig {
            segment_mib: 8,
            table_mib: 4,
            index_cache_mib: 16,
            bearing_hints_mib: 3,
            spare_hints_mib: 0,
            spare_hints_minutes: 5,
        },
        log: LogConfig { level: "info,kvorum_node=debug".to_owned(), format: LogFormat::Json },
    }
}

#[test]
fn what_is_rendered_parses_to_the_same_settings() {
    let text = config().render();
    assert_eq!(Config::parse(&text), Ok(config()), "{text}");
    for line in text.lines().filter(|line| line.contains(" = ")) {
        let above = text[..text.find(line).unwrap()].lines().last().unwrap_or_default();
        let listed = ["id =", "name =", "peers =", "clients =", "admin ="]
            .iter()
            .any(|key| line.starts_with(key));
        assert!(above.starts_with('#') || listed, "no comment above: {line}");
    }
}

#[test]
fn a_file_with_only_what_is_needed_has_the_defaults() {
    let minimal: String = config()
        .render()
        .lines()
        .filter(|line| {
            let optional = [
                "[paths]",
                "[store]",
                "[log]",
                "partitions",
                "dev_",
                "certificates",
                "context_",
                "log =",
            ];
            let more = ["index", "segment", "table", "level", "format", "zone", "weight"];
            let hints = ["bearing", "spare"];
            !optional.iter().chain(&more).chain(&hints).any(|key| line.starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let parsed = Config::parse(&minimal).unwrap();
    assert_eq!(parsed.paths, PathsConfig::default());
    assert_eq!(parsed.store, StoreConfig::default());
    assert_eq!(parsed.log, LogConfig::default());
    assert_eq!(parsed.cluster.partitions, PartitionCount::default());
    assert_eq!(parsed.cluster.members[0].zone, Zone::default());
    assert!(!parsed.listen.dev_plaintext);
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let text = config().render().replace("dev_plaintext", "dev_plaintxt");
    let Err(Invalid::Syntax(error)) = Config::parse(&text) else { panic!("refused") };
    assert!(error.to_string().contains("dev_plaintxt"), "{error}");
    let text = config().render().replace("[store]", "[stroe]");
    assert!(Config::parse(&text).unwrap_err().to_string().contains("stroe"));
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Config)) -> Invalid {
    let mut config = config();
    change(&mut config);
    Config::parse(&config.render()).unwrap_err()
}

#[test]
fn settings_that_cannot_hold_are_refused() {
    assert_eq!(refused(|config| config.node.id = NodeId(9)), Invalid::NotAMember(NodeId(9)));
    assert!(matches!(refused(|config| config.node.name = "n1".into()), Invalid::OtherName { .. }));
    assert!(matches!(refused(|config| config.node.name = "a b".into()), Invalid::Name { .. }));
    assert_eq!(
        refused(|config| config.cluster.members[0].id = NodeId(2)),
        Invalid::MemberTwice(NodeId(2))
    );
    assert_eq!(
        refused(|config| config.cluster.members[0].name = "n3".into()),
        Invalid::NameTwice("n3".into())
    );
    assert!(matches!(refused(|config| config.store.segment_mib = 0), Invalid::Range { .. }));
    assert!(matches!(
        refused(|config| config.listen.admin = config.listen.peers),
        Invalid::PortTwice(_)
    ));
    for address in
        ["host", "host:", "host:0", ":7400", "ho st:7400", "2001:db8::1:7400", "[host]:7400"]
    {
        let error = refused(|config| config.cluster.members[0].addresses.peers = address.into());
        assert!(matches!(error, Invalid::Address { .. }), "{address}: {error}");
    }
}

#[test]
fn plaintext_is_only_possible_on_loopback() {
    for address in ["0.0.0.0:7401", "10.0.0.1:7401", "127.0.0.2:7401", "[::1]:7401"] {
        let error = refused(|config| config.listen.clients = address.parse().unwrap());
        assert!(matches!(error, Invalid::PlaintextBeyondLoopback(_)), "{address}: {error}");
    }
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let error = Config::load(directory.path()).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    assert!(error.to_string().contains("kvorum.toml"), "{error}");
}

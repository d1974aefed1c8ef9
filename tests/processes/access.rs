//! Access tokens as people use them: over TLS and QUIC, between processes, with files and environment variables.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::dev::directory;
use crate::kv::{self, Run};
use crate::three_machines::{Node, free_base, start};
use crate::until::until;
use crate::values::random_bytes;

/// A cluster of one node made by `kv cluster init`, running, with its operator's home.
struct Guarded {
    home: tempfile::TempDir,
    out: PathBuf,
    _node: Node,
}

/// The directories of a cluster of one node.
fn guarded_directories(home: &Path, name: &str) -> PathBuf {
    let out = home.join(name);
    // The tests run side by side, so each cluster looks for its ports somewhere else.
    static CLUSTERS: AtomicU64 = AtomicU64::new(1);
    let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    let seed = u64::from(std::process::id()) << 8 | number;
    let mut draws = random_bytes(seed, 4_096).into_iter();
    let node = format!("n1=127.0.0.1:{}", free_base(&mut draws));
    let mut init = kv::command(home);
    init.args(["cluster", "init", "--node", &node, "--out"]).arg(&out);
    kv::run(init, b"").expect(0);
    out
}

fn guarded() -> Guarded {
    let home = directory();
    let out = guarded_directories(home.path(), "cluster");
    let node = start(home.path(), &out.join("n1"));
    let guarded = Guarded { home, out, _node: node };
    until("the node is up", Duration::from_secs(30), || {
        (guarded.operator(&["status"]).code == Some(0)).then_some(())
    });
    guarded
}

impl Guarded {
    fn operator(&self, arguments: &[&str]) -> Run {
        let mut command = kv::command(self.home.path());
        command.args(arguments).arg("--config").arg(self.out.join("client/config.toml"));
        kv::run(command, b"")
    }

    /// The config of a client that has the authority's certificate and the addresses, and nothing else.
    fn stranger(&self) -> PathBuf {
        let text = std::fs::read_to_string(self.out.join("client/config.toml")).expect("a config");
        let owns = |line: &&str| !line.starts_with("certificate =") && !line.starts_with("key =");
        let text: Vec<&str> = text.lines().filter(owns).collect();
        let path = self.out.join("client/stranger.toml");
        std::fs::write(&path, text.join("\n")).expect("written");
        path
    }
}

/// Runs `kv` with a config and, in the environment, a token.
fn bearer(home: &Path, config: &Path, token: Option<&str>, arguments: &[&str]) -> Run {
    let mut command = kv::command(home);
    command.args(arguments).arg("--config").arg(config);
    if let Some(token) = token {
        command.env("KVORUM_TOKEN", token);
    }
    kv::run(command, b"")
}

#[test]
fn a_renewed_certificate_is_for_the_same_key_and_valid_for_longer() {
    let cluster = guarded();
    let (client, authority) = (cluster.out.join("client"), cluster.out.join("authority"));
    let (key, before) = (client.join("client.key"), client.join("client.pem"));
    let content = |path: &Path| std::fs::read(path).expect("readable");
    let (held_key, held) = (content(&key), content(&before));
    let cert = |arguments: &[&str]| {
        let mut command = kv::command(cluster.home.path());
        command.arg("cert").args(arguments);
        kv::run(command, b"")
    };
    let (client, authority) = (client.to_str().expect("UTF-8"), authority.to_str().expect("UTF-8"));
    let expires = |run: Run| run.expect(0).json()["certificates"][0]["expires_at_ms"].as_u64();
    let first = expires(cert(&["show", client, "--json"])).expect("a date");
    let second = expires(cert(&["renew", "--dir", client, "--ca", authority, "--json"]));
    assert!(second.expect("a date") >= first);
    assert!(content(&key) == held_key && content(&before) != held);
    cluster.operator(&["status"]).expect(0);
    // A node's status says when its own expires.
    let status = cluster.operator(&["status", "--json"]).expect(0).json();
    let told = status["nodes"][0]["figures"]["certificate_expires_at_ms"].as_u64();
    let node = cluster.out.join("n1");
    assert_eq!(told, expires(cert(&["show", node.to_str().expect("UTF-8"), "--json"])));
    // Another cluster's authority renews nothing.
    let other = guarded_directories(cluster.home.path(), "other");
    let other = other.join("authority");
    let other = other.to_str().expect("UTF-8");
    cert(&["renew", "--dir", client, "--ca", other]).expect(2);
    cert(&["renew", "--dir", authority, "--ca", authority]).expect(2);
}

#[test]
fn certificates_of_another_cluster_are_refused_with_a_reason_and_a_remedy() {
    let cluster = guarded();
    let other = guarded_directories(cluster.home.path(), "other").join("client");
    let mixed = cluster.home.path().join("mixed");
    std::fs::create_dir(&mixed).expect("created");
    let status = |foreign: &[&str]| {
        for name in ["config.toml", "authority.pem", "client.pem", "client.key"] {
            let ours = cluster.out.join("client");
            let from = if foreign.contains(&name) { &other } else { &ours };
            std::fs::copy(from.join(name), mixed.join(name)).expect("copied");
        }
        let mut command = kv::command(cluster.home.path());
        command.arg("status").arg("--config").arg(mixed.join("config.toml"));
        kv::run(command, b"")
    };
    status(&[]).expect(0);
    let refused = status(&["client.pem", "client.key"]).expect(5);
    let expected = "does not accept our certificate: it is of another authority";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    let refused = status(&["authority.pem"]).expect(5);
    let expected = "the node's certificate is of another authority";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    assert!(refused.stderr.contains("authority.pem of one and the same cluster"));
    // The node has counted both, and its log names them.
    let diagnosis = cluster.operator(&["diag", "--json"]).expect(0).text();
    for whose in ["theirs", "ours"] {
        let labels = [("door", "clients"), ("whose", whose), ("fault", "foreign_authority")];
        let labels = labels.map(|(name, value)| format!(r#"{name}=\"{value}\""#)).join(",");
        let series = format!("kvorum_certificates_refused_total{{{labels}}}");
        assert!(diagnosis.contains(&series), "{series}");
    }
    for line in ["is of another authority", "does not accept this node's certificate"] {
        assert!(diagnosis.contains(line), "{line}");
    }
}

#[test]
fn a_token_opens_what_it_was_made_for_until_it_is_revoked() {
    let cluster = guarded();
    let stranger = cluster.stranger();
    let home = cluster.home.path();
    let run = |token: Option<&str>, arguments: &[&str]| bearer(home, &stranger, token, arguments);

    let made = cluster.operator(&["auth", "create", "shop", "--bucket", "default:read,write"]);
    let token = made.expect(0).text();
    assert!(token.starts_with("kvorum_") && token.lines().count() == 1, "the token alone");
    run(Some(&token), &["put", "greeting", "hello"]).expect(0);
    assert_eq!(run(Some(&token), &["get", "greeting"]).expect(0).text(), "hello");
    run(Some(&token), &["status"]).expect(0);

    // The same over a file, and over each transport.
    let file = home.join("shop.token");
    std::fs::write(&file, format!("{token}\n")).expect("written");
    let file = file.to_str().expect("a path of UTF-8");
    let text = std::fs::read_to_string(&stranger).expect("a config");
    let address =
        text.lines().find_map(|line| line.split('"').nth(1).filter(|it| it.contains('@')));
    for scheme in ["tls", "quic"] {
        let endpoint = format!("{scheme}://{}", address.expect("an address with its node's id"));
        let arguments = ["get", "greeting", "--endpoint", &endpoint, "--token-file", file];
        assert_eq!(run(None, &arguments).expect(0).text(), "hello", "{scheme}");
        let run = run(None, &["get", "greeting", "--endpoint", &endpoint]).expect(5);
        assert!(run.stdout.is_empty() && run.stderr.contains("access token"), "{}", run.stderr);
    }

    // What it was not made for.
    let refused = run(Some(&token), &["bucket", "create", "other"]).expect(5);
    assert!(refused.stderr.contains("admin in bucket other"), "{}", refused.stderr);
    for arguments in [&["auth", "ls"][..], &["auth", "create", "x", "--bucket", "*:read"]] {
        let refused = run(Some(&token), arguments).expect(5);
        assert!(refused.stderr.contains("operator"), "{}", refused.stderr);
    }
    let refused = run(Some(&token), &["stats"]).expect(5);
    assert!(refused.text().contains("tells nothing: ") && refused.text().contains("operator"));
    cluster.operator(&["stats"]).expect(0);
    let last = if token.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", &token[..token.len() - 1]);
    assert!(run(Some(&forged), &["get", "greeting"]).expect(5).stderr.contains("wrong"));
    run(Some("no token"), &["get", "greeting"]).expect(2);

    // Nobody shows it again, and nowhere on the node's disk is it.
    let secret = token.rsplit_once('_').expect("a secret").1;
    let listed = cluster.operator(&["auth", "ls", "--json"]).expect(0);
    assert!(!listed.text().contains(secret));
    assert_eq!(listed.json()["tokens"][0]["state"], "valid");
    let raw: Vec<u8> = (0..secret.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&secret[at..at + 2], 16).expect("hex"))
        .collect();
    let facts = std::fs::read(cluster.out.join("n1/facts")).expect("the facts");
    assert!(!facts.windows(raw.len()).any(|window| window == raw), "the secret is not stored");

    cluster.operator(&["auth", "revoke", "shop"]).expect(0);
    let refused = run(Some(&token), &["get", "greeting"]).expect(5);
    assert!(refused.stderr.contains("revoked"), "{}", refused.stderr);
    cluster.operator(&["auth", "revoke", "shop"]).expect(1);
    let listed = cluster.operator(&["auth", "ls", "--json"]).expect(0);
    assert_eq!(listed.json()["tokens"][0]["state"], "revoked");
}

#[test]
fn a_token_takes_no_more_than_it_was_made_for() {
    let cluster = guarded();
    let create = ["auth", "create", "few", "--bucket", "*:read,write", "--in-flight", "9"];
    let made = cluster.operator(&[&create[..], &["--rate", "1"]].concat());
    let token = made.expect(0).text();
    cluster.operator(&[&create[..], &["--rate", "0"]].concat()).expect(2);
    let listed = cluster.operator(&["auth", "ls", "--json"]).expect(0).json();
    let listed = &listed["tokens"][0];
    assert_eq!((listed["in_flight"].as_u64(), listed["rate"].as_u64()), (Some(9), Some(1)));
    let table = cluster.operator(&["auth", "ls"]).expect(0).text();
    assert!(table.contains("in flight") && table.contains("per second"), "{table}");

    // One a second, over whichever connections: the second one waits, as it is told to.
    let config = cluster.stranger();
    for _ in 0..2 {
        bearer(cluster.home.path(), &config, Some(&token), &["put", "greeting", "hello"]).expect(0);
    }
    until("a request over the rate", Duration::from_secs(30), || {
        bearer(cluster.home.path(), &config, Some(&token), &["get", "greeting"]).expect(0);
        let diagnosis = cluster.operator(&["diag"]).expect(0).text();
        let over = diagnosis.lines().find_map(|line| {
            line.trim().strip_prefix("kvorum_token_over_rate_total ")?.parse::<f64>().ok()
        });
        over.filter(|over| *over > 0.0)
    });
}

//! The admin port as a scraper meets it: every line of what it tells is Prometheus' text, the figures move by what was done,
//! and beyond loopback nobody gets anything without a certificate.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::dev::{Dev, directory};
use crate::kv;
use crate::three_machines::{free_base, start};
use crate::until::until;
use crate::values::random_bytes;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Values by series, a series being a name with its labels as they stand.
type Series = BTreeMap<String, f64>;

/// What is announced of a family.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
}

impl Family<'_> {
    /// Whether a sample of this name belongs to it.
    fn has(&self, name: &str) -> bool {
        let suffix = name.strip_prefix(self.name);
        match self.kind {
            "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
            _ => suffix == Some(""),
        }
    }
}

/// Reads the exposition format strictly: what a scraper could not understand fails.
fn parse(text: &str) -> Series {
    assert!(text.ends_with('\n'), "the last line ends, too");
    let (mut series, mut family, mut help) = (Series::new(), None, None);
    let mut families = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(_)) => help = Some(name),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                assert_eq!(help, Some(name), "help stands before the type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                assert!(!families.contains(&name), "{name} is announced once");
                families.push(name);
                family = Some(Family { name, kind });
            }
            _ => {
                let (named, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
                let name = checked_name(named);
                assert!(family.as_ref().is_some_and(|family| family.has(name)), "{line}");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(value.is_finite() && value >= 0.0, "{line}");
                assert!(series.insert(named.to_owned(), value).is_none(), "twice: {line}");
            }
        }
    }
    check_histograms(&series);
    series
}

/// The name of a series whose labels, if there are any, are written as they have to be.
fn checked_name(named: &str) -> &str {
    let is_word = |word: &str| {
        let is_sign = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        !word.is_empty()
            && word.chars().all(is_sign)
            && !word.starts_with(|c: char| c.is_ascii_digit())
    };
    let (name, labels) = match named.split_once('{') {
        None => (named, None),
        Some((name, rest)) => (name, Some(rest.strip_suffix('}').expect("an end"))),
    };
    assert!(is_word(name), "{named}");
    // No value of ours holds a comma or a quote.
    for label in labels.into_iter().flat_map(|labels| labels.split(',')) {
        let (label, value) = label.split_once('=').unwrap_or_else(|| panic!("{named}"));
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        assert!(is_word(label) && value.is_some_and(|value| !value.contains('"')), "{named}");
    }
    name
}

/// The buckets of a histogram grow, and the last one is its count.
fn check_histograms(series: &Series) {
    let mut last: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (named, value) in series {
        let Some((name, labels)) = named.split_once("_bucket{") else { continue };
        let (rest, bound) = labels.split_once("le=\"").expect("a bound");
        let bound = bound.trim_end_matches("\"}").replace("+Inf", "inf").parse().expect("a bound");
        let labels = rest.trim_end_matches(',');
        let count = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        last.entry(format!("{name}_count{count}")).or_default().push((bound, *value));
    }
    assert!(!last.is_empty(), "there are histograms");
    for (count, mut buckets) in last {
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        assert!(buckets.is_sorted_by(|left, right| left.1 <= right.1), "{count}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, series[&count])), "{count}");
    }
}

/// One request over a stream; the status line, the head and the body.
fn request(mut stream: impl Read + Write, path: &str) -> io::Result<(String, String, String)> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let (status, head) = head.split_once("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((status.to_owned(), head.to_owned(), body.to_owned()))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The figures of all nodes together.
fn figures(ports: &[u16]) -> Series {
    let mut all = Series::new();
    for port in ports {
        let (status, head, body) = request(connect(*port), "/metrics").expect("an answer");
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        for (named, value) in parse(&body) {
            *all.entry(named).or_default() += value;
        }
    }
    all
}

#[test]
fn the_figures_of_a_node_can_be_scraped_and_move_by_what_was_done() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    let ports = dev.admin_ports();
    let before = figures(&ports);
    for key in ["a", "b", "c"] {
        dev.kv(&["put", key, "value"]).expect(0);
    }
    dev.kv(&["get", "a"]).expect(0);
    dev.kv(&["get", "never written"]).expect(1);
    dev.kv(&["delete", "a"]).expect(0);
    let nowhere = dev.kv(&["put", "a", "value", "--bucket", "nowhere"]);
    assert_ne!(nowhere.code, Some(0));
    let after = figures(&ports);
    let moved = |named: &str| after.get(named).unwrap_or(&0.0) - before.get(named).unwrap_or(&0.0);
    for (named, by) in [
        ("kvorum_requests_total{operation=\"put\",result=\"ok\"}", 3.0),
        ("kvorum_requests_total{operation=\"get\",result=\"ok\"}", 2.0),
        ("kvorum_requests_total{operation=\"delete\",result=\"ok\"}", 1.0),
        ("kvorum_request_seconds_count{operation=\"get\"}", 2.0),
        ("kvorum_quorums_total{kind=\"write\",outcome=\"met\"}", 4.0),
        ("kvorum_writes_applied_total", 4.0),
        ("kvorum_requests_refused_total", 1.0),
    ] {
        assert!(moved(named) >= by, "{named}: {} and not {by}", moved(named));
    }
    for named in ["kvorum_store_records_total", "kvorum_store_appended_bytes_total"] {
        assert!(moved(named) >= 8.0, "{named}: {}", moved(named));
    }
    let counts = after.keys().filter(|named| named.starts_with("kvorum_request_seconds_count"));
    for named in counts {
        let operation = named.trim_start_matches("kvorum_request_seconds_count{");
        let of_operation = format!("kvorum_requests_total{{{}", operation.trim_end_matches('}'));
        let all = after.iter().filter(|(other, _)| other.starts_with(&of_operation));
        assert_eq!(all.map(|(_, value)| value).sum::<f64>(), after[named], "{named}");
    }
    assert!(moved("process_cpu_seconds_total") >= 0.0 && after["kvorum_store_keys"] >= 9.0);

    let (status, _, body) = request(connect(ports[0]), "/healthz").expect("an answer");
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
    let (status, _, _) = request(connect(ports[0]), "/").expect("an answer");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    dev.stop();
}

/// A client's side of TLS: the authority of one directory, and a certificate of one, if any.
fn tls(authority: &Path, identity: Option<&Path>) -> Arc<rustls::ClientConfig> {
    let read = |directory: &Path, name| std::fs::read(directory.join(name)).expect("readable");
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(&read(authority, "authority.pem")).expect("PEM");
    roots.add(root).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => tls.with_no_client_auth(),
        Some(directory) => {
            let chain = CertificateDer::from_pem_slice(&read(directory, "client.pem"));
            let key = PrivateKeyDer::from_pem_slice(&read(directory, "client.key")).expect("PEM");
            tls.with_client_auth_cert(vec![chain.expect("PEM")], key).expect("a certificate")
        }
    })
}

#[test]
fn beyond_loopback_figures_are_for_those_with_a_certificate_of_the_cluster() {
    let home = directory();
    let mut draws = random_bytes(u64::from(std::process::id()) + 2, 4_096).into_iter();
    let base = free_base(&mut draws);
    for name in ["cluster", "other"] {
        let mut init = kv::command(home.path());
        init.args(["cluster", "init", "--out"]).arg(home.path().join(name));
        init.arg("--node").arg(format!("n1=127.0.0.1:{base}"));
        kv::run(init, b"").expect(0);
    }
    let out = home.path().join("cluster");
    let settings = out.join("n1/kvorum.toml");
    let text = std::fs::read_to_string(&settings).expect("readable");
    let admin = base + 2;
    let (loopback, everywhere) =
        (format!("admin = \"127.0.0.1:{admin}\""), format!("admin = \"0.0.0.0:{admin}\""));
    assert!(text.contains(&loopback), "{text}");
    // Where it listens stands first; the members' list names the address for others.
    std::fs::write(&settings, text.replacen(&loopback, &everywhere, 1)).expect("written");
    let _node = start(home.path(), &out.join("n1"));
    until("the node answers", Duration::from_secs(30), || {
        let mut status = kv::command(home.path());
        status.args(["status", "--config"]).arg(out.join("client/config.toml"));
        (kv::run(status, b"").code == Some(0)).then_some(())
    });

    let config = std::fs::read_to_string(out.join("client/config.toml")).expect("readable");
    let (id, _) = config.split_once(&format!("@127.0.0.1:{}", base + 1)).expect("its place");
    let name = format!("{}.node.kvorum.internal", &id[id.len() - 32..]);
    let ask = |tls: Arc<rustls::ClientConfig>, path: &str| {
        let name = ServerName::try_from(name.clone()).expect("a DNS name");
        let client = rustls::ClientConnection::new(tls, name).expect("a configuration");
        request(rustls::StreamOwned::new(client, connect(admin)), path)
    };
    let (ours, other) = (out.join("client"), home.path().join("other/client"));
    let (status, _, body) = ask(tls(&ours, Some(&ours)), "/metrics").expect("an answer");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(parse(&body)["kvorum_starts_total"], 1.0);
    let (_, _, body) = ask(tls(&ours, Some(&ours)), "/healthz").expect("an answer");
    assert_eq!(body, "ok\n");

    for path in ["/metrics", "/healthz"] {
        let told = [ask(tls(&ours, None), path), ask(tls(&ours, Some(&other)), path)];
        assert!(told.iter().all(Result::is_err), "without a certificate: {told:?}");
        assert!(request(connect(admin), path).is_err(), "in the clear");
    }
}

//! `kv cert show|renew`: until when certificates are valid, and new ones in time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kvorum_node::config::{CONFIG_FILE, Config};
use kvorum_node::identity::{
    AUTHORITY_FILE, CERTIFICATE_FILE, CERTIFICATE_VALID, ClusterAuthority, PeerName, expires_at_ms,
};
use kvorum_node::provision::{AUTHORITY_KEY_FILE, CLIENT_CERTIFICATE_FILE, renew_certificate};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::args::cert::CertVerb;
use crate::cluster::config_file::ClientConfig;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Runs one of the verbs.
pub(super) fn run(verb: &CertVerb, output: Output) -> Outcome<ExitCode> {
    match verb {
        CertVerb::Show { directories } => show(directories, output),
        CertVerb::Renew { dir, ca, expires } => {
            renew(dir, ca, expires.unwrap_or(CERTIFICATE_VALID))?;
            show(std::slice::from_ref(dir), output)
        }
    }
}

/// Whose certificate a directory holds, and where.
struct Owner {
    /// What people call it.
    who: String,
    /// The cluster's name, as far as the directory tells.
    cluster: Option<String>,
    /// Where certificate and key are.
    certificates: PathBuf,
    certificate: &'static str,
}

fn owner(directory: &Path) -> Outcome<Owner> {
    if directory.join(CONFIG_FILE).is_file() {
        let config = Config::load(directory).map_err(|error| Failure::usage(error.to_string()))?;
        return Ok(Owner {
            who: format!("node {} {}", config.node.name, config.node.id),
            cluster: Some(config.cluster.name),
            certificates: directory.join(config.paths.certificates),
            certificate: CERTIFICATE_FILE,
        });
    }
    let (who, certificate) = if directory.join(CLIENT_CERTIFICATE_FILE).is_file() {
        ("client", CLIENT_CERTIFICATE_FILE)
    } else if directory.join(AUTHORITY_FILE).is_file() {
        ("authority", AUTHORITY_FILE)
    } else {
        let message =
            format!("{}: no directory of a node, client or authority", directory.display());
        return Err(Failure::usage(message));
    };
    let config = directory.join("config.toml");
    let cluster = if config.is_file() { ClientConfig::read(&config)?.cluster } else { None };
    let who = who.to_owned();
    Ok(Owner { who, cluster, certificates: directory.to_owned(), certificate })
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))
}

fn certificate(path: &Path) -> Outcome<CertificateDer<'static>> {
    let pem = read(path)?;
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| Failure::usage(format!("{}: no certificate in PEM", path.display())))
}

fn show(directories: &[PathBuf], output: Output) -> Outcome<ExitCode> {
    let mut table = Table::new(&[
        ("whose", Align::Left),
        ("valid until (UTC)", Align::Left),
        ("file", Align::Left),
    ]);
    let mut documents: Vec<Value> = Vec::new();
    for directory in directories {
        let owner = owner(directory)?;
        let path = owner.certificates.join(owner.certificate);
        let expires_at_ms = expires_at_ms(&certificate(&path)?);
        let is_expired = expires_at_ms.is_some_and(|expires| expires < units::now_ms());
        let until = expires_at_ms.map_or_else(|| "?".to_owned(), units::date);
        let until =
            if is_expired { output.style().bad(&format!("{until} EXPIRED")) } else { until };
        let file = path.display().to_string();
        documents.push(json!({
            "whose": owner.who, "expires_at_ms": expires_at_ms, "expired": is_expired, "file": file,
        }));
        table.row(vec![owner.who, until, file]);
    }
    if output.is_json() {
        output.json(&json!({ "certificates": documents }))?;
    } else {
        output.table(&table)?;
    }
    Ok(ExitCode::Success)
}

fn renew(directory: &Path, ca: &Path, valid: Duration) -> Outcome<()> {
    let owner = owner(directory)?;
    let held = certificate(&owner.certificates.join(owner.certificate))?;
    // The names of the certificate that is there go on, whatever the settings say by now.
    let name = PeerName::of(&[held]).map_err(|error| {
        Failure::usage(format!("{}: {error}", directory.display()))
            .advise("An authority is not renewed: it lives as long as its cluster.")
    })?;
    let Some(cluster) = owner.cluster else {
        let path = directory.join("config.toml");
        return Err(Failure::usage(format!("{}: it must name the cluster", path.display())));
    };
    let root = read(&ca.join(AUTHORITY_FILE))?;
    let trusted = read(&owner.certificates.join(AUTHORITY_FILE))?;
    let issuer = certificate(&ca.join(AUTHORITY_FILE))?;
    if !CertificateDer::pem_slice_iter(trusted.as_bytes()).flatten().any(|it| it == issuer) {
        let message = format!("{} is not an authority of {}", ca.display(), directory.display());
        return Err(Failure::usage(message));
    }
    let key = read(&ca.join(AUTHORITY_KEY_FILE))?;
    let now = SystemTime::now();
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Refused, format!("no new certificate: {error}"))
    };
    let authority =
        ClusterAuthority::open(&cluster, &root, &key, now).map_err(|error| refused(&error))?;
    renew_certificate(&owner.certificates, name, &authority, valid, now)
        .map_err(|error| refused(&error))
}

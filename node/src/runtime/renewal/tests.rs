//! What is taken, what is refused, and what is left alone.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kvorum_ring::NodeId;
use tempfile::TempDir;

use super::{Comparison, Home, Look, Renewal};
use crate::identity::{
    AUTHORITY_FILE, CERTIFICATE_FILE, CERTIFICATE_VALID, ClusterAuthority, CredentialFiles, Issued,
    KEY_FILE,
};

const ME: NodeId = NodeId(7);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn write(directory: &Path, authority: &str, issued: &Issued) {
    let put = |name, text: &str| fs::write(directory.join(name), text).unwrap();
    put(AUTHORITY_FILE, authority);
    put(CERTIFICATE_FILE, &issued.certificate_pem);
    put(KEY_FILE, &issued.key_pem);
}

struct Fixture {
    directory: TempDir,
    authority: ClusterAuthority,
    comparison: Comparison,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let authority = ClusterAuthority::create("test", now()).unwrap();
    write(directory.path(), authority.certificate_pem(), &authority.issue_node(ME, now()).unwrap());
    let home = Home { node: ME, directory: directory.path().to_owned() };
    let (renewal, _current) = Renewal::begin(home, now()).unwrap();
    Fixture { directory, authority, comparison: renewal.comparison }
}

impl Fixture {
    fn look(&mut self) -> Look {
        self.comparison.look(CredentialFiles::read(self.directory.path()), now())
    }

    /// The second look at what was written.
    fn looks(&mut self) -> Look {
        assert!(matches!(self.look(), Look::Same), "the first look only waits");
        self.look()
    }

    fn write(&self, issued: &Issued) {
        write(self.directory.path(), self.authority.certificate_pem(), issued);
    }

    fn issue(&self, node: NodeId, at: SystemTime) -> Issued {
        self.authority.issue_node(node, at).unwrap()
    }

    fn refusal(&mut self) -> String {
        match self.looks() {
            Look::Refused(error) => error,
            Look::Same => panic!("nothing was noticed"),
            Look::Renewed(_) => panic!("it was taken"),
        }
    }
}

#[test]
fn a_renewed_certificate_is_taken_once_it_stands_still() {
    let mut fixture = fixture();
    assert!(matches!(fixture.looks(), Look::Same));
    let later = now() + Duration::from_secs(3_600);
    fixture.write(&fixture.issue(ME, later));
    let Look::Renewed(security) = fixture.looks() else { panic!("not taken") };
    let expires = later + CERTIFICATE_VALID;
    let expires = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(u128::from(security.expires_at_ms), expires);
    assert!(matches!(fixture.looks(), Look::Same), "it is taken once");
}

#[test]
fn what_is_being_written_is_not_judged() {
    let mut fixture = fixture();
    let renewed = fixture.issue(ME, now());
    // A new certificate beside the old key, then the new key.
    fs::write(fixture.directory.path().join(CERTIFICATE_FILE), &renewed.certificate_pem).unwrap();
    assert!(matches!(fixture.look(), Look::Same));
    fixture.write(&renewed);
    assert!(matches!(fixture.looks(), Look::Renewed(_)));
}

#[test]
fn what_cannot_be_used_leaves_the_old_in_use_and_is_said_once() {
    type Issue = fn(&Fixture) -> Issued;
    let cases: [(&str, Issue); 5] = [
        ("has expired", |it| it.issue(ME, now() - CERTIFICATE_VALID - Duration::from_secs(1))),
        ("is not valid yet", |it| it.issue(ME, now() + Duration::from_secs(3 * 24 * 3_600))),
        ("is of another authority", |_| {
            ClusterAuthority::create("test", now()).unwrap().issue_node(ME, now()).unwrap()
        }),
        ("its certificate says", |it| it.issue(NodeId(8), now())),
        ("certificate or its key", |it| {
            let key_pem = it.issue(ME, now()).key_pem;
            Issued { key_pem, ..it.issue(ME, now()) }
        }),
    ];
    for (expected, issue) in cases {
        let mut fixture = fixture();
        let before = CredentialFiles::read(fixture.directory.path()).unwrap();
        fixture.write(&issue(&fixture));
        let said = fixture.refusal();
        assert!(said.contains(expected), "{said}");
        assert!(matches!(fixture.looks(), Look::Same), "said once");
        assert!(fixture.comparison.used == before);
        // A good one is taken after it.
        fixture.write(&fixture.issue(ME, now()));
        assert!(matches!(fixture.looks(), Look::Renewed(_)), "{expected}");
    }
}

#[test]
fn a_file_that_is_gone_or_nonsense_leaves_the_old_in_use() {
    let mut fixture = fixture();
    let path = fixture.directory.path().join(CERTIFICATE_FILE);
    let held = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(fixture.refusal().contains("node.pem"));
    fs::write(&path, "nonsense").unwrap();
    assert!(fixture.refusal().contains("no certificate"));
    fs::write(&path, held).unwrap();
    assert!(matches!(fixture.looks(), Look::Same), "it is the one in use");
}

#[test]
fn a_certificate_that_is_valid_later_is_taken_then() {
    let mut fixture = fixture();
    let days = |count: u64| Duration::from_secs(count * 24 * 3_600);
    fixture.write(&fixture.issue(ME, now() + days(3)));
    assert!(fixture.refusal().contains("not valid yet"));
    let found = CredentialFiles::read(fixture.directory.path());
    assert!(matches!(fixture.comparison.look(found, now() + days(3)), Look::Renewed(_)));
}

#[test]
fn an_authority_can_be_replaced_by_way_of_both() {
    let mut fixture = fixture();
    let next = ClusterAuthority::create("test", now()).unwrap();
    let issued = next.issue_node(ME, now()).unwrap();
    let both = format!("{}{}", fixture.authority.certificate_pem(), next.certificate_pem());
    let authority = fixture.directory.path().join(AUTHORITY_FILE);
    fs::write(&authority, &both).unwrap();
    assert!(matches!(fixture.looks(), Look::Renewed(_)), "the old certificate, both authorities");
    write(fixture.directory.path(), &both, &issued);
    assert!(matches!(fixture.looks(), Look::Renewed(_)), "the new certificate");
    fs::write(&authority, next.certificate_pem()).unwrap();
    assert!(matches!(fixture.looks(), Look::Renewed(_)), "the new authority alone");
}

#[test]
fn a_start_with_an_outdated_certificate_goes_on_and_one_with_a_foreign_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let authority = ClusterAuthority::create("test", now()).unwrap();
    let home = Home { node: ME, directory: directory.path().to_owned() };
    let old = authority.issue_node(ME, now() - 2 * CERTIFICATE_VALID).unwrap();
    write(directory.path(), authority.certificate_pem(), &old);
    assert!(Renewal::begin(home.clone(), now()).is_ok());
    let other = ClusterAuthority::create("test", now()).unwrap();
    write(directory.path(), other.certificate_pem(), &authority.issue_node(ME, now()).unwrap());
    let error = Renewal::begin(home, now()).err().expect("refused").to_string();
    assert!(error.contains("is of another authority"), "{error}");
}

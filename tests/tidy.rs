//! House rules as ordinary tests: what a reviewer should not have to say twice.
//!
//! Each rule lives in a small module with bad samples that it must find; here they meet the repository. A breach that is
//! meant stands in `EXCEPTIONS` with its reason, and an exception that is no longer needed fails too.

#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::fs;

use crate::rules::{Finding, RULES};

/// A breach that is meant.
struct Exception {
    /// The file.
    path: &'static str,
    /// Part of the finding's message.
    message: &'static str,
    /// Why it is better so.
    reason: &'static str,
}

/// Every breach that is meant.
const EXCEPTIONS: &[Exception] = &[Exception {
    path: "node/src/config/render.rs",
    message: "`render` has 93 lines",
    reason: "one template, read as the file that it writes; cut in two it could not be",
}];

impl Exception {
    fn covers(&self, finding: &Finding) -> bool {
        finding.path == self.path && finding.message.contains(self.message)
    }
}

fn read(path: &str) -> String {
    let full = source::root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_file_keeps_the_house_rules() {
    let sources = source::repository();
    let findings: Vec<Finding> =
        sources.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule(source))).collect();
    let mut lines = Vec::new();
    for finding in &findings {
        if !EXCEPTIONS.iter().any(|exception| exception.covers(finding)) {
            lines.push(format!("{}:{}: {}", finding.path, finding.line, finding.message));
        }
    }
    for exception in EXCEPTIONS {
        assert!(exception.reason.len() > 20, "{}: an exception needs a reason", exception.path);
        if !findings.iter().any(|finding| exception.covers(finding)) {
            lines.push(format!("{}: the exception is not needed any more", exception.path));
        }
    }
    assert!(lines.is_empty(), "{} breaches:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn crates_depend_only_as_the_design_allows() {
    let members = crates::members(&read("Cargo.toml"));
    let mut lines: Vec<String> = Vec::new();
    for folder in &members {
        lines.extend(crates::breaches(folder, &read(&format!("{folder}/Cargo.toml"))));
    }
    for folder in crates::missing(&members) {
        lines.push(format!("{folder}: in the graph, not in the workspace"));
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn planted_bugs_are_armed_by_one_feature_that_is_off_by_default() {
    assert!(
        crates::arms_planted_bugs(&read("cli/Cargo.toml")),
        "cli/planted forwards to the others"
    );
    let defaults = read("Cargo.toml").contains("default = [\"planted\"]");
    assert!(!defaults, "no default build has planted bugs");
}

#[test]
fn modules_of_the_engine_import_each_other_in_no_circle() {
    let sources = source::repository();
    let imports = modules::within(modules::imports(&sources, "node/src/"), "engine");
    if let Some(circle) = modules::circle(&imports) {
        panic!("a circle of imports: {}", circle.join(" -> "));
    }
}

#[test]
fn the_documents_at_the_front_door_are_short_and_true() {
    let mut lines = documents::architecture_breaches(&read("ARCHITECTURE.md"), &source::root());
    lines.extend(documents::readme_breaches(&read("README.md")));
    let exit_codes = read("cli/src/exit_code.rs");
    lines.extend(documents::exit_code_breaches(&read("README.md"), &exit_codes));
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

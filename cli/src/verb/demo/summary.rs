//! What the demo showed, in a few lines or one JSON document.

use std::time::Duration;

use serde_json::json;

use super::account::Account;
use super::files::FilesReport;
use super::repair::RepairReport;
use super::siblings::SiblingsReport;
use crate::failure::Outcome;
use crate::output::{Output, units};

/// The results of all stages; it exists only when every check held.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) nodes: usize,
    pub(super) files: FilesReport,
    pub(super) siblings: SiblingsReport,
    pub(super) killed: String,
    pub(super) account: Account,
    pub(super) repair: RepairReport,
}

impl Summary {
    /// Prints it.
    pub(super) fn say(&self, time: Duration, output: Output) -> Outcome<()> {
        let Summary { nodes, files, siblings, killed, account, repair } = self;
        if output.is_json() {
            return output.json(&json!({
                "ok": true, "seconds": (time.as_secs_f64() * 10.0).round() / 10.0, "nodes": nodes, "files": files,
                "concurrent_writes": siblings, "killed": killed, "account": account, "repair": repair,
            }));
        }
        let style = output.style();
        output.line(&format!("\n{}", style.bold("What you saw")))?;
        output.line(&format!(
            "  {} of {} ({}) stored on {nodes} nodes, three copies each, and read back identical",
            units::plural(files.identical, "file"),
            files.path,
            units::bytes(files.bytes),
        ))?;
        output.line(&format!("  {}", files.skipped.in_words()))?;
        output
            .line("  two concurrent writes kept as two siblings, then resolved into one value")?;
        output.line(&format!(
            "  {} under a SIGKILL of {killed}: {} acknowledged and found, {} not applied, {} uncertain, 0 lost",
            units::plural(account.writes, "write"),
            units::count(account.acknowledged_found),
            units::count(account.not_applied()),
            units::count(account.uncertain()),
        ))?;
        output.line(&format!(
            "  {killed} came back without {} of its {} keys, and was handed them",
            units::count(repair.owns.saturating_sub(repair.held_at_return)),
            units::count(repair.owns),
        ))?;
        output.line(&format!(
            "{} in {}; nothing is left behind",
            style.good("ok"),
            units::duration(time)
        ))?;
        output.line(&style.dim("Next: kv dev, then kv put, kv get, kv status in another shell."))
    }
}

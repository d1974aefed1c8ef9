//! What became of changed certificate files.

use std::cell::Cell;

use crate::runtime::metrics::exposition::{Exposition, Kind};

/// How often changed files were taken into use, and how often not.
#[derive(Default)]
pub(crate) struct CredentialCounts {
    taken: Cell<u64>,
    refused: Cell<u64>,
}

impl CredentialCounts {
    /// Renewed certificates are in use.
    pub(crate) fn taken(&self) {
        self.taken.set(self.taken.get() + 1);
    }

    /// Changed files could not be used.
    pub(crate) fn refused(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    /// Writes them, and when the certificate expires, in milliseconds since 1970.
    pub(crate) fn expose(&self, out: &mut Exposition, expires_at_ms: u64) {
        let help = "When the node's certificate expires, in seconds since 1970.";
        let name = "kvorum_certificate_expires_timestamp_seconds";
        out.single(name, Kind::Gauge, help, expires_at_ms as f64 / 1e3);
        let help = "Changed certificate files: taken into use, or refused.";
        out.family("kvorum_certificate_renewals_total", Kind::Counter, help);
        for (result, count) in [("taken", &self.taken), ("refused", &self.refused)] {
            out.sample(&[("result", result)], count.get() as f64);
        }
    }
}

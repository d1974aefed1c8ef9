//! How many files and sockets this process may have open.
//!
//! Systems start a process with a soft limit of about a thousand, for the sake of old programs, and a hard limit far above
//! it. A node takes what it may. Where even that is too little for the configured number of clients, it lets in fewer,
//! and says so: running out of descriptors would hit the log and the peers, too.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::runtime::limits;

/// Places for clients however few files there are.
const CLIENTS_MIN: u64 = 64;

/// The files of this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenFiles {
    /// How many may be open.
    pub(crate) limit: u64,
}

impl OpenFiles {
    /// Raises the limit as far as the system allows.
    pub(crate) fn raise() -> OpenFiles {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum
            && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        {
            tracing::info!(%error, ?current, ?maximum, "the limit of open files stays as it is");
        }
        // What the system says now, not what was asked for. No limit at all reads as none.
        let files = OpenFiles { limit: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) };
        if let Some(advice) = files.advice() {
            tracing::warn!("{advice}");
        }
        files
    }

    /// How many clients there is room for.
    pub(crate) fn places(self) -> usize {
        let room = self.limit.saturating_sub(limits::OTHER_FILES).max(CLIENTS_MIN);
        usize::try_from(room).unwrap_or(usize::MAX).min(limits::CLIENTS)
    }

    /// What to do when that is fewer than there should be.
    pub(crate) fn advice(self) -> Option<String> {
        let wanted = limits::OTHER_FILES + limits::CLIENTS as u64;
        let (limit, places, all) = (self.limit, self.places(), limits::CLIENTS);
        (limit < wanted).then(|| {
            format!(
                "only {limit} files may be open, so {places} clients are let in at once instead of {all}: raise the hard \
                 limit to {wanted} (ulimit -Hn, or LimitNOFILE of a systemd unit)"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    use super::{CLIENTS_MIN, OpenFiles};
    use crate::runtime::limits;

    #[test]
    fn the_limit_is_what_the_system_allows_at_most() {
        let files = OpenFiles::raise();
        let limits = getrlimit(Resource::Nofile);
        assert_eq!(limits.current, limits.maximum);
        assert_eq!(files.limit, limits.current.unwrap_or(u64::MAX));
    }

    #[test]
    fn too_few_files_mean_fewer_clients_and_are_said() {
        let wanted = limits::OTHER_FILES + limits::CLIENTS as u64;
        let enough = OpenFiles { limit: wanted };
        assert_eq!((enough.places(), enough.advice()), (limits::CLIENTS, None));
        let scarce = OpenFiles { limit: limits::OTHER_FILES + 100 };
        assert_eq!(scarce.places(), 100);
        assert!(scarce.advice().unwrap().contains(&wanted.to_string()));
        assert_eq!(OpenFiles { limit: 10 }.places() as u64, CLIENTS_MIN);
    }
}

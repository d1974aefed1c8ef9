//! What every [`Index`](crate::Index) and every [`Files`](crate::Files) must do, as checks over any implementation. The
//! simulated and the real ones run the same.

pub(crate) mod file_checks;
pub(crate) mod index_checks;

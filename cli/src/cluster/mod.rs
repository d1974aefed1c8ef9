//! From the command line to a connected client: where the cluster is, who we are, what a failure means to the shell.

pub(crate) mod config_file;
pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod explain;
pub(crate) mod find;
pub(crate) mod health;

//! `kv`: node, client and simulator in one binary.
fn main() {}

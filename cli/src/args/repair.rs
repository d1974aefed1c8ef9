//! Arguments of `kv repair`.

use clap::{Args, Subcommand};
use kvorum_ring::{ClassId, KeyHash, PartitionId};

use super::connection::ConnectionArguments;
use super::value::KeyArguments;

/// The verbs of `kv repair`. A key needs the right to write, the others the operator's certificate or a cluster of `kv dev`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RepairVerb {
    /// Have all owners of a key hold the same, and show who held what
    #[command(after_help = KEY_EXAMPLES)]
    Key {
        #[command(flatten)]
        key: KeyArguments,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
    /// Compare all keys of a partition at all of its owners, and repair what differs
    #[command(after_help = PARTITION_EXAMPLES)]
    Partition(PartitionArguments),
    /// Do that with every partition that a node owns
    #[command(after_help = NODE_EXAMPLES)]
    Node(NodeArguments),
}

/// Arguments of `kv repair partition`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PartitionArguments {
    /// The partition's number (kv ring where KEY tells it)
    #[arg(value_name = "PARTITION", value_parser = partition)]
    pub(crate) partition: PartitionId,
    /// The replication class
    #[arg(long, value_name = "CLASS", default_value = "0", value_parser = class)]
    pub(crate) class: ClassId,
    /// Go on from here: the hash that a repair named when it was broken off
    #[arg(long, value_name = "HASH", value_parser = hash)]
    pub(crate) from: Option<KeyHash>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// Arguments of `kv repair node`.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArguments {
    /// The node, by its name or id
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Go on from here: the partition that a repair named when it was broken off
    #[arg(long, value_name = "PARTITION", value_parser = partition)]
    pub(crate) from: Option<PartitionId>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

fn partition(text: &str) -> Result<PartitionId, String> {
    text.parse().map(PartitionId).map_err(|_| "not a partition's number".to_owned())
}

fn class(text: &str) -> Result<ClassId, String> {
    text.parse().map(ClassId).map_err(|_| "not the number of a replication class".to_owned())
}

fn hash(text: &str) -> Result<KeyHash, String> {
    let is_hash = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hash);
    number.map(KeyHash).ok_or_else(|| "a hash is 32 hex digits".to_owned())
}

const KEY_EXAMPLES: &str = "\
Examples:
  kv repair key cart/17                each owner: what it held, and whether it agrees now
  kv repair key cart/17 --bucket shop --json

Exit 0: all owners hold the same, durably. Exit 14: some owner is not known to; its row says why.
";

const PARTITION_EXAMPLES: &str = "\
Examples:
  kv repair partition 17
  kv repair partition 17 --timeout 30s     how long one step may take, of some 2,000 keys

Ctrl-C breaks it off, leaves nothing half done, and says how to go on. Exit 0: all owners hold the same, durably. Exit 14: some
owner is not known to.
";

const NODE_EXAMPLES: &str = "\
Examples:
  kv repair node n2                    after n2 lost its disk: all that it owns, partition by partition
  kv repair node n2 --from 512         go on with partition 512

Ctrl-C breaks it off, leaves nothing half done, and says how to go on. Exit 0: all owners of these partitions hold the same,
durably. Exit 14: some owner is not known to.
";

#[cfg(test)]
mod tests {
    use kvorum_ring::KeyHash;

    use super::hash;

    #[test]
    fn a_hash_is_what_a_broken_off_repair_prints() {
        assert_eq!(hash(&format!("{:032x}", 0xabc)), Ok(KeyHash(0xabc)));
        for wrong in ["", "abc", "+0000000000000000000000000000abc", &"0".repeat(33)] {
            assert!(hash(wrong).is_err(), "{wrong}");
        }
    }
}

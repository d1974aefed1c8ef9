# Short names for plain cargo commands. Nothing here does what the command beside it does not.

# List the verbs.
default:
    @just --list

# Start a cluster, break it, and show what it kept.
demo *args:
    cargo run --release -- demo {{args}}

# A cluster of five local nodes.
dev *args:
    cargo run --release -- dev {{args}}

# Every test.
test:
    cargo test --workspace

# Formatting and lints as CI checks them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# etcd and Redis beside us on the same work in one run (needs etcd-server and redis-server).
compare *args:
    cargo bench -p kvorum-cli --bench compare -- {{args}}

# Random seeds through the simulator.
swarm seconds="60":
    cargo run --release -- sim swarm --seconds {{seconds}}

# Replay one seed.
replay seed:
    cargo run --release -- sim run --seed {{seed}}

# Every client against the shared cases (needs python3, node and ruby).
conformance:
    client/conformance/run

# The documentation of every crate.
doc:
    cargo doc --workspace --no-deps

# Licences, bans and sources of the dependencies (needs cargo-deny).
deny:
    cargo deny check bans licenses sources

# Install `kv`.
install:
    cargo install --path cli --locked

# All that must hold before a change is called done.
ci:
    .ci/run

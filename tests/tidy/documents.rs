//! The rules about the documents at the front door: short enough to be read, and true where a machine can tell.

use std::path::Path;

/// ARCHITECTURE.md is read in one sitting or not at all.
const ARCHITECTURE_LINES: usize = 250;

/// What a newcomer types first.
const FIRST_COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo test --workspace"];

/// Breaches in ARCHITECTURE.md, whose paths are looked for below `root`.
pub(crate) fn architecture_breaches(text: &str, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LINES {
        found.push(format!("ARCHITECTURE.md has {lines} lines, at most {ARCHITECTURE_LINES}"));
    }
    for path in paths(text) {
        if !root.join(&path).exists() {
            found.push(format!("ARCHITECTURE.md names `{path}`, which is not there"));
        }
    }
    found
}

/// What stands between backticks, outside fenced blocks, and is written like a path from the root.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let quoted = line.split('`').skip(1).step_by(2);
            found.extend(quoted.filter(|name| is_path(name)).map(str::to_owned));
        }
    }
    found
}

/// A bare name may belong to a node's directory, so only documents are looked for without a folder.
fn is_path(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let below = name.contains('/') && !name.starts_with(['.', '/', '-']);
    plain && (below || name.ends_with(".md") || name == ".ci/run")
}

/// Breaches in README.md.
pub(crate) fn readme_breaches(text: &str) -> Vec<String> {
    let commands = commands(text);
    let first: Vec<&str> = commands.iter().take(2).map(String::as_str).collect();
    if first == FIRST_COMMANDS {
        return Vec::new();
    }
    vec![format!("README.md: the first two commands are {first:?}, not {FIRST_COMMANDS:?}")]
}

/// The commands in the shell blocks of a document, prompts and comments taken off.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut shell = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            shell = ["sh", "bash", "console", "shell"].contains(&language);
        } else if shell && !line.trim().is_empty() && !line.starts_with('#') {
            let command = line.trim_start_matches("$ ");
            let command = command.split("  #").next().unwrap_or_default();
            found.push(command.trim().to_owned());
        }
    }
    found
}

/// Breaches between README.md's table of exit codes and the enum in `cli/src/exit_code.rs` that gives them.
pub(crate) fn exit_code_breaches(readme: &str, enumeration: &str) -> Vec<String> {
    let mut given: Vec<u8> = enumeration
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.rsplit_once(" = ")?.1.parse().ok())
        .collect();
    let rows = readme.lines().skip_while(|line| !line.starts_with("| code |"));
    let cells =
        rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    let mut told: Vec<u8> = cells
        .flat_map(|cell| cell.split(','))
        .filter_map(|code| code.trim().parse().ok())
        .collect();
    given.sort_unstable();
    told.sort_unstable();
    if given == told && !given.is_empty() {
        return Vec::new();
    }
    vec![format!("README.md tells of the exit codes {told:?}, `kv` gives {given:?}")]
}

#[cfg(test)]
mod tests {
    use super::{architecture_breaches, commands, exit_code_breaches, readme_breaches};
    use crate::source;

    #[test]
    fn a_path_that_is_not_there_is_found() {
        let root = source::root();
        assert!(architecture_breaches("See `cli/Cargo.toml` and `ring/`.\n", &root).is_empty());
        assert_eq!(architecture_breaches("See `cli/src/nothing.rs`.\n", &root).len(), 1);
        assert!(
            architecture_breaches("`w/r` is no path only in ```.\n```\n`a/b`\n```\n", &root).len()
                <= 1
        );
        assert_eq!(architecture_breaches(&"line\n".repeat(251), &root).len(), 1);
    }

    #[test]
    fn other_first_commands_are_found() {
        let good =
            "```sh\ncargo run --release -- demo   # a cluster\ncargo test --workspace\n```\n";
        assert!(readme_breaches(good).is_empty());
        assert_eq!(commands(good).len(), 2);
        assert_eq!(readme_breaches("```sh\nmake\n```\n").len(), 1);
    }

    #[test]
    fn an_exit_code_that_readme_does_not_tell_is_found() {
        let readme =
            "| code | meaning |\n|---|---|\n| 0 | done |\n| 10, 11 | status |\n\n| 12 | other |\n";
        let codes = "    Success = 0,\n    Degraded = 10,\n    BelowQuorum = 11,\n";
        assert!(exit_code_breaches(readme, codes).is_empty());
        assert_eq!(exit_code_breaches(readme, "    Success = 0,\n").len(), 1);
        assert_eq!(exit_code_breaches("", codes).len(), 1);
    }
}

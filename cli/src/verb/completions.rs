//! `kv completions`: a script that teaches a shell our verbs and options.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Arguments;
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::Output;

/// Prints the script for `shell`.
pub(super) fn run(shell: Shell, output: Output) -> Outcome<ExitCode> {
    output.raw(&script(shell))?;
    Ok(ExitCode::Success)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "kv", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::script;

    #[test]
    fn every_shell_learns_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let script = String::from_utf8(script(shell)).expect("text");
            for verb in ["demo", "put", "status", "bucket"] {
                assert!(script.contains(verb), "{shell}: {verb}");
            }
        }
    }
}

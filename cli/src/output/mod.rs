//! Where everything that a verb says goes: results to standard output, remarks to standard error.
//!
//! With `--json`, standard output carries exactly one JSON document (or one line for each event of a verb that goes
//! on), and errors are JSON on standard error. Without it, tables and sentences. A verb that prints raw bytes
//! (`kv get`) writes them and nothing else.

pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod units;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::output::style::{ColorChoice, Style};
use crate::output::table::Table;

/// Text for people or JSON for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Tables and sentences.
    Text,
    /// One JSON document.
    Json,
}

/// The two standard streams, with the user's wishes about them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    verbose: bool,
    stdout_style: Style,
    stderr_style: Style,
    stderr_is_terminal: bool,
}

impl Output {
    /// Looks at the terminal and at `NO_COLOR` once.
    pub(crate) fn new(format: Format, choice: ColorChoice, verbose: bool) -> Output {
        let no_color = std::env::var_os("NO_COLOR");
        let decide = |is_terminal| Style::decide(choice, is_terminal, no_color.as_deref());
        let stderr_is_terminal = io::stderr().is_terminal();
        Output {
            format,
            verbose,
            stdout_style: decide(io::stdout().is_terminal()),
            stderr_style: decide(stderr_is_terminal),
            stderr_is_terminal,
        }
    }

    /// Whether `--json` was given.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether `-v` was given.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether a progress bar can be drawn: somebody watches standard error, and no program reads us.
    pub(crate) fn is_watched(&self) -> bool {
        self.stderr_is_terminal && self.format == Format::Text
    }

    /// The style of standard output.
    pub(crate) fn style(&self) -> Style {
        self.stdout_style
    }

    /// The style of standard error.
    pub(crate) fn remark_style(&self) -> Style {
        self.stderr_style
    }

    /// Prints a line on standard output.
    pub(crate) fn line(&self, text: &str) -> Outcome<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.write_all(b"\n")?;
        Ok(stdout.flush()?)
    }

    /// Prints bytes on standard output exactly as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Outcome<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Prints a table on standard output.
    pub(crate) fn table(&self, table: &Table) -> Outcome<()> {
        self.line(&table.lines(self.stdout_style).join("\n"))
    }

    /// Prints the one JSON document, on one line.
    pub(crate) fn json(&self, document: &impl Serialize) -> Outcome<()> {
        let text = serde_json::to_string(document)
            .map_err(|error| Failure::usage(format!("cannot write the output as JSON: {error}")))?;
        self.line(&text)
    }

    /// Prints a remark on standard error. A standard error that nobody reads is no reason to fail.
    pub(crate) fn remark(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Prints a remark only with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.remark(&self.stderr_style.dim(text));
        }
    }

    /// Says how a verb failed and what to do.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_quiet() {
            return;
        }
        match self.format {
            Format::Json => self.remark(&failure.to_json().to_string()),
            Format::Text => {
                self.remark(&format!("{} {}", self.stderr_style.bad("kv:"), failure.message()));
                for advice in failure.advice() {
                    self.remark(&format!("    {advice}"));
                }
            }
        }
    }
}

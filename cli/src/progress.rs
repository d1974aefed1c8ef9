//! Progress of something that takes a while: a bar when somebody watches, a line at the end of each step otherwise.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{Output, units};

/// The bar's line.
const PLAIN: &str = "  {msg:<28} {bar:30} {pos:>6}/{len:<6} {elapsed}";
/// The same with colour.
const COLOURED: &str = "  {msg:<28} {bar:30.cyan/dim} {pos:>6}/{len:<6} {elapsed:.dim}";

/// The bar's line where somebody says how far it is.
const PLAIN_SAID: &str = "  {msg:<28} {bar:30} {prefix}";
/// The same with colour.
const COLOURED_SAID: &str = "  {msg:<28} {bar:30.cyan/dim} {prefix}";

/// One step with a known number of parts.
pub(crate) struct Step {
    title: String,
    bar: Option<ProgressBar>,
    begun: Instant,
    output: Output,
}

impl Step {
    /// Begins a step of `parts` parts, which the bar counts.
    pub(crate) fn begin(output: Output, title: &str, parts: u64) -> Step {
        Step::with([PLAIN, COLOURED], output, title, parts)
    }

    /// Begins a step of `parts` parts; how far it is is told in words.
    pub(crate) fn measured(output: Output, title: &str, parts: u64) -> Step {
        Step::with([PLAIN_SAID, COLOURED_SAID], output, title, parts)
    }

    fn with([plain, coloured]: [&str; 2], output: Output, title: &str, parts: u64) -> Step {
        let bar = output.is_watched().then(|| {
            let bar = ProgressBar::new(parts);
            let template = if output.remark_style().is_on() { coloured } else { plain };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar.set_message(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step { title: title.to_owned(), bar, begun: Instant::now(), output }
    }

    /// `parts` more are done.
    pub(crate) fn advance(&self, parts: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(parts);
        }
    }

    /// `parts` are done by now, all in all; in words, `said`.
    pub(crate) fn reach_saying(&self, parts: u64, said: String) {
        if let Some(bar) = &self.bar {
            bar.set_position(parts);
            bar.set_prefix(said);
        }
    }

    /// Ends the step: the bar goes, and one line says what came of it.
    pub(crate) fn end(self, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.output.is_json() {
            return;
        }
        let style = self.output.remark_style();
        let time = style.dim(&units::duration(self.begun.elapsed()));
        let title = format!("{:<26}", self.title);
        self.output.remark(&format!(
            "  {} {} {result}  {time}",
            style.good("✓"),
            style.bold(&title)
        ));
    }
}

/// A step that was abandoned leaves no bar behind.
impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

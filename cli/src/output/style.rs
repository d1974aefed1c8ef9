//! Colours, and when to use them: only on a terminal, never when `NO_COLOR` is set, always when the user insists.
//!
//! A colour repeats what a word already says; nothing is told by colour alone.

use std::ffi::OsStr;

use clap::ValueEnum;

/// What the user asked for with `--color`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always, also into a pipe.
    Always,
    /// Never.
    Never,
}

/// Wraps text in terminal escapes, or leaves it alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    on: bool,
}

impl Style {
    /// Decides once. `no_color` is the variable of that name (<https://no-color.org>): any non-empty value turns colour off.
    pub(crate) fn decide(
        choice: ColorChoice,
        is_terminal: bool,
        no_color: Option<&OsStr>,
    ) -> Style {
        let forbidden = no_color.is_some_and(|value| !value.is_empty());
        let on = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && !forbidden,
        };
        Style { on }
    }

    /// Whether there is colour.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// No colour at all.
    #[cfg(test)]
    pub(crate) fn plain() -> Style {
        Style { on: false }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Headings and what matters most.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What can be skipped while reading.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// All is well.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Not as it should be, but nothing is lost.
    pub(crate) fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Broken.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Names of things: keys, nodes, commands.
    pub(crate) fn name(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

/// The width of `text` on a terminal, escapes not counted. One column for each character: enough for what we print.
pub(crate) fn visible_width(text: &str) -> usize {
    let mut width = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            for escape in characters.by_ref() {
                if escape == 'm' {
                    break;
                }
            }
        } else {
            width += 1;
        }
    }
    width
}

/// The first `width` columns of `text`. Escapes behind them are kept, so that no colour runs on.
pub(crate) fn clip(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut left, mut escaped) = (width, false);
    for character in text.chars() {
        escaped |= character == '\x1b';
        if escaped {
            out.push(character);
            escaped = character != 'm';
        } else if left > 0 {
            out.push(character);
            left -= 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{ColorChoice, Style, clip, visible_width};

    #[test]
    fn colour_needs_a_terminal_and_no_color_forbids_it() {
        let on = |choice, terminal, no_color: Option<&str>| {
            Style::decide(choice, terminal, no_color.map(OsStr::new)) == Style { on: true }
        };
        assert!(on(ColorChoice::Auto, true, None));
        assert!(on(ColorChoice::Auto, true, Some("")));
        assert!(!on(ColorChoice::Auto, true, Some("1")));
        assert!(!on(ColorChoice::Auto, false, None));
        assert!(!on(ColorChoice::Never, true, None));
        assert!(on(ColorChoice::Always, false, Some("1")));
    }

    #[test]
    fn escapes_take_no_room() {
        let red = Style { on: true }.bad("höher");
        assert_ne!(red, "höher");
        assert_eq!(visible_width(&red), 5);
        assert_eq!(Style::plain().bad("höher"), "höher");
        let cut = clip(&format!("ab{red}cd"), 4);
        assert_eq!((visible_width(&cut), cut.ends_with("\x1b[0m")), (4, true), "{cut:?}");
        assert_eq!(clip("höher", 9), "höher");
    }
}

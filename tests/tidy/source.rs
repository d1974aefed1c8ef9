//! The repository's files as the rules read them.
//!
//! A rule about code must not fire on a comment or a string that talks about code, so each Rust file is kept twice: as
//! written, and as a *code view* of the same length in which the insides of comments, strings and characters are
//! blanks. Line numbers and columns are equal in both. The view is not a parser: it knows Rust's lexical grammar
//! and nothing of its syntax.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no sources of ours.
const SKIPPED_FOLDERS: &[&str] = &["target", ".git"];

/// What is read as text: anything else in the repository is data.
const TEXT_ENDINGS: &[&str] = &["rs", "toml", "md", "yml", "yaml", "sh", "json", "txt", "py"];

/// Text files without an ending.
const TEXT_NAMES: &[&str] = &["justfile", "run", ".gitignore"];

/// One text file of the repository.
pub(crate) struct Source {
    /// Path from the repository's root, with `/` on every platform.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// For Rust files the code view; for others the text.
    pub(crate) code: String,
}

impl Source {
    /// A file from its parts; the rules' own tests build bad samples with it.
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { code_view(text) } else { text.to_owned() };
        Source { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// Is this Rust?
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Does this file hold nothing but tests?
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
    }

    /// The code view without `#[cfg(test)] mod ... { }` blocks, blanked at the same length.
    pub(crate) fn production_code(&self) -> String {
        let mut code = self.code.clone();
        let mut from = 0;
        while let Some(found) = code[from..].find("#[cfg(test)]") {
            let start = from + found;
            let after = start + "#[cfg(test)]".len();
            from = after;
            let Some(open) = code[after..].find(['{', ';']).map(|at| after + at) else {
                break;
            };
            if code.as_bytes()[open] == b';' {
                continue;
            }
            let end = matching_brace(&code, open).map_or(code.len(), |close| close + 1);
            code.replace_range(start..end, &blanks(&code[start..end]));
        }
        code
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.parent().expect("cli/ lies in the repository").to_owned()
}

/// Every text file of the repository, in the order of their paths.
pub(crate) fn repository() -> Vec<Source> {
    let root = root();
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let entry = entry.expect("a readable entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("a file type");
            if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file() && is_text(&name) {
                let path = entry.path();
                let text = fs::read_to_string(&path).expect("readable UTF-8");
                let relative = path.strip_prefix(&root).expect("below the root");
                let relative = relative.to_string_lossy().replace('\\', "/");
                sources.push(Source::new(&relative, &text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        sources.len() > 20,
        "the walk found {} files: it looks in the wrong place",
        sources.len()
    );
    sources
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    TEXT_NAMES.contains(&name) || ending.is_some_and(|ending| TEXT_ENDINGS.contains(&ending))
}

/// `text` with everything but line ends blanked.
fn blanks(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The offset of the brace that closes the one at `open`.
pub(crate) fn matching_brace(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The line, from 1, that holds the byte at `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// `text` with the insides of comments, strings and characters blanked, byte for byte.
fn code_view(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut view = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped_until(text, at);
        if end > at {
            view.push_str(&blanks(&text[at..end]));
            at = end;
        } else {
            // One byte of code; bytes over 127 occur only in comments and strings.
            view.push(if bytes[at].is_ascii() { bytes[at] as char } else { ' ' });
            at += 1;
        }
    }
    view
}

/// Where the comment, string or character that begins at `at` ends; `at` if none begins there.
fn skipped_until(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest[0] {
        b'/' if rest.starts_with(b"//") => {
            at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        }
        b'/' if rest.starts_with(b"/*") => at + block_comment_length(rest),
        b'"' => at + quoted_length(rest, b'"'),
        b'\'' if is_character(rest) => at + quoted_length(rest, b'\''),
        b'r' | b'b' | b'c' if !in_word => at + prefixed_string_length(rest),
        _ => at,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(rest.len())
}

/// The length of what stands between two equal quotes, both included, with backslash escapes.
fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A quote opens a character unless it opens a lifetime or a label.
fn is_character(rest: &[u8]) -> bool {
    let after = rest.get(1).copied().unwrap_or(b' ');
    let word = after.is_ascii_alphanumeric() || after == b'_';
    !word || rest.get(2) == Some(&b'\'')
}

/// The length of a string that begins with `r`, `b` or `c` here, or 0.
fn prefixed_string_length(rest: &[u8]) -> usize {
    let letters = rest.iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
    if letters > 2 {
        return 0;
    }
    let raw = rest[..letters].contains(&b'r');
    let hashes = rest[letters..].iter().take_while(|byte| **byte == b'#').count();
    let quote = letters + hashes;
    match rest.get(quote) {
        Some(b'"') if raw => {
            let close: Vec<u8> = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            let body = &rest[quote + 1..];
            let length = body.windows(close.len()).position(|window| window == close);
            length.map_or(rest.len(), |length| quote + 1 + length + close.len())
        }
        Some(b'"') if hashes == 0 => quote + quoted_length(&rest[quote..], b'"'),
        Some(b'\'') if hashes == 0 && &rest[..letters] == b"b" => {
            quote + quoted_length(&rest[quote..], b'\'')
        }
        _ => 0,
    }
}

#[test]
fn the_code_view_keeps_code_and_blanks_the_rest() {
    let cases = [
        ("let a = 1; // todo!()", "let a = 1;           "),
        ("a /* x /* y */ z */ b", "a                   b"),
        (r#"f("a\"b") + 1"#, "f(      ) + 1"),
        (r##"f(r#"a"b"#) + 1"##, "f(        ) + 1"),
        ("f::<'a>('b', '\\'', b'c')", "f::<'a>(   ,     ,     )"),
        ("loop_r\"x\"", "loop_r   "),
        ("bar#", "bar#"),
    ];
    for (text, expected) in cases {
        assert_eq!(code_view(text), expected, "{text}");
    }
    assert_eq!(code_view("// ä\nb"), "     \nb");
}

#[test]
fn test_modules_are_no_production_code() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
    let production = Source::new("x.rs", text).production_code();
    assert!(production.contains("fn a()") && production.contains("fn c()"));
    assert!(!production.contains("fn b()"));
    assert_eq!(production.len(), text.len());
}

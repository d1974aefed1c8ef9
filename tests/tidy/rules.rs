//! The rules about one file at a time. Each is a function from a source to its findings, so that it can be shown a bad
//! sample as easily as the repository.

use crate::source::{Source, line_of, matching_brace};

/// One breach: where, and what to do about it.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Path from the repository's root.
    pub(crate) path: String,
    /// From 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    /// What is wrong, in a sentence.
    pub(crate) message: String,
}

/// A rule over one file.
pub(crate) type Rule = fn(&Source) -> Vec<Finding>;

/// Every rule of this module.
pub(crate) const RULES: &[Rule] = &[
    file_is_small,
    functions_are_short,
    module_opens_with_its_purpose,
    nothing_is_unfinished,
    no_test_is_ignored,
    no_test_sleeps,
    imports_name_what_they_take,
    names_say_what_a_thing_is,
    no_place_on_one_machine,
    queues_have_a_bound,
    pure_code_touches_nothing,
    disk_is_touched_in_two_files,
];

/// Longest file under `node/src/engine`: the part that must be read whole to be believed.
const ENGINE_LINES: usize = 300;
/// Longest other file.
const FILE_LINES: usize = 500;
/// Longest file of tests: data and scenarios take room.
const TEST_LINES: usize = 800;
/// Longest function, from its `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

fn finding(source: &Source, line: usize, message: String) -> Finding {
    Finding { path: source.path.clone(), line, message }
}

fn file_is_small(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let limit = if source.is_test() {
        TEST_LINES
    } else if source.path.starts_with("node/src/engine/") {
        ENGINE_LINES
    } else {
        FILE_LINES
    };
    let lines = source.text.lines().count();
    if lines <= limit {
        return Vec::new();
    }
    vec![finding(source, 0, format!("{lines} lines, at most {limit}: split it by what it does"))]
}

fn functions_are_short(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (start, name) in functions(&source.code) {
        let Some(open) = body_of(&source.code, start) else {
            continue;
        };
        let Some(close) = matching_brace(&source.code, open) else {
            continue;
        };
        let first = line_of(&source.code, start);
        let lines = line_of(&source.code, close) - first + 1;
        if lines > FUNCTION_LINES {
            let message = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES}");
            findings.push(finding(source, first, message));
        }
    }
    findings
}

/// Offsets and names of the functions that a code view declares.
fn functions(code: &str) -> Vec<(usize, &str)> {
    let declared = words(code).filter(|(_, word)| *word == "fn");
    declared
        .filter_map(|(at, word)| {
            let rest = &code[at + word.len()..];
            let name = rest.trim_start();
            let length = name.bytes().take_while(|byte| is_word(*byte)).count();
            (length > 0).then(|| (at, &name[..length]))
        })
        .collect()
}

/// The brace that opens the body of the function declared at `start`; none for a declaration without one.
fn body_of(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Every word of a code view with its offset.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let bytes = code.as_bytes();
        let start = from + bytes[from..].iter().position(|byte| is_word(*byte))?;
        let length = bytes[start..].iter().take_while(|byte| is_word(**byte)).count();
        from = start + length;
        Some((start, &code[start..from]))
    })
}

fn module_opens_with_its_purpose(source: &Source) -> Vec<Finding> {
    let purpose = source.text.lines().take_while(|line| line.starts_with("//!"));
    let length: usize = purpose.map(|line| line.len()).sum();
    if !source.is_rust() || length >= 20 {
        return Vec::new();
    }
    vec![finding(source, 1, "opens without `//!` saying what it is for".to_owned())]
}

/// Findings for each occurrence of a word or phrase in `text`.
fn occurrences(source: &Source, text: &str, phrases: &[&str], why: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for phrase in phrases {
        for (at, _) in text.match_indices(phrase) {
            let joined =
                at > 0 && is_word(phrase.as_bytes()[0]) && is_word(text.as_bytes()[at - 1]);
            if !joined {
                let message = format!("`{phrase}`: {why}");
                findings.push(finding(source, line_of(text, at), message));
            }
        }
    }
    findings
}

fn nothing_is_unfinished(source: &Source) -> Vec<Finding> {
    if source.path.starts_with("tests/tidy") {
        return Vec::new(); // The rules must spell what they forbid.
    }
    let notes = ["TODO", "FIXME", "XXX"];
    let mut findings = occurrences(source, &source.text, &notes, "finish it or say it in an issue");
    if source.is_rust() {
        let macros = ["todo!", "unimplemented!", "dbg!"];
        findings.extend(occurrences(source, &source.code, &macros, "not in what is called done"));
    }
    findings
}

fn no_test_is_ignored(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    occurrences(source, &source.code, &["#[ignore"], "a test runs or is not there")
}

fn no_test_sleeps(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let production = if source.is_test() { String::new() } else { source.production_code() };
    let calls = words(&source.code).filter(|(at, word)| {
        let called = source.code[at + word.len()..].starts_with('(');
        let only_in_tests = production.get(*at..*at + word.len()).is_none_or(|kept| kept != *word);
        matches!(*word, "sleep" | "sleep_ms") && called && only_in_tests
    });
    calls
        .map(|(at, _)| {
            let message = "a test that sleeps hopes: await the condition with a deadline";
            finding(source, line_of(&source.code, at), message.to_owned())
        })
        .collect()
}

fn imports_name_what_they_take(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let production = if source.is_test() { String::new() } else { source.production_code() };
    let mut findings = Vec::new();
    for (at, _) in source.code.match_indices("::*") {
        let line = line_of(&source.code, at);
        let statement = source.code[..at].rsplit(['\n', ';']).next().unwrap_or_default().trim();
        let allowed = ["use super", "use proptest::prelude"].contains(&statement);
        let in_tests = production.get(at..at + 3).is_none_or(|kept| kept != "::*");
        if !(allowed && in_tests) {
            findings.push(finding(
                source,
                line,
                "a glob import hides where a name is from".to_owned(),
            ));
        }
    }
    findings
}

/// Words that say nothing about a thing.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Helpers", "Service", "Data", "Info", "Inner"];
/// Files and modules that attract whatever has no place.
const EMPTY_MODULES: &[&str] = &["common", "util", "utils", "misc", "helper", "helpers", "types"];

fn names_say_what_a_thing_is(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let parts = source.path.trim_end_matches(".rs").split('/');
    for part in parts.filter(|part| EMPTY_MODULES.contains(part)) {
        findings.push(finding(source, 0, format!("`{part}` says nothing: name what it holds")));
    }
    let mut before = "";
    for (at, word) in words(&source.code) {
        let declares = ["struct", "enum", "trait", "type", "union"].contains(&before);
        let empty = EMPTY_WORDS.iter().find(|empty| camel_words(word).contains(empty));
        if let (true, Some(empty)) = (declares, empty) {
            let message = format!("`{word}`: `{empty}` says nothing, use the field's own noun");
            findings.push(finding(source, line_of(&source.code, at), message));
        }
        if before == "mod" && EMPTY_MODULES.contains(&word) {
            let message = format!("`{word}` says nothing: name what it holds");
            findings.push(finding(source, line_of(&source.code, at), message));
        }
        before = word;
    }
    findings
}

/// `NodeInfo` as `Node`, `Info`.
fn camel_words(name: &str) -> Vec<&str> {
    let mut starts: Vec<usize> =
        name.char_indices().filter(|(_, letter)| letter.is_uppercase()).map(|(at, _)| at).collect();
    starts.push(name.len());
    starts.windows(2).map(|pair| &name[pair[0]..pair[1]]).collect()
}

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] =
    &["/home/", "/root/", "/Users/", "/work/", "/workspace/", "/mnt/", "C:\\Users"];

fn no_place_on_one_machine(source: &Source) -> Vec<Finding> {
    if source.path.starts_with("tests/tidy") {
        return Vec::new();
    }
    let text = &source.text;
    let mut findings = Vec::new();
    for path in MACHINE_PATHS {
        for (at, _) in text.match_indices(path) {
            // `${dir}/work/` and `a/home/b` are relative to something.
            let before = text[..at].chars().next_back().unwrap_or(' ');
            let absolute = !before.is_alphanumeric() && !"._-})]>*".contains(before);
            if absolute {
                let message = format!("`{path}` is a place on one machine");
                findings.push(finding(source, line_of(text, at), message));
            }
        }
    }
    findings
}

fn queues_have_a_bound(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let why = "a queue without a bound turns overload into memory";
    let calls = ["unbounded_channel(", "unbounded(", "mpsc::channel()", "mpsc::unbounded"];
    occurrences(source, &source.code, &calls, why)
}

/// Folders whose production code may only compute.
const PURE_FOLDERS: &[&str] =
    &["ring/src/", "protocol/src/", "gossip/src/", "antientropy/src/", "node/src/engine/"];

/// What only the runtime, the disk files, the client and the command line may name.
const IMPURE: &[&str] = &[
    "tokio",
    "quinn",
    "sled",
    "socket2",
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "RandomState",
    "println",
    "eprintln",
    "Mutex",
    "RwLock",
    "OsRng",
    "SysRng",
];

/// Modules of `std` that do what pure code must not.
const IMPURE_PATHS: &[&str] =
    &["std::fs", "std::thread", "std::env", "std::process", "std::io::std", "crate::runtime"];

fn pure_code_touches_nothing(source: &Source) -> Vec<Finding> {
    let pure = PURE_FOLDERS.iter().any(|folder| source.path.starts_with(folder));
    if !pure || !source.is_rust() || source.is_test() {
        return Vec::new();
    }
    let code = source.production_code();
    let why = "pure code has no clock, socket, thread, file, lock or output";
    let mut findings = occurrences(source, &code, IMPURE_PATHS, why);
    for (at, word) in words(&code).filter(|(_, word)| IMPURE.contains(word)) {
        findings.push(finding(source, line_of(&code, at), format!("`{word}`: {why}")));
    }
    findings
}

/// The store's files that may call the operating system, or sled.
const DISK_FILES: &[&str] = &["store/src/disk_files.rs", "store/src/sled_index.rs"];

fn disk_is_touched_in_two_files(source: &Source) -> Vec<Finding> {
    let exempt = DISK_FILES.contains(&source.path.as_str()) || source.is_test();
    if !source.path.starts_with("store/src/") || exempt {
        return Vec::new();
    }
    let code = source.production_code();
    let why = "only the disk files and the sled index touch the disk";
    let mut findings = occurrences(source, &code, &["std::fs", "File::open", "OpenOptions"], why);
    findings.extend(occurrences(source, &code, &["sled::"], why));
    findings
}

#[cfg(test)]
mod tests {
    use super::{Finding, RULES, Source, camel_words};

    /// Findings of all rules over one sample.
    fn check(path: &str, text: &str) -> Vec<Finding> {
        let source = Source::new(path, text);
        RULES.iter().flat_map(|rule| rule(&source)).collect()
    }

    const PURPOSE: &str = "//! What this module is for, in a sentence or two.\n";

    #[track_caller]
    fn assert_found(path: &str, body: &str, message: &str) {
        let findings = check(path, &format!("{PURPOSE}{body}"));
        let found = findings.iter().any(|finding| finding.message.contains(message));
        assert!(found, "expected `{message}` for {path}: {body:.200}, got {findings:?}");
    }

    #[track_caller]
    fn assert_clean(path: &str, body: &str) {
        let findings = check(path, &format!("{PURPOSE}{body}"));
        assert!(findings.is_empty(), "{path}: {body:.200}, got {findings:?}");
    }

    #[test]
    fn size_limits_follow_the_folder() {
        let lines = "const A: u8 = 1;\n".repeat(299);
        assert_clean("node/src/engine/a.rs", &lines);
        let lines = "const A: u8 = 1;\n".repeat(300);
        assert_found("node/src/engine/a.rs", &lines, "at most 300");
        assert_clean("node/src/a.rs", &lines);
        let lines = "const A: u8 = 1;\n".repeat(500);
        assert_found("node/src/a.rs", &lines, "at most 500");
        assert_clean("store/tests/a.rs", &lines);
        assert_found("store/tests/a.rs", &lines.repeat(2), "at most 800");
    }

    #[test]
    fn long_functions_are_found_whatever_their_signature() {
        let short = format!("fn f(a: [u8; 4]) -> u8 {{\n{}}}\n", "    g();\n".repeat(68));
        assert_clean("a/src/b.rs", &short);
        let long = format!("fn f(a: [u8; 4]) -> u8 {{\n{}}}\n", "    g();\n".repeat(69));
        assert_found("a/src/b.rs", &long, "`f` has 71 lines");
        let long = format!(
            "impl A {{\n    pub fn f<T>(g: fn(u8) -> u8)\n    where\n        T: B,\n    {{\n{}    }}\n}}\n",
            "        // A brace { in a comment.\n".repeat(70)
        );
        assert_found("a/src/b.rs", &long, "`f` has");
        assert_clean("a/src/b.rs", "trait A {\n    fn f(&self) -> u8;\n}\n");
    }

    #[test]
    fn a_module_without_purpose_is_found() {
        assert!(!check("a/src/b.rs", "fn f() {}\n").is_empty());
        assert!(!check("a/src/b.rs", "//! Hm.\nfn f() {}\n").is_empty());
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_in_comments() {
        assert_found("a/src/b.rs", "fn f() { todo!() }\n", "todo!");
        assert_found("a/src/b.rs", "fn f() { unimplemented!() }\n", "unimplemented!");
        assert_found("a/src/b.rs", "fn f() { dbg!(1); }\n", "dbg!");
        assert_found("a/src/b.rs", "// FIXME: later\n", "FIXME");
        assert_clean("a/src/b.rs", "const A: &str = \"todo!\";\n");
    }

    #[test]
    fn ignored_and_sleeping_tests_are_found() {
        assert_found("a/src/b.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n", "runs or is not");
        assert_found("tests/a.rs", "fn f() { std::thread::sleep(D); }\n", "hopes");
        let unit = "#[cfg(test)]\nmod tests {\n    fn f() { sleep(D); }\n}\n";
        assert_found("a/src/b.rs", unit, "hopes");
        assert_clean("node/src/runtime/a.rs", "fn f() { tokio::time::sleep(D); }\n");
    }

    #[test]
    fn glob_imports_are_found_outside_the_two_idioms_of_tests() {
        assert_found("a/src/b.rs", "use crate::engine::*;\n", "glob");
        assert_found("a/src/b.rs", "pub use put::*;\n", "glob");
        assert_found("a/src/b.rs", "use super::*;\n", "glob");
        assert_found("tests/a.rs", "use kvorum_ring::*;\n", "glob");
        assert_clean("a/src/b.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n");
        assert_clean("a/tests/b.rs", "use proptest::prelude::*;\n");
        assert_clean("a/src/b.rs", "const A: u8 = 2 * 3;\n");
    }

    #[test]
    fn empty_names_are_found() {
        assert_found("a/src/b.rs", "struct NodeManager;\n", "Manager");
        assert_found("a/src/b.rs", "pub(crate) enum InfoKind {}\n", "Info");
        assert_found("a/src/b.rs", "type PutData = u8;\n", "Data");
        assert_found("a/src/utils.rs", "struct A;\n", "utils");
        assert_found("a/src/b.rs", "mod common;\n", "common");
        assert_clean("a/src/b.rs", "struct Database; struct Informed; enum Node { Inner }\n");
        assert_eq!(camel_words("NodeInfoX"), ["Node", "Info", "X"]);
    }

    #[test]
    fn places_on_one_machine_are_found() {
        let place = ["/ho", "me/someone/kvorum"].concat();
        assert_found("README.md", &format!("cd {place}\n"), "one machine");
        assert_found("a/src/b.rs", &format!("const A: &str = \"{place}\";\n"), "one machine");
        assert_clean("README.md", "cp -r out/n1 host:data/work/x\n");
    }

    #[test]
    fn queues_without_a_bound_are_found() {
        assert_found("a/src/b.rs", "let (a, b) = mpsc::unbounded_channel();\n", "bound");
        assert_found("a/src/b.rs", "let (a, b) = mpsc::channel();\n", "bound");
        assert_clean("a/src/b.rs", "let (a, b) = mpsc::channel(QUEUE);\n");
    }

    #[test]
    fn impure_code_in_pure_folders_is_found() {
        for body in [
            "use std::time::Instant;\n",
            "use std::fs;\n",
            "fn f() { std::thread::yield_now(); }\n",
            "use crate::runtime::Node;\n",
            "fn f() { println!(); }\n",
            "use tokio::sync::mpsc;\n",
        ] {
            assert_found("node/src/engine/a.rs", body, "pure code");
        }
        assert_clean("node/src/engine/a.rs", "use std::time::Duration;\n// tokio is elsewhere\n");
        assert_clean("node/src/runtime/a.rs", "use std::time::Instant;\n");
    }

    #[test]
    fn the_disk_outside_its_two_files_is_found() {
        assert_found("store/src/log.rs", "use std::fs::File;\n", "touch the disk");
        assert_found("store/src/log.rs", "fn f() { sled::open(); }\n", "touch the disk");
        assert_clean("store/src/disk_files.rs", "use std::fs::File;\n");
    }
}

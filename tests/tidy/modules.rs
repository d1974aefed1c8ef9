//! The rule about modules: inside the engine, imports form no circle.
//!
//! A module's imports are what its `use` statements and its inline paths name, resolved to the deepest module of the
//! engine on that path. A parent that re-exports a child counts as importing it, so a child names a sibling by
//! the module that defines the thing, not by the parent's re-export. Test code may import what it likes.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// Which module imports which.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

/// The imports between the modules of the crate whose sources lie below `folder`, such as `node/src/`.
pub(crate) fn imports(sources: &[Source], folder: &str) -> Imports {
    let modules: BTreeMap<String, &Source> = sources
        .iter()
        .filter(|source| source.path.starts_with(folder) && source.is_rust() && !source.is_test())
        .map(|source| (module_of(&source.path[folder.len()..]), source))
        .collect();
    let mut imports = Imports::new();
    for (module, source) in &modules {
        let code = source.production_code();
        let paths = named_paths(&code).into_iter().filter_map(|path| absolute(module, &path));
        let targets = paths.filter_map(|path| deepest(&modules, &path));
        let targets = targets.filter(|target| target != module).collect();
        imports.insert(module.clone(), targets);
    }
    imports
}

/// `engine/coordinator/put.rs` as `engine::coordinator::put`; the crate's root as the empty name.
fn module_of(file: &str) -> String {
    let name = file.trim_end_matches(".rs");
    let name = name.strip_suffix("/mod").unwrap_or(name);
    if ["lib", "main"].contains(&name) { String::new() } else { name.replace('/', "::") }
}

/// Every path in a code view that begins with `crate`, `self` or `super`, groups taken apart.
fn named_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut from = 0;
    while let Some(found) = next_root(code, from) {
        let mut rest = &code[found..];
        collect(&mut rest, &[], &mut paths);
        from = code.len() - rest.len();
        from = from.max(found + 1);
    }
    paths
}

/// The next `crate::`, `self::` or `super::` that begins a path.
fn next_root(code: &str, from: usize) -> Option<usize> {
    let roots = ["crate::", "self::", "super::"];
    let starts = roots.iter().filter_map(|root| {
        let mut at = from;
        loop {
            let found = at + code[at..].find(root)?;
            let before = code[..found].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && !"_:$".contains(before) {
                return Some(found);
            }
            at = found + 1;
        }
    });
    starts.min()
}

/// Reads one path with its groups, as `a::{b, c::d as e}`, and leaves `rest` behind it.
fn collect(rest: &mut &str, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    loop {
        *rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            *rest = group;
            collect_group(rest, &path, paths);
            return;
        }
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let length = length.count();
        if length > 0 && &rest[..length] != "self" {
            path.push(rest[..length].to_owned());
        } else if length > 0 && path.is_empty() {
            path.push("self".to_owned());
        }
        *rest = rest[length..].trim_start();
        match rest.strip_prefix("::") {
            Some(after) => *rest = after,
            None => break,
        }
    }
    paths.push(path);
}

/// Reads the members of a group up to its closing brace.
fn collect_group(rest: &mut &str, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    while !rest.is_empty() {
        *rest = rest.trim_start_matches([' ', '\n', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            *rest = after;
            return;
        }
        let before = rest.len();
        collect(rest, prefix, paths);
        // `as name`, or what is no path: go on behind the next comma, before the brace.
        let stop = rest.find([',', '}']).unwrap_or(rest.len());
        *rest = &rest[stop..];
        if rest.len() == before {
            return;
        }
    }
}

/// A path seen from `module`, from the crate's root; none if it leaves the crate.
fn absolute(module: &str, path: &[String]) -> Option<Vec<String>> {
    let mut here: Vec<String> =
        module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let mut parts = path.iter().peekable();
    match parts.next()?.as_str() {
        "crate" => here.clear(),
        "super" => {
            here.pop()?;
        }
        "self" => {}
        _ => return None,
    }
    while parts.next_if(|part| *part == "super").is_some() {
        here.pop()?;
    }
    here.extend(parts.cloned());
    Some(here)
}

/// The deepest module that a path goes through.
fn deepest(modules: &BTreeMap<String, &Source>, path: &[String]) -> Option<String> {
    let names = (1..=path.len()).rev().map(|length| path[..length].join("::"));
    names.into_iter().find(|name| modules.contains_key(name))
}

/// One circle among the imports, if there is any, first module repeated at its end.
pub(crate) fn circle(imports: &Imports) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| walk(imports, module, &mut Vec::new(), &mut done))
}

fn walk(
    imports: &Imports,
    module: &str,
    trail: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(start) = trail.iter().position(|seen| seen == module) {
        let mut circle = trail[start..].to_vec();
        circle.push(module.to_owned());
        return Some(circle);
    }
    if done.contains(module) {
        return None;
    }
    trail.push(module.to_owned());
    let targets = imports.get(module).into_iter().flatten();
    for target in targets {
        let found = walk(imports, target, trail, done);
        if found.is_some() {
            return found;
        }
    }
    trail.pop();
    done.insert(module.to_owned());
    None
}

/// Only what lies in `engine` matters to the rule.
pub(crate) fn within(imports: Imports, module: &str) -> Imports {
    let inside = |name: &String| name == module || name.starts_with(&format!("{module}::"));
    let kept = imports.into_iter().filter(|(name, _)| inside(name));
    kept.map(|(name, targets)| (name, targets.into_iter().filter(inside).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Imports, circle, imports, within};
    use crate::source::Source;

    fn graph(files: &[(&str, &str)]) -> Imports {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        within(imports(&sources, "node/src/"), "engine")
    }

    #[test]
    fn imports_are_resolved_through_groups_and_parents() {
        let graph = graph(&[
            ("node/src/engine/mod.rs", "mod a;\npub mod b;\n"),
            ("node/src/engine/a.rs", "use super::b::{c::{D, E as F}, G};\n"),
            ("node/src/engine/b/mod.rs", "fn f() { crate::engine::effect::g() }\n"),
            ("node/src/engine/b/c.rs", "use self::inner::X;\nuse super::super::effect::Y;\n"),
            ("node/src/engine/effect.rs", "use std::fmt;\nuse kvorum_ring::NodeId;\n"),
        ]);
        let of = |name: &str| graph[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("engine::a"), ["engine::b", "engine::b::c"]);
        assert_eq!(of("engine::b"), ["engine::effect"]);
        assert_eq!(of("engine::b::c"), ["engine::effect"]);
        assert!(of("engine::effect").is_empty());
        assert_eq!(circle(&graph), None);
    }

    #[test]
    fn a_circle_is_found() {
        let graph = graph(&[
            ("node/src/engine/a.rs", "use crate::engine::b::B;\n"),
            ("node/src/engine/b.rs", "use super::c::C;\n"),
            ("node/src/engine/c.rs", "fn f() { super::a::g() }\n"),
        ]);
        let circle = circle(&graph).expect("a circle");
        assert_eq!(circle, ["engine::a", "engine::b", "engine::c", "engine::a"]);
    }

    #[test]
    fn a_child_that_leans_on_its_parents_reexport_is_a_circle() {
        let graph = graph(&[
            ("node/src/engine/mod.rs", "mod a;\npub use self::a::A;\n"),
            ("node/src/engine/a.rs", "use super::B;\n"),
        ]);
        assert!(circle(&graph).is_some());
    }

    #[test]
    fn test_code_may_import_what_it_likes() {
        let graph = graph(&[
            (
                "node/src/engine/a.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::engine::b::B;\n}\n",
            ),
            ("node/src/engine/b.rs", "use crate::engine::a::A;\n"),
        ]);
        assert_eq!(circle(&graph), None);
    }
}

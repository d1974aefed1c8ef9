//! Plans that once showed a bug, kept for ever: `simulations/regress/*.json`.
//!
//! A plan of a bug that was found in the code must pass. A plan of a planted bug must pass while the bug is not armed, and
//! must show it, by the property that the plan names, in a build that has it.

use std::fs;
use std::path::PathBuf;

use kvorum_simulations::plan::Plan;
use kvorum_simulations::planted;
use kvorum_simulations::run::{RunOptions, Source, run};

fn kept() -> Vec<(String, Plan)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regress");
    let mut plans: Vec<(String, Plan)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let plan = Plan::from_json(&fs::read_to_string(&path).unwrap());
            (name.clone(), plan.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect();
    plans.sort_by(|left, right| left.0.cmp(&right.0));
    assert!(plans.len() >= 7, "the kept plans are gone");
    plans
}

#[test]
fn kept_plans_violate_nothing_while_no_bug_is_armed() {
    for (name, plan) in kept() {
        let plan = Plan { planted: None, ..plan };
        let source = Source::Plan(Box::new(plan));
        let report = run(&RunOptions { source, planted: None, trace: false }).unwrap();
        assert_eq!(report.violation, None, "{name}\n{}", report.last_events.join("\n"));
    }
}

#[test]
fn kept_plans_of_planted_bugs_show_them() {
    let known = planted::names();
    for (name, plan) in kept() {
        let Some(bug) = plan.planted.clone() else { continue };
        assert!(plan.events.len() <= 30, "{name} is not small");
        assert!(plan.expect.is_some(), "{name} does not say what it shows");
        if !known.contains(&bug.as_str()) {
            assert!(known.is_empty(), "{name} needs a bug that nobody can plant any more");
            continue;
        }
        let expected = plan.expect;
        let source = Source::Plan(Box::new(plan));
        let report = run(&RunOptions { source, planted: None, trace: false }).unwrap();
        assert_eq!(report.violation.map(|violation| violation.property), expected, "{name}");
    }
}

//! Which suites there are, where each belongs, and which are meant by what was typed.

use std::fs;

use anyhow::{Context, Result};

use crate::host;

/// What wants systemd, or a program that only Debian has.
pub const IN_DEBIAN: [&str; 6] = [
    "vm_killers",
    "vm_pasta",
    "vm_podman",
    "vm_skopeo",
    "vm_systemd",
    "vm_why",
];

/// Names for several suites at once; what they stand for is written as it would be on the command line.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "launcher",
        &["vm_launch", "vm_life", "vm_pasta", "vm_image", "vm_skopeo"],
    ),
    (
        "limits",
        &["knobs", "vm_limits", "vm_edit", "vm_systemd", "vm_podman"],
    ),
    (
        "ui",
        &[
            "dashboard",
            "terminal",
            "vm_edit",
            "vm_pictures",
            "vm_monkey",
        ],
    ),
];

/// Whether a suite is meant by what was typed: a group, or how its name begins, with `_` or `-`.
pub fn is_meant(wanted: &str, suite: &str) -> bool {
    let wanted = &*wanted.replace('-', "_");
    let begins = |start: &str| {
        suite.starts_with(start)
            || suite
                .strip_prefix("vm_")
                .is_some_and(|rest| rest.starts_with(start))
    };
    match GROUPS.iter().find(|(name, _)| *name == wanted) {
        Some((_, starts)) => starts.iter().any(|start| begins(start)),
        None => begins(wanted),
    }
}

/// The integration suites by name.
pub fn suites() -> Result<Vec<String>> {
    let folder = host::workspace_dir().join("tests");
    let mut suites: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    suites.sort();
    Ok(suites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_meant_by_how_its_name_begins_or_by_its_group() {
        assert!(is_meant("vm_la", "vm_launch"));
        assert!(is_meant("la", "vm_launch"));
        assert!(!is_meant("launch", "live"));
        assert!(is_meant("limits", "vm_systemd"));
        assert!(is_meant("ui", "vm_dashboard"));
        assert!(!is_meant("ui", "vm_limits"));
    }

    #[test]
    fn what_a_group_stands_for_exists() {
        let suites = suites().unwrap();
        let named = GROUPS.iter().flat_map(|(_, starts)| *starts);
        for start in named.chain(&IN_DEBIAN) {
            assert!(suites.iter().any(|suite| is_meant(start, suite)), "{start}");
        }
        // A group must not hide a suite of its name.
        for (name, _) in GROUPS {
            assert!(!suites.contains(&name.to_owned()), "{name}");
        }
    }
}

//! The file of `ringfence up`: `[workload.NAME]` tables whose keys are the flags of `ringfence run`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use toml::Spanned;

use crate::command::place::pointed;
use crate::launch::spec::Spec;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    workload: BTreeMap<String, Spanned<Spec>>,
}

/// Reads and checks a file.
pub fn read(path: &Path) -> Result<Vec<Spec>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&path.display().to_string(), &text)
}

/// Parses the text of a file. Errors carry file, line and column.
pub fn parse(name: &str, text: &str) -> Result<Vec<Spec>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        anyhow!(pointed(name, text, at, error.message()))
    })?;
    if file.workload.is_empty() {
        bail!("{name}: no [workload.NAME] table in it");
    }
    file.workload
        .into_iter()
        .map(|(workload, spec)| {
            let at = spec.span().start;
            let mut spec = spec.into_inner();
            if spec.command.is_empty() && spec.image.is_none() {
                let missing = "missing field `command`, or `image`";
                bail!(pointed(name, text, at, missing));
            }
            let checked = workload
                .parse()
                .map_err(|error| anyhow!("{name}: workload `{workload}`: {error}"))?;
            spec.name = Some(checked);
            Ok(spec)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_named_workloads() {
        let specs = parse(
            "f.toml",
            "[workload.b]\ncommand = ['x']\n[workload.a]\ncommand = ['y']\ncpus = 0.5\n",
        );
        let names: Vec<String> = specs
            .unwrap()
            .iter()
            .map(|spec| spec.name.as_ref().unwrap().to_string())
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn every_mistake_is_pointed_at_in_one_line() {
        for (text, starts) in [
            (
                "[workload.a]\ncommand = ['x']\nmemory = '12parsecs'\n",
                "f.toml:3:10: `12parsecs` is not a size",
            ),
            (
                "[workload.a]\ncommand = ['x']\nmemroy = '1m'\n",
                "f.toml:3:1: unknown field `memroy`",
            ),
            (
                "[workload.a]\ncommand = ['x']\npids-limit = 0\n",
                "f.toml:3:14: `0` is not a number of processes",
            ),
            ("[workload.a]\ncommand = 'x'\n", "f.toml:2:11: invalid type"),
            (
                "[workload.a]\nmemory = '1m'\n",
                "f.toml:1:1: missing field `command`",
            ),
            (
                "[workload.'a/b']\ncommand = ['x']\n",
                "f.toml: workload `a/b`: `a/b` cannot be a name",
            ),
            (
                "[wrkload.a]\ncommand = ['x']\n",
                "f.toml:1:2: unknown field `wrkload`",
            ),
            ("[workload]\n", "f.toml: no [workload.NAME] table"),
            ("é = [\n", "f.toml:1:6: unclosed array"),
        ] {
            let error = parse("f.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(starts), "{error}\nwanted {starts}");
            assert!(!error.trim_end().contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_demo_is_five_workloads() {
        let specs = parse("demo.toml", include_str!("../../../assets/demo.toml")).unwrap();
        assert_eq!(specs.len(), 5);
    }
}

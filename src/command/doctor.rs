//! `ringfence doctor`: what this host offers, what is missing, and the command that would mend it.

mod checks;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::text;

/// What `doctor` was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Print JSON instead of text.
    pub json: bool,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found, in one line.
    pub detail: String,
    /// The command that mends it, where something is lacking.
    pub mend: Option<String>,
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// ringfence works, with less to show.
    Less,
    /// `ringfence run` cannot do its work.
    Lacking,
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Good => "ok",
            Self::Less => "less",
            Self::Lacking => "LACKING",
        })
    }
}

/// Looks at everything, prints it, and says in the exit code (0 or 1) whether `ringfence run` can work.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let proc = Path::new("/proc");
    let hierarchy = Hierarchy::discover(proc)?;
    let findings = checks::all(proc, &hierarchy);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        print!("{}", render(&findings));
    }
    let lacking = findings
        .iter()
        .any(|finding| finding.state == State::Lacking);
    Ok(u8::from(lacking))
}

/// One line a finding, and below it what mends it; a mend that serves several is written out once.
fn render(findings: &[Finding]) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    let mut said = Vec::new();
    let width = findings
        .iter()
        .map(|finding| finding.name.len())
        .max()
        .unwrap_or(0);
    for Finding {
        name,
        state,
        detail,
        mend,
    } in findings
    {
        let detail = text::sanitise(detail);
        let _ = writeln!(out, "{state:7}  {name:width$}  {detail}");
        if let Some(mend) = mend {
            let mend = if said.contains(&mend) {
                "as above"
            } else {
                said.push(mend);
                mend
            };
            let _ = writeln!(out, "{:7}  {:width$}  mend: {mend}", "", "");
        }
    }
    let verdict = match findings.iter().map(|finding| finding.state).max() {
        Some(State::Lacking) => {
            "`ringfence run` cannot work here as things are; `ringfence top` shows what there is"
        }
        Some(State::Less) => "ringfence works here, with less to show",
        _ => "everything is here",
    };
    let _ = writeln!(out, "\n{verdict}");
    out
}

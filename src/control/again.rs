//! What wants a process with one thread, as starting a workload does: the program is executed once more, with one of
//! its own verbs.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::kernel::process::bounded::{Ended, Output, output};
use crate::launch::spec::Name;

/// How long it may take: a workload may have a long grace before it is started again.
const PATIENCE: Duration = Duration::from_mins(10);
/// So much of what it says is handed on, in bytes.
const MOST: usize = 600;

/// `ringfence run -d ARGUMENTS…`. Gives the workload's name, and what was said besides.
pub fn run(arguments: &[String]) -> Result<(String, Option<String>)> {
    let output = ringfence(&["run", "-d"], arguments)?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // `--help` ends well, too.
    if name.parse::<Name>().is_err() {
        bail!("that starts nothing; its help is best read in a shell");
    }
    Ok((name, said(&output.stderr)))
}

/// `ringfence start NAME`: of one that is over. Gives what came of it in one sentence.
pub fn start(name: &str) -> Result<String> {
    named("start", name).map(|()| format!("started {name}"))
}

/// `ringfence restart NAME`: a stop, and a start. Gives what came of it in one sentence.
pub fn restart(name: &str) -> Result<String> {
    named("restart", name).map(|()| format!("restarted {name}"))
}

fn named(verb: &str, name: &str) -> Result<()> {
    ringfence(&[verb, "--"], &[name.to_owned()]).map(drop)
}

/// Waits for its end; an error is what it said.
fn ringfence(verb: &[&str], arguments: &[String]) -> Result<Output> {
    let mut command = Command::new("/proc/self/exe");
    command.args(verb).args(arguments);
    let output = output(command, PATIENCE).context("start ringfence once more")?;
    match output.ended {
        Ended::Itself(status) if status.success() => Ok(output),
        Ended::Itself(status) => match said(&output.stderr) {
            Some(said) => bail!("{said}"),
            None => bail!("it failed, and said nothing: {status}"),
        },
        Ended::Overdue => bail!("it was given up after {} minutes", PATIENCE.as_secs() / 60),
    }
}

/// The first paragraph of what was said, in one line and without the name of who says it: after that comes how the
/// program is used.
fn said(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim_end);
    let mut said = String::new();
    for line in lines.skip_while(|line| line.is_empty()) {
        if line.is_empty() {
            break;
        }
        let begins = ["ringfence: ", "error: "];
        match begins.iter().find_map(|begin| line.strip_prefix(begin)) {
            Some(sentence) if !said.is_empty() => {
                said.push_str("; ");
                said.push_str(sentence);
            }
            Some(sentence) => said.push_str(sentence),
            None => {
                said.push(' ');
                said.push_str(line.trim_start());
            }
        }
    }
    if said.len() > MOST {
        said.truncate(said.floor_char_boundary(MOST));
        said.push('…');
    }
    let said = said.trim();
    (!said.is_empty()).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_without_the_usage() {
        for (stderr, told) in [
            ("", None),
            (
                "error: invalid value '64q' for '--memory <SIZE>': no size\n\nFor more information, try '--help'.\n",
                Some("invalid value '64q' for '--memory <SIZE>': no size"),
            ),
            (
                "error: the following required arguments were not provided:\n  <COMMAND>...\n\nUsage: ringfence\n",
                Some("the following required arguments were not provided: <COMMAND>..."),
            ),
            (
                "ringfence: a: its supervisor was killed\nringfence: web is there already\n",
                Some("a: its supervisor was killed; web is there already"),
            ),
        ] {
            assert_eq!(said(stderr.as_bytes()).as_deref(), told);
        }
        let long = said("ü".repeat(2000).as_bytes()).unwrap();
        assert!(long.len() < MOST + 4 && long.ends_with("ü…"));
    }
}

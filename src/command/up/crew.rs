//! The workloads of one `up`, each under its own supervisor process.

use std::io::{BufRead, BufReader, Read, Write, stdout};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendError;

use crate::command::supervise::Order;
use crate::kernel::signals::EarlySignals;
use crate::launch::state::Terms;
use crate::launch::{Report, Spec};
use crate::model::{Note, Severity};
use crate::text::to_terminal;

/// How long to wait for every workload to have started (or not).
const START: Duration = Duration::from_secs(30);
/// How often to look meanwhile whether to end.
const LOOK: Duration = Duration::from_millis(100);

/// The workloads; dropping it stops them.
#[derive(Debug)]
pub struct Crew {
    members: Vec<Member>,
}

/// How one workload fared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Career {
    /// Its name.
    pub name: String,
    /// How often it was started again.
    pub restarts: u64,
    /// Whether it ever ran.
    pub started: bool,
}

#[derive(Debug)]
struct Member {
    supervisor: Child,
    reports: JoinHandle<Career>,
    output: JoinHandle<()>,
}

impl Crew {
    /// Starts all workloads, and returns when each has started or failed. What happens to them is told
    /// as notes; the notes end when the last of them has ended for good.
    pub fn start(specs: &[Spec], notes: &Sender<Note>, signals: &EarlySignals) -> Result<Self> {
        let (first, firsts) = mpsc::channel();
        let mut crew = Self {
            members: Vec::new(),
        };
        for spec in specs {
            let member = Member::start(spec, notes.clone(), first.clone())?;
            crew.members.push(member);
        }
        drop(first);
        // Late ones go on starting; the dashboard will show them.
        let deadline = Instant::now() + START;
        let mut waits = specs.len();
        while waits > 0 && Instant::now() < deadline && signals.came().is_none() {
            match firsts.recv_timeout(LOOK) {
                Ok(()) => waits -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(crew)
    }

    /// Stops all workloads (TERM, grace, kill) and waits until nothing is left of them.
    pub fn stop(mut self) -> Vec<Career> {
        self.tell_to_stop();
        self.members.drain(..).map(Member::join).collect()
    }

    fn tell_to_stop(&self) {
        for member in &self.members {
            // Unreaped until joined, so the pid is still its own. It may have ended: fine.
            let _ = kill(member.pid(), Signal::SIGTERM);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.tell_to_stop();
        for member in self.members.drain(..) {
            member.join();
        }
    }
}

impl Member {
    fn start(spec: &Spec, notes: Sender<Note>, first: mpsc::Sender<()>) -> Result<Self> {
        let name = spec
            .name
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut supervisor = Command::new("/proc/self/exe")
            .arg("supervise")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for us; we tell the supervisors.
            .process_group(0)
            .spawn()
            .context("start a supervisor")?;
        let (stdin, reports, output) = (
            supervisor.stdin.take(),
            supervisor.stdout.take(),
            supervisor.stderr.take(),
        );
        let order = Order {
            spec: spec.clone(),
            terms: Terms::default(),
            again: false,
        };
        serde_json::to_writer(stdin.context("no pipe to the supervisor")?, &order)
            .context("hand the spec to its supervisor")?;
        let reports = reports.context("no pipe from the supervisor")?;
        let output = output.context("no pipe from the workload")?;
        let (report_name, report_notes) = (name.clone(), notes.clone());
        Ok(Self {
            supervisor,
            reports: thread::spawn(move || follow(report_name, reports, &report_notes, &first)),
            output: thread::spawn(move || echo(&name, output, &notes)),
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.supervisor.id()).unwrap_or(i32::MAX))
    }

    fn join(mut self) -> Career {
        let career = self.reports.join().unwrap_or_default();
        let _ = self.output.join();
        let _ = self.supervisor.wait();
        career
    }
}

/// Reads reports to their end, and tells them as notes.
fn follow(
    name: String,
    reports: impl Read,
    notes: &Sender<Note>,
    first: &mpsc::Sender<()>,
) -> Career {
    let mut career = Career {
        name,
        ..Career::default()
    };
    for line in BufReader::new(reports).lines() {
        let Ok(line) = line else { break };
        let Ok(report) = serde_json::from_str::<Report>(&line) else {
            continue;
        };
        let severity = match &report {
            // The sampler tells of OOM kills, with the same words for all cgroups.
            Report::OomKill { .. } => continue,
            Report::Started { .. } => {
                career.started = true;
                Severity::Info
            }
            Report::Restarting { .. } => {
                career.restarts += 1;
                Severity::Info
            }
            Report::Exited { code: 0 } => Severity::Info,
            Report::Exited { .. } | Report::Failed { .. } | Report::Notice { .. } => {
                Severity::Warning
            }
        };
        // Before it is told, for which it may have to wait.
        let _ = first.send(());
        tell(notes, severity, format!("{}  {report}", career.name));
    }
    // Also for a supervisor that failed before its first report.
    let _ = first.send(());
    career
}

/// Tells what a workload prints, line by line, as long as somebody listens. Lines of the greatest
/// length are told in pieces, so that a workload that never ends its line costs no memory.
fn echo(name: &str, output: impl Read, notes: &Sender<Note>) {
    const LONGEST: u64 = 4096;
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while (&mut output)
        .take(LONGEST)
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let text = without_repeats(&String::from_utf8_lossy(line.trim_ascii_end()));
        if !text.is_empty() {
            tell(notes, Severity::Info, format!("{name}  {text}"));
        }
        line.clear();
    }
}

/// Control characters show as escapes, five times as long; of more than a few equal ones in a row, one and their number is
/// left.
fn without_repeats(text: &str) -> String {
    const FEW: usize = 4;
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let mut times = 1;
        while chars.next_if_eq(&char).is_some() {
            times += 1;
        }
        if times > FEW && char.is_control() {
            out.push(char);
            out.extend(["(", &times.to_string(), " times)"]);
        } else {
            out.extend(std::iter::repeat_n(char, times));
        }
    }
    out
}

fn tell(notes: &Sender<Note>, severity: Severity, text: String) {
    let note = Note {
        time: SystemTime::now(),
        severity,
        text,
        cgroup: None,
    };
    // Where the dashboard was left already: what is said while stopping.
    if let Err(SendError(note)) = notes.blocking_send(note) {
        // And nobody at all may read that.
        let _ = writeln!(stdout(), "{}", to_terminal(&note.text));
    }
}

#[cfg(test)]
mod tests {
    use super::without_repeats;

    #[test]
    fn many_equal_control_characters_are_counted() {
        for (text, short) in [
            ("a\0\0\0\0b", "a\0\0\0\0b"),
            ("a\0\0\0\0\0b", "a\0(5 times)b"),
            ("aaaaaaaa ééééééé", "aaaaaaaa ééééééé"),
            ("\u{1b}\u{1b}\u{1b}\u{1b}\u{1b}\u{1b}", "\u{1b}(6 times)"),
        ] {
            assert_eq!(without_repeats(text), short);
        }
        let zeros = "\0".repeat(4096);
        assert_eq!(without_repeats(&zeros), "\0(4096 times)");
    }
}

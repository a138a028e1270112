//! A command of the user's for every OOM incident: `--on-oom`. It learns all from its environment, so no
//! foreign name is ever part of what the shell reads.

use std::os::fd::AsFd as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, iter};

use tokio::sync::mpsc;

use crate::kernel::process::bounded::{Bounded, Ended};
use crate::kernel::unit::Limit;
use crate::model::{Incident, oom};
use crate::oom::{Fired, OomKill};

/// How long a command may run before it is killed.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How many incidents wait for their turn.
const QUEUE: usize = 256;

/// What the environment says of an incident. What is not known is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// All that is known of an incident.
    fn of(incident: &Incident) -> Self {
        let fired = incident.fired().map(|fired| fired.value);
        let lines = oom::lines(incident);
        let text = lines.first().map(String::as_str);
        Self::new(&incident.kill, &incident.name, fired, text)
    }

    /// All that is known of a kill in what people call `name`. What ran out is `likely` this, where nothing says it.
    pub fn new(kill: &OomKill, name: &str, likely: Option<&Fired>, text: Option<&str>) -> Self {
        let mut fields = Self::default();
        fields.set("TIME", Some(humantime::format_rfc3339_millis(kill.time)));
        fields.set("CGROUP", Some(&kill.path.value));
        fields.set("NAME", Some(name));
        fields.set("KILLS", Some(kill.kills));
        fields.set("GROUP", kill.group.map(|group| group.value));
        let known = kill.fired.as_ref().map(|fired| &fired.value);
        match known.or(likely) {
            Some(Fired::Host) => fields.set("LIMIT_OF", Some("host")),
            Some(Fired::Cgroup { path, max }) => {
                fields.set("LIMIT_OF", Some(path));
                fields.set("LIMIT", max.and_then(Limit::value).map(|max| max.0));
            }
            Some(Fired::Killer(killer)) => fields.set("KILLER", Some(&killer.name)),
            None => {}
        }
        if let Some(victim) = kill.victims.first() {
            fields.set("PID", Some(victim.pid));
            fields.set("INNER_PID", victim.inner_pid);
            fields.set("COMM", Some(&victim.comm));
            let sizes = [victim.rss(), victim.anon, victim.file, victim.shmem];
            for (key, size) in iter::zip(["RSS", "ANON", "FILE", "SHMEM"], sizes) {
                fields.set(key, Some(size.0));
            }
            fields.set("OOM_SCORE_ADJ", victim.oom_score_adj);
            fields.set("UID", victim.uid);
        }
        fields.set("TEXT", text);
        fields
    }

    fn set(&mut self, key: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            // The environment cannot hold it.
            self.0.push((key, value.to_string().replace('\0', "")));
        }
    }
}

/// Starts the command for one incident, through the shell, with what it prints on stderr.
pub fn start(command: &str, fields: &Fields, says: Says) -> io::Result<Bounded> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null());
    match says {
        Says::OnStderr => {
            shell.stdout(io::stderr().as_fd().try_clone_to_owned()?);
        }
        Says::Nothing => {
            shell.stdout(Stdio::null()).stderr(Stdio::null());
        }
    }
    for (key, value) in &fields.0 {
        shell.env(format!("RINGFENCE_{key}"), value);
    }
    Bounded::start(&mut shell, PATIENCE)
}

/// What went wrong with a command, if anything did.
pub fn trouble(ended: io::Result<Ended>) -> Option<String> {
    let how = match ended {
        Ok(Ended::Itself(status)) if status.success() => return None,
        Ok(Ended::Itself(status)) => words(status),
        Ok(Ended::Overdue) => format!("was killed after {} s", PATIENCE.as_secs()),
        Err(error) => format!("cannot be run: {error}"),
    };
    Some(format!("the command of --on-oom {how}"))
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with {code}"),
        (None, Some(signal)) => format!("died of signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Where what the command prints goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// To this program's stderr.
    OnStderr,
    /// Nowhere: there is a dashboard on the terminal.
    Nothing,
}

/// Runs the command for one incident after the other, on a thread of its own. Dropping it waits for those
/// that are due, for a while.
#[derive(Debug)]
pub struct Hook {
    /// `None` once it ends.
    queue: Option<SyncSender<Fields>>,
    troubles: mpsc::UnboundedReceiver<String>,
    thread: Option<JoinHandle<()>>,
    /// How many incidents there was no room for.
    missed: u64,
    ends: SyncSender<Instant>,
}

impl Hook {
    /// Gets ready. Starts nothing yet.
    pub fn new(command: String, says: Says) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let (ends, end) = sync_channel(1);
        let (tell, troubles) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("hook".to_owned())
            .spawn(move || work(&command, says, &jobs, &end, &tell))?;
        Ok(Self {
            queue: Some(queue),
            troubles,
            thread: Some(thread),
            missed: 0,
            ends,
        })
    }

    /// Has the command run for an incident. Never waits.
    pub fn call(&mut self, incident: &Incident) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            queue.try_send(Fields::of(incident))
        {
            self.missed += 1;
        }
    }

    /// What goes wrong, in sentences. Cancelling the wait loses nothing.
    pub async fn trouble(&mut self) -> String {
        match self.troubles.recv().await {
            Some(text) => self.with_missed(text),
            None => std::future::pending().await,
        }
    }

    fn with_missed(&mut self, text: String) -> String {
        match std::mem::take(&mut self.missed) {
            0 => text,
            missed => format!("{text}; for {missed} incidents it was not run: it is too slow"),
        }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.queue = None;
        let _ = self.ends.try_send(Instant::now() + PATIENCE);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(
    command: &str,
    says: Says,
    jobs: &Receiver<Fields>,
    end: &Receiver<Instant>,
    tell: &mpsc::UnboundedSender<String>,
) {
    let mut last = None;
    for fields in jobs {
        last = last.or_else(|| end.try_recv().ok());
        if last.is_some_and(|last| Instant::now() >= last) {
            return;
        }
        let ended = start(command, &fields, says).and_then(Bounded::wait);
        if let Some(text) = trouble(ended) {
            let _ = tell.send(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &str, fields: &Fields) -> Option<String> {
        trouble(start(command, fields, Says::Nothing).and_then(Bounded::wait))
    }

    #[test]
    fn a_name_is_a_value_whatever_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("told");
        let mut fields = Fields::default();
        fields.set("COMM", Some("a\0 b\n$(id)'\"é"));
        fields.set("UID", None::<u32>);
        let command = format!(
            "printf %s \"$RINGFENCE_COMM${{RINGFENCE_UID-unset}}\" >{}",
            file.display()
        );
        assert_eq!(run(&command, &fields), None);
        let told = std::fs::read_to_string(file).unwrap();
        assert_eq!(told, "a b\n$(id)'\"éunset");
    }

    #[test]
    fn failures_are_sentences() {
        let fails = |command: &str| run(command, &Fields::default()).unwrap();
        assert_eq!(fails("exit 3"), "the command of --on-oom ended with 3");
        assert_eq!(
            fails("kill -TERM $$"),
            "the command of --on-oom died of signal 15"
        );
    }
}

//! Processes: who is in a cgroup, which pid each has inside its namespaces, what it runs.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use procfs::process::Process;

use super::badness::Badness;
use super::parse;
use super::process::read_status;
use super::unit::{Bytes, Malformed, Micros};
use namespace::{Namespace, Reference};

pub mod namespace;

/// The pids of `cgroup.procs`. Processes of another pid namespace read 0 and are left out.
pub fn parse_procs(text: &[u8], pids: &mut Vec<u32>) -> Result<(), Malformed> {
    const WHAT: &str = "cgroup.procs";
    pids.clear();
    for line in parse::lines(text) {
        let pid =
            u32::try_from(parse::number(line, WHAT)?).map_err(|_| Malformed { what: WHAT })?;
        if pid != 0 {
            pids.push(pid);
        }
    }
    Ok(())
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its pid in each nested pid namespace, outermost first; empty where it is in the reader's own.
    pub inner_pids: Vec<u32>,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// Its command line, or its `[comm]`. Foreign text.
    pub command: String,
    /// Its name to the kernel, at most 15 bytes. Foreign text.
    pub comm: String,
    /// Resident memory.
    pub rss: Bytes,
    /// What counts of it when a victim is chosen; `None` of kernel threads and zombies, and where nobody asked.
    pub badness: Option<Badness>,
    /// The pid of its parent; 0 where that is outside the reader's pid namespace.
    pub ppid: u32,
    /// What it does, as one letter: `R` runs, `S` sleeps, `D` waits for a device, `Z` is a zombie.
    ///
    /// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
    pub state: char,
    /// How many threads it has.
    pub threads: u32,
    /// CPU time used, in user mode and in the kernel, by all its threads.
    pub cpu_time: Micros,
    /// The namespaces that fence it; empty where they may not be read.
    pub namespaces: Arc<[Namespace]>,
}

/// The pids of a process inside its namespaces (`NSpid` of `PROC/PID/status`, since 4.1), outermost
/// first; empty where it is in the reader's own. `None` where it is gone. Zombies still have it; of one that is reaped
/// while it is read the kernel says 0, which is no pid.
pub fn inner_pids(proc: &Path, pid: u32) -> Option<Vec<u32>> {
    let status = read_status(&process(proc, pid)?)?;
    let pids = status.nspid.unwrap_or_default();
    pids.into_iter()
        .skip(1)
        .map(|pid| u32::try_from(pid).ok().filter(|&pid| pid != 0))
        .collect()
}

/// The pid that it sees itself, where that is in another namespace than the reader's.
pub fn innermost_pid(proc: &Path, pid: u32) -> Option<u32> {
    inner_pids(proc, pid)?.last().copied()
}

/// The v2 cgroup of a process, as a path from the v2 root; zombies still have it, and a removed cgroup
/// still has its name.
pub fn cgroup(proc: &Path, pid: u32) -> Option<String> {
    let path = super::cgroup::hierarchy::of_process(proc, &pid.to_string()).ok()??;
    let path = path.into_os_string().into_string().ok()?;
    Some(path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned())
}

/// Reads processes and remembers of each what does not change.
#[derive(Debug)]
pub struct Tasks {
    proc: PathBuf,
    known: HashMap<u32, Known>,
    round: u64,
    room: usize,
    host: Reference,
}

#[derive(Debug)]
struct Known {
    start_time: u64,
    comm: String,
    inner_pids: Vec<u32>,
    command: String,
    namespaces: Arc<[Namespace]>,
    round: u64,
    read_in: u64,
}

/// How many processes are read in one round, however many there are.
const AT_MOST: usize = 4096;
/// A command line may be rewritten by its process: it is read again after so many rounds.
const COMMAND_ROUNDS: u64 = 16;

impl Tasks {
    /// Reads from `/proc`, or a fixture.
    pub fn new(proc: PathBuf) -> Self {
        Self {
            host: Reference::new(&proc),
            proc,
            known: HashMap::new(),
            round: 0,
            room: AT_MOST,
        }
    }

    /// Begins a sweep: processes that were not read in the last one are forgotten.
    pub fn begin(&mut self) {
        let last = self.round;
        self.known.retain(|_, known| known.round == last);
        self.round += 1;
        self.room = AT_MOST;
    }

    /// Reads those that are not gone, as many as there is room for in this round, on request with their
    /// [`badness`](Task::badness). Says how many were left out.
    pub fn read_all(&mut self, pids: &[u32], badness: bool) -> (Vec<(u32, Task)>, usize) {
        let (read, more) = pids.split_at(self.room.min(pids.len()));
        self.room -= read.len();
        let tasks = read.iter().filter_map(|&pid| {
            let process = process(&self.proc, pid)?;
            Some((pid, self.read(pid, &process, badness)?))
        });
        (tasks.collect(), more.len())
    }

    /// Reads threads by the ids of `cgroup.threads`, as many as there is room for in this round. CPU time and state are each
    /// one's own, the rest is the process's.
    pub fn read_threads(&mut self, tids: &[u32]) -> Vec<(u32, Task)> {
        let tids = &tids[..self.room.min(tids.len())];
        self.room -= tids.len();
        let threads = tids.iter().filter_map(|&tid| {
            let path = self.proc.join(format!("{tid}/task/{tid}"));
            let thread = Process::new_with_root(path).ok()?;
            Some((tid, self.read(tid, &thread, false)?))
        });
        threads.collect()
    }

    /// Reads one process; `None` where it is gone.
    fn read(&mut self, pid: u32, process: &Process, badness: bool) -> Option<Task> {
        let stat = process.stat().ok()?;
        let round = self.round;
        let known = self.known.get(&pid).filter(|known| {
            // Another process, or another program: exec sets the comm.
            known.start_time == stat.starttime
                && known.comm == stat.comm
                && known.read_in + COMMAND_ROUNDS > round
        });
        if known.is_none() {
            let known = Known {
                start_time: stat.starttime,
                inner_pids: inner_pids(&self.proc, pid)?,
                command: command(process).unwrap_or_else(|| format!("[{}]", stat.comm)),
                comm: stat.comm,
                namespaces: self.host.of(&self.proc, pid).into(),
                round,
                read_in: round,
            };
            self.known.insert(pid, known);
        }
        let known = self.known.get_mut(&pid)?;
        known.round = round;
        Some(Task {
            inner_pids: known.inner_pids.clone(),
            start_time: known.start_time,
            command: known.command.clone(),
            comm: known.comm.clone(),
            badness: badness.then(|| Badness::read(process)).flatten(),
            rss: Bytes(stat.rss.saturating_mul(procfs::page_size())),
            ppid: u32::try_from(stat.ppid).unwrap_or(0),
            state: stat.state,
            threads: u32::try_from(stat.num_threads).unwrap_or(0),
            cpu_time: micros(stat.utime.saturating_add(stat.stime)),
            namespaces: Arc::clone(&known.namespaces),
        })
    }
}

/// Clock ticks as time.
fn micros(ticks: u64) -> Micros {
    Micros(ticks.saturating_mul(1_000_000 / procfs::ticks_per_second().max(1)))
}

fn process(proc: &Path, pid: u32) -> Option<Process> {
    Process::new_with_root(proc.join(pid.to_string())).ok()
}

/// The command line, arguments separated by spaces. Kernel threads and zombies have none.
fn command(process: &Process) -> Option<String> {
    let mut bytes = Vec::new();
    // A command line can be as long as the stack allows; nobody reads more than this.
    process
        .open_relative("cmdline")
        .ok()?
        .take(4096)
        .read_to_end(&mut bytes)
        .ok()?;
    let end = bytes.iter().rposition(|&byte| byte != 0)? + 1;
    for byte in &mut bytes[..end] {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_of_other_namespaces_are_left_out() {
        let mut pids = vec![9];
        parse_procs(b"1\n0\n4194303\n", &mut pids).unwrap();
        assert_eq!(pids, [1, 4_194_303]);
        assert!(parse_procs(b"x\n", &mut pids).is_err());
    }

    #[test]
    fn no_more_are_read_in_a_round_than_there_is_room_for() {
        let pids = [std::process::id(); AT_MOST - 1];
        let mut tasks = Tasks::new("/proc".into());
        for _ in 0..2 {
            tasks.begin();
            let (read, more) = tasks.read_all(&pids, false);
            assert_eq!((read.len(), more), (pids.len(), 0));
            let (read, more) = tasks.read_all(&pids[..3], true);
            assert_eq!((read.len(), more), (1, 2));
        }
    }

    #[test]
    fn this_very_process_can_be_read() {
        let pid = std::process::id();
        let mut tasks = Tasks::new("/proc".into());
        tasks.begin();
        let this = process(&tasks.proc, pid).unwrap();
        let task = tasks.read(pid, &this, true).unwrap();
        assert!(task.rss.0 > 0 && task.start_time > 0 && !task.command.is_empty());
        assert!(task.badness.unwrap().rss.0 > 0 && !task.comm.is_empty());
        assert!(task.threads >= 1 && "RSD".contains(task.state));
        assert_eq!(task.ppid, std::os::unix::process::parent_id());
        assert!(
            task.namespaces
                .iter()
                .any(|namespace| namespace.kind == namespace::Kind::Pid)
        );
        let threads = tasks.read_threads(&[pid, u32::MAX]);
        assert_eq!(threads.len(), 1);
        assert_eq!(threads[0].1.start_time, task.start_time);
        assert_eq!(tasks.read_all(&[u32::MAX], true), (vec![], 0));
    }
}

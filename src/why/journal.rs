//! What systemd's journal has: the kernel's lines, of earlier boots too, and what user space killers and systemd said.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::SystemTime;

use super::{Cause, Death, Findings, Origin, Statement};
use crate::names::local::Names;
use crate::oom::journal::{JournalEntry, KILLERS, ProgramVictim, entries, written_since};
use crate::oom::past::BootLog;

/// `SD_MESSAGE_UNIT_OUT_OF_MEMORY`: "A process of this unit has been killed by the OOM killer."
const OUT_OF_MEMORY: &str = "fe6faa94e7774663a0da52717891d8ef";
/// `SD_MESSAGE_UNIT_OOMD_KILL`: "systemd-oomd killed N process(es) in this unit."
const OOMD_KILL: &str = "d989611b15e44c9dbf31e3c81256e4ed";
/// How much of what `journalctl` complains of is read, in bytes.
const COMPLAINT: u64 = 64 << 10;
/// How many entries are read at most.
const ENTRIES: usize = 1 << 20;

/// Reads what was written since a time: the kernel's lines, then what programs said.
pub fn read(root: &Path, since: SystemTime, names: &mut Names) -> Findings {
    let is_there = ["var/log/journal", "run/log/journal"].map(|place| root.join(place).exists());
    if !is_there.contains(&true) {
        return Findings::unread(Origin::Journal, "there is none on this host");
    }
    let mut told = Findings::default();
    let mut kernel = Kernel::default();
    let read = query(since, &["_TRANSPORT=kernel"], |entry| kernel.hear(entry));
    told.deaths.extend(kernel.deaths(names));
    let why = match read {
        Ok(0) => Some("it has no line of the kernel since then".to_owned()),
        Ok(_) => None,
        Err(why) => Some(why),
    };
    if let Some(why) = why {
        told.add_unread(Origin::KernelLogInJournal, why);
    }
    let ids = [OUT_OF_MEMORY, OOMD_KILL].map(|id| format!("MESSAGE_ID={id}"));
    // Of root: anybody may write an entry with any id.
    let mut wanted = vec![&*ids[0], &*ids[1], "_UID=0", "+"];
    wanted.extend(KILLERS);
    if let Err(why) = query(since, &wanted, |entry| {
        told.deaths.extend(by_program(entry, names));
    }) {
        told.add_unread(Origin::Journal, why);
    }
    told
}

/// Calls `hear` with each entry; the error is a sentence.
fn query(
    since: SystemTime,
    fields: &[&str],
    mut hear: impl FnMut(&JournalEntry),
) -> Result<usize, String> {
    let mut child = written_since(since, fields)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("journalctl: {error}"))?;
    let mut heard = 0;
    for entry in child
        .stdout
        .take()
        .into_iter()
        .flat_map(entries)
        .take(ENTRIES)
    {
        heard += 1;
        hear(&entry);
    }
    let said = |child: &mut std::process::Child| {
        let mut text = String::new();
        let stderr = child.stderr.take();
        stderr.map(|stderr| stderr.take(COMPLAINT).read_to_string(&mut text));
        text.trim().to_owned()
    };
    // One that has more to say waits for its reader.
    let _ = child.kill();
    let text = said(&mut child);
    let _ = child.wait();
    match heard {
        0 if !text.is_empty() => Err(text),
        heard => Ok(heard),
    }
}

/// The kernel's lines, boot by boot.
#[derive(Default)]
struct Kernel(BTreeMap<String, BootLog>);

impl Kernel {
    fn hear(&mut self, entry: &JournalEntry) {
        let told = || Some((entry.written()?, entry.since_boot()?, entry.text()?));
        if let Some((written, since_boot, text)) = told() {
            let lines = self
                .0
                .entry(entry.boot.clone())
                .or_insert_with(BootLog::begin);
            // The reports of 6.1 are one record of many lines, here and in the log.
            lines.hear(written, since_boot, &text);
        }
    }

    fn deaths(self, names: &mut Names) -> impl Iterator<Item = Death> {
        let kills = self.0.into_values().flat_map(BootLog::kills);
        kills.map(|kill| Death::by_kernel(Origin::KernelLogInJournal, kill, names))
    }
}

/// What a program said of a kill; `None` of anything else.
fn by_program(entry: &JournalEntry, names: &mut Names) -> Option<Death> {
    let at = entry.written();
    let evidence = Statement {
        source: Origin::Journal,
        text: entry.text()?.into_owned(),
    };
    let cause = match entry.id.as_deref() {
        Some(OUT_OF_MEMORY) => Some(Cause::Oom),
        Some(OOMD_KILL) => Some(Cause::Killer("systemd-oomd")),
        _ => None,
    };
    if let Some(cause) = cause {
        let unit = entry.unit.as_ref()?;
        return Some(Death::of_unit(unit, names, at, cause, evidence));
    }
    let killed = entry.killed()?;
    let cause = Cause::Killer(killed.program);
    let called = |name: String, aliases, commands| Death {
        at,
        name,
        aliases,
        commands,
        cgroup: None,
        cause: cause.clone(),
        evidence: vec![evidence.clone()],
    };
    Some(match killed.victim {
        ProgramVictim::Cgroup(path) => {
            let death = Death::of_unit(&path, names, at, cause.clone(), evidence.clone());
            Death {
                cgroup: Some(path.into()),
                ..death
            }
        }
        ProgramVictim::Process { comm, .. } => called(comm.clone(), Vec::new(), vec![comm]),
        ProgramVictim::Pod { name, uid } => called(name, vec![uid], Vec::new()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(fields: &str) -> JournalEntry {
        let text =
            format!(r#"{{"__REALTIME_TIMESTAMP":"1782907421500000","_BOOT_ID":"b1",{fields}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn names() -> Names {
        Names::new("/nowhere")
    }

    #[test]
    fn what_user_space_killers_and_systemd_say() {
        let of = |program: &str, message: &str| {
            let message = serde_json::to_string(message).unwrap();
            let fields = format!(r#""SYSLOG_IDENTIFIER":"{program}","MESSAGE":{message}"#);
            by_program(&entry(&fields), &mut names())
        };
        let oomd = of(
            "systemd-oomd",
            "Killed /system.slice/web.service due to memory pressure for /system.slice being 70% > 50%",
        )
        .unwrap();
        assert_eq!(oomd.cause, Cause::Killer("systemd-oomd"));
        assert_eq!(
            (&*oomd.name, oomd.cgroup.as_deref()),
            ("web.service", Some("/system.slice/web.service"))
        );
        let early = of(
            "earlyoom",
            r#"sending SIGTERM to process 4711 uid 1000 "my app": oom_score 300, VmRSS 512 MiB"#,
        )
        .unwrap();
        assert_eq!(
            (early.cause, &*early.name),
            (Cause::Killer("earlyoom"), "my app")
        );
        let pod = of(
            "kubelet",
            "eviction manager: pod web_shop(77-88) is evicted successfully",
        )
        .unwrap();
        assert_eq!(
            (pod.cause, &*pod.name),
            (Cause::Killer("kubelet"), "web_shop")
        );
        let fields = format!(
            r#""MESSAGE_ID":"{OUT_OF_MEMORY}","UNIT":"web.service","MESSAGE":"web.service: A process of this unit has been killed by the OOM killer.""#
        );
        let unit = by_program(&entry(&fields), &mut names()).unwrap();
        assert_eq!((unit.cause, &*unit.name), (Cause::Oom, "web.service"));
    }

    #[test]
    fn the_kernels_lines_of_several_boots() {
        let mut kernel = Kernel::default();
        let lines = [
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=tail,pid=7,uid=0",
            "Memory cgroup out of memory: Killed process 7 (tail) total-vm:1kB, anon-rss:4kB, file-rss:2kB, shmem-rss:1kB, UID:0 pgtables:4kB oom_score_adj:0",
        ];
        for boot in ["b1", "b2"] {
            for line in lines {
                let mut entry = entry(&format!(
                    r#""_SOURCE_MONOTONIC_TIMESTAMP":"5000000","MESSAGE":"{line}""#
                ));
                boot.clone_into(&mut entry.boot);
                kernel.hear(&entry);
            }
            // Bytes, nothing, and something twice.
            for message in ["[79,111,109]", "null", r#"["a","b"]"#] {
                kernel.hear(&entry(&format!(
                    r#""_SOURCE_MONOTONIC_TIMESTAMP":"5000000","MESSAGE":{message}"#
                )));
            }
        }
        let deaths: Vec<Death> = kernel.deaths(&mut names()).collect();
        assert_eq!(deaths.len(), 2);
        let written = SystemTime::UNIX_EPOCH + Duration::from_millis(1_782_907_421_500);
        assert_eq!(deaths[0].at, Some(written));
        assert_eq!(deaths[0].cgroup.as_deref(), Some("/a/b"));
        assert!(deaths[0].is_called("tail") && deaths[0].is_called("/a"));
    }
}

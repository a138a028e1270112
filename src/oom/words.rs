//! What is said about a kill, by everybody who tells of one. All of it holds foreign text.

use std::borrow::Cow;

use super::{Fired, Means, OomKill, Victim};
use crate::text;

/// What filled less than this share of the memory is not worth a word.
const WORTH_A_WORD: u64 = 64;

/// Where nothing tells which limit it was.
pub const UNKNOWN_LIMIT: &str = "limit not known";

/// One line: the victim that was chosen, how many went with it, and whose limit it was.
pub fn line(kill: &OomKill, name: &str, limit: &str) -> String {
    let Some(victim) = kill.victims.first() else {
        return nameless(kill, name, limit);
    };
    let victim = about(victim, "");
    let others = match kill.kills {
        0 | 1 => String::new(),
        2 => " · 1 more process with it".to_owned(),
        kills => format!(" · {} more processes with it", kills - 1),
    };
    let by = by(kill);
    format!("{by}  {name}  {victim}{others} · {limit}{}", filled(kill))
}

/// A line for each victim, the chosen one first, and one for those that are not known.
pub fn lines(kill: &OomKill, name: &str, limit: &str) -> Vec<String> {
    let victims = kill.victims.iter().enumerate();
    let by = by(kill);
    let mut lines: Vec<String> = victims
        .map(|(at, victim)| {
            let filled = if at == 0 { filled(kill) } else { String::new() };
            let victim = about(victim, "");
            format!("{by}  {name}  {victim} · {limit}{filled}")
        })
        .collect();
    if kill.kills > lines.len() as u64 {
        lines.push(nameless(kill, name, limit));
    }
    lines
}

/// `OOM kill`, which is the kernel's, or `killed by earlyoom`.
fn by(kill: &OomKill) -> Cow<'static, str> {
    match kill.killer() {
        None => "OOM kill".into(),
        Some(killer) => format!("killed by {}", killer.name).into(),
    }
}

/// Those that nothing names.
fn nameless(kill: &OomKill, name: &str, limit: &str) -> String {
    if kill.killer().is_some() {
        return format!("{}  {name}  {limit}", by(kill));
    }
    let unknown = kill.kills.saturating_sub(kill.victims.len() as u64);
    let more = if kill.victims.is_empty() { "" } else { " more" };
    let processes = if unknown == 1 { "process" } else { "processes" };
    format!("OOM kill  {name}  {unknown}{more} {processes}, not named by the kernel log · {limit}")
}

/// `pid 48213 (1 inside) python3 · rss 63.1M`; `unseen` stands for a pid inside that nobody saw.
pub fn about(victim: &Victim, unseen: &str) -> String {
    let inside = match victim.inner_pid {
        None => unseen.to_owned(),
        Some(pid) if pid == victim.pid => String::new(),
        pid => text::inside(pid),
    };
    format!(
        "pid {}{inside} {} · rss {}",
        victim.pid,
        victim.comm,
        text::bytes(victim.rss())
    )
}

/// `limit memory.max 64M of leaker`, where that is known; `label` tells what to call a path.
pub fn limit(kill: &OomKill, label: &dyn Fn(&str) -> String) -> Option<String> {
    Some(match &kill.fired.as_ref()?.value {
        Fired::Killer(killer) => killer.text.clone(),
        Fired::Host => "the host ran out of memory".to_owned(),
        Fired::Cgroup { path, max } => {
            let max = max.map_or_else(String::new, |max| format!(" {}", text::limit(max)));
            format!("limit memory.max{max} of {}", label(path))
        }
    })
}

/// ` · filled with anon 31.4M, kernel 512K`, where the kernel says it of the cgroup that ran out.
fn filled(kill: &OomKill) -> String {
    let is_own = kill.limit_path() == Some(&kill.path.value);
    let stat = kill
        .memory_stat
        .as_ref()
        .filter(|stat| is_own && stat.from == Means::KernelLog);
    let Some(stat) = stat else {
        return String::new();
    };
    let mut parts = stat.value.composition();
    let total: u64 = parts.iter().map(|(_, size)| size.0).sum();
    parts.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let parts = parts
        .iter()
        .filter(|(_, size)| size.0 > total / WORTH_A_WORD);
    let parts: Vec<String> = parts
        .map(|(name, size)| format!("{name} {}", text::bytes(*size)))
        .collect();
    format!(" · filled with {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::kernel::cgroup::CgroupId;
    use crate::kernel::memory::MemoryStat;
    use crate::kernel::unit::{Bytes, Limit};
    use crate::oom::Fact;

    fn kill(kills: u64, victims: Vec<Victim>) -> OomKill {
        OomKill {
            time: SystemTime::UNIX_EPOCH,
            logged_at: None,
            cgroup: CgroupId(1),
            path: Fact::new("/a".into(), Means::KernelLog),
            kills,
            total: None,
            group: None,
            fired: Some(Fact::new(
                Fired::Cgroup {
                    path: "/a".into(),
                    max: Some(Limit::At(Bytes(32 << 20))),
                },
                Means::KernelLog,
            )),
            victims,
            memory_stat: None,
            choice: None,
        }
    }

    fn victim(pid: u32) -> Victim {
        Victim {
            pid,
            inner_pid: Some(1),
            comm: "tail".into(),
            anon: Bytes(31 << 20),
            file: Bytes(512 << 10),
            shmem: Bytes(0),
            uid: None,
            oom_score_adj: None,
            from: Means::KernelLog,
        }
    }

    #[test]
    fn a_kill_is_one_line() {
        let limit = limit(&kill(1, Vec::new()), &|path| path.replace("/a", "leaker")).unwrap();
        let one = |kill: &OomKill| line(kill, "leaker", &limit);
        let mut told = kill(1, vec![victim(48213)]);
        assert_eq!(
            one(&told),
            "OOM kill  leaker  pid 48213 (1 inside) tail · rss 31.5M · limit memory.max 32M of leaker"
        );
        told.kills = 3;
        told.memory_stat = Some(Fact::new(
            MemoryStat {
                anon: Bytes(31 << 20),
                file: Bytes(1 << 20),
                shmem: Bytes(1 << 20),
                kernel: Bytes(1),
                ..MemoryStat::default()
            },
            Means::KernelLog,
        ));
        assert_eq!(
            one(&told),
            "OOM kill  leaker  pid 48213 (1 inside) tail · rss 31.5M · 2 more processes with it · limit memory.max 32M \
             of leaker · filled with anon 31M, shmem 1M"
        );
        assert_eq!(
            one(&kill(2, Vec::new())),
            "OOM kill  leaker  2 processes, not named by the kernel log · limit memory.max 32M of leaker"
        );
    }

    #[test]
    fn victims_have_a_line_each() {
        let lines = lines(&kill(3, vec![victim(7), victim(8)]), "x", "limit not known");
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(
            lines[2],
            "OOM kill  x  1 more process, not named by the kernel log · limit not known"
        );
    }
}

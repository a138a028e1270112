use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use super::*;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::cgroup::hierarchy::Mode;
use crate::kernel::cpu::CpuStat;
use crate::kernel::memory::MemoryStat;
use crate::kernel::unit::{Micros, Reading};
use crate::model::chain::Chain;
use crate::sample::{CgroupSample, HostSample, Sample};

const M: u64 = 1 << 20;

static SETTING: LazyLock<Setting> = LazyLock::new(|| Setting {
    host_memory: Some(Bytes(1024 * M)),
    host_cpus: "0-1".parse().unwrap(),
    parent_cpus: Some("0".parse().unwrap()),
    page: 4096,
    memory_max: Some(Limit::At(Bytes(64 * M))),
    idle: false,
});

/// A cgroup on a host with 1 GiB and two CPUs: paths, the root first, and what is set on each.
fn chain(paths: &[&str], set: impl Fn(&str, &mut CgroupSample)) -> Chain {
    let sample = |second: u64| {
        let mut parent = None;
        let cgroups = paths.iter().zip(1..).map(|(path, id)| {
            let mut cgroup = CgroupSample::unread(CgroupId(id), parent, (*path).into());
            parent = Some(CgroupId(id));
            set(path, &mut cgroup);
            cgroup.cpu_stat = cgroup.cpu_stat.map(|stat| CpuStat {
                usage_usec: Micros(stat.usage_usec.0 * second),
                ..*stat
            });
            Arc::new(cgroup)
        });
        Sample {
            time: SystemTime::UNIX_EPOCH,
            since_boot: Duration::from_secs(second),
            cgroups: cgroups.collect(),
            host: HostSample {
                cpus: 2,
                memory_total: Reading::Value(Bytes(1024 * M)),
                memory_available: Reading::Value(Bytes(924 * M)),
                swap_total: Reading::NotAvailable,
                swap_free: Reading::NotAvailable,
                ..HostSample::read(Path::new("/nowhere"), Mode::V2, Arc::from([]))
            },
        }
    };
    Chain::new(Some(sample(1)), sample(2))
}

/// A change of a knob whose levels, nearest first, stand at these values and usages.
fn change(knob: Knob, new: &str, levels: &[(&str, f64)]) -> Change {
    let read = |text: &str| KnobValue::parse(knob.into(), text.as_bytes()).unwrap();
    let at = |path: &str| ["/a/b", "/a"].iter().position(|level| *level == path);
    let standings: Vec<Standing> = ["/a/b", "/a"]
        .iter()
        .zip(levels)
        .map(|(path, (value, _))| Standing {
            path: (*path).to_owned(),
            value: Reading::Value(read(value)),
        })
        .collect();
    let mut chain = chain(&["/", "/a", "/a/b"], |path, cgroup| {
        let Some((value, used)) = at(path).and_then(|at| levels.get(at)) else {
            return;
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let amount = *used as u64;
        match (knob, read(value)) {
            (Knob::MemoryMax, KnobValue::Size(max)) => cgroup.memory_max = Reading::Value(max),
            (Knob::MemoryHigh, KnobValue::Size(high)) => cgroup.memory_high = Reading::Value(high),
            (Knob::SwapMax, KnobValue::Size(max)) => cgroup.swap_max = Reading::Value(max),
            (Knob::PidsMax, KnobValue::Count(max)) => cgroup.pids_max = Reading::Value(max),
            (Knob::CpuMax, KnobValue::CpuMax(max)) => cgroup.cpu_max = Reading::Value(max),
            _ => {}
        }
        match knob {
            Knob::SwapMax => cgroup.swap_current = Reading::Value(Bytes(amount)),
            Knob::PidsMax => cgroup.pids_current = Reading::Value(amount),
            Knob::CpuMax => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let usage_usec = Micros((used * 1e6) as u64);
                cgroup.cpu_stat = Reading::Value(CpuStat {
                    usage_usec,
                    ..CpuStat::default()
                });
            }
            _ => cgroup.memory_current = Reading::Value(Bytes(amount)),
        }
    });
    let wanted = KnobValue::from_words(knob, new).unwrap();
    chain.set(knob, &wanted, SETTING.parent_cpus.as_ref());
    let (old, after) = (read(levels[0].0), chain.row().unwrap());
    Change::new(
        knob.into(),
        None,
        old,
        &wanted,
        &standings,
        &SETTING,
        &after,
    )
}

fn worst(change: &Change) -> (Option<Gravity>, String) {
    let worst = change.remarks.iter().max_by_key(|remark| remark.gravity);
    (
        worst.map(|remark| remark.gravity),
        worst.map(|remark| remark.text.clone()).unwrap_or_default(),
    )
}

#[test]
fn what_is_only_dropped_is_no_danger() {
    let of = |droppable: u64| {
        let mut chain = chain(&["/", "/a"], |path, cgroup| {
            if path == "/a" {
                cgroup.memory_current = Reading::Value(Bytes(150 * M));
                cgroup.memory_max = Reading::Value(Limit::Max);
                cgroup.memory_stat = Reading::Value(Arc::new(MemoryStat {
                    inactive_file: Bytes(droppable * M),
                    ..MemoryStat::default()
                }));
            }
        });
        let standing = Standing {
            path: "/a".to_owned(),
            value: Reading::Value(KnobValue::Size(Limit::Max)),
        };
        let (knob, wanted) = (Knob::MemoryMax, KnobValue::Size(Limit::At(Bytes(64 * M))));
        chain.set(knob, &wanted, None);
        let (old, after) = (KnobValue::Size(Limit::Max), chain.row().unwrap());
        let change = Change::new(
            knob.into(),
            None,
            old,
            &wanted,
            &[standing],
            &SETTING,
            &after,
        );
        (change.bound.clone(), worst(&change))
    };
    let note = "86M below usage: as much page cache will be dropped";
    assert_eq!(
        of(140),
        (Bound::Own, (Some(Gravity::Note), note.to_owned()))
    );
    let danger = "6M below usage: the kernel will reclaim, then OOM-kill";
    assert_eq!(of(80).1, (Some(Gravity::Danger), danger.to_owned()));
}

#[test]
fn a_line_says_old_new_usage_and_who_binds() {
    let used = 8.1 * M as f64;
    for (knob, new, levels, line) in [
        (
            Knob::MemoryMax,
            "32m",
            &[("67108864", used)][..],
            "memory.max  64M → 32M  (8.1M in use; binding)",
        ),
        (
            Knob::MemoryMax,
            "32m",
            &[("max", used), ("10485760", used)],
            "memory.max  max → 32M  (8.1M in use; bound by memory.max 10M of /a)",
        ),
        (
            Knob::MemoryMax,
            "max",
            &[("67108864", used)],
            "memory.max  64M → max  (8.1M in use; bound by the host's 1G)",
        ),
        (
            Knob::PidsMax,
            "max",
            &[("7", 3.0)],
            "pids.max  7 → max  (3 in use; no limit)",
        ),
        (
            Knob::CpuMax,
            "50%",
            &[("max 100000", 0.25)],
            "cpu.max  max → 0.5 cpu  (0.25 cpu in use; binding)",
        ),
        (
            Knob::MemoryMax,
            "67117056",
            &[("67112960", used)],
            "memory.max  67112960 → 67117056  (8.1M in use; binding)",
        ),
    ] {
        assert_eq!(change(knob, new, levels).to_string(), line);
    }
}

#[test]
fn another_kind_of_limit_may_be_met_first() {
    let used = |path: &str, cgroup: &mut CgroupSample| {
        if path != "/" {
            cgroup.memory_current = Reading::Value(Bytes(8 * M));
            cgroup.memory_max = Reading::Value(Limit::Max);
        }
        cgroup.memory_high = match path {
            "/a" => Reading::Value(Limit::At(Bytes(20 * M))),
            "/a/b" => Reading::Value(Limit::At(Bytes(30 * M))),
            _ => Reading::NotAvailable,
        };
    };
    let line = |paths: &[&str], max: &str| {
        let mut chain = chain(paths, used);
        let knob = Knob::MemoryMax;
        let wanted = KnobValue::from_words(knob, max).unwrap();
        chain.set(knob, &wanted, None);
        let (old, after) = (KnobValue::Size(Limit::Max), chain.row().unwrap());
        Change::new(knob.into(), None, old, &wanted, &[], &SETTING, &after).to_string()
    };
    let paths = ["/", "/a", "/a/b"];
    assert_eq!(
        line(&paths, "16m"),
        "memory.max  max → 16M  (8M in use; binding)"
    );
    assert_eq!(
        line(&paths, "25m"),
        "memory.max  max → 25M  (8M in use; bound by memory.high 20M of /a)"
    );
    assert_eq!(
        line(&["/", "/a/b"], "64m"),
        "memory.max  max → 64M  (8M in use; bound by its own memory.high 30M)"
    );
}

#[test]
fn what_may_break_a_workload_is_a_danger() {
    let used = (16 * M) as f64;
    for (knob, new, text) in [
        (
            Knob::MemoryMax,
            "8m",
            "8M below usage: the kernel will reclaim, then OOM-kill",
        ),
        (Knob::MemoryMax, "100", "no memory at all"),
        (Knob::MemoryHigh, "0", "slowed to a crawl"),
        (Knob::PidsMax, "0", "no process or thread can ever"),
        (Knob::MemoryMin, "2g", "more than memory.max (64M)"),
    ] {
        let (gravity, said) = worst(&change(knob, new, &[("max", used)]));
        let danger = if knob == Knob::MemoryMin {
            Gravity::Note
        } else {
            Gravity::Danger
        };
        assert_eq!(gravity, Some(danger), "{knob} {said}");
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn what_is_only_good_to_know_is_a_note() {
    let used = (16 * M) as f64;
    for (knob, new, text) in [
        (Knob::MemoryMax, "2g", "more than this host has (1G)"),
        (
            Knob::MemoryMax,
            "67108865",
            "rounded down to whole pages of memory: 67108864 bytes",
        ),
        (
            Knob::MemoryHigh,
            "8m",
            "8M below usage: its processes will be slowed",
        ),
        (Knob::MemoryHigh, "64m", "not below memory.max (64M)"),
        (
            Knob::SwapMax,
            "0",
            "16M below usage: no more is swapped out",
        ),
        (Knob::PidsMax, "16777", "below usage: no new forks"),
        (Knob::CpuMax, "3", "more than this host has (2 cpus)"),
    ] {
        let used = if knob == Knob::PidsMax { 16778.0 } else { used };
        let change = change(
            knob,
            new,
            &[(
                "max 100000"
                    .split(' ')
                    .next()
                    .filter(|_| knob != Knob::CpuMax)
                    .unwrap_or("max 100000"),
                used,
            )],
        );
        let (gravity, said) = worst(&change);
        assert_eq!(gravity, Some(Gravity::Note), "{knob} {said}");
        assert!(said.contains(text), "{said}");
    }
    let remarks = change(Knob::CpusetCpus, "1", &[("", 0.0)]).remarks;
    assert_eq!(
        remarks[0].text,
        "its parent has none of these, only 0: those will be used"
    );
    let remarks = change(Knob::CpusetCpus, "0,7", &[("", 0.0)]).remarks;
    assert_eq!(remarks[0].gravity, Gravity::Impossible);
}

#[test]
fn loosening_comes_first_and_what_may_kill_last() {
    let mut changes = [
        change(Knob::MemoryMax, "32m", &[("67108864", 0.0)]),
        change(Knob::PidsMax, "5", &[("max", 1.0)]),
        change(Knob::CpuWeight, "200", &[("100", 0.0)]),
        change(Knob::MemoryHigh, "max", &[("4096", 0.0)]),
    ];
    in_safe_order(&mut changes);
    let order = changes.map(|change| change.address.knob);
    let expected = [
        Knob::MemoryHigh,
        Knob::CpuWeight,
        Knob::PidsMax,
        Knob::MemoryMax,
    ];
    assert_eq!(order, expected);
}

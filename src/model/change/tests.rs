use std::sync::LazyLock;

use super::*;
use crate::kernel::unit::Reading;

const M: u64 = 1 << 20;

static SETTING: LazyLock<Setting> = LazyLock::new(|| Setting {
    host_memory: Some((Bytes(1024 * M), Bytes(100 * M))),
    host_cpus: "0-1".parse().unwrap(),
    parent_cpus: Some("0".parse().unwrap()),
    page: 4096,
    memory_max: Some(Limit::At(Bytes(64 * M))),
    idle: false,
});

/// A change of a knob whose levels, nearest first, stand at these values and usages.
fn change(knob: Knob, new: &str, levels: &[(&str, f64)]) -> Change {
    let read = |text: &str| KnobValue::parse(knob.into(), text.as_bytes()).unwrap();
    let chain: Vec<Standing> = levels
        .iter()
        .enumerate()
        .map(|(at, (value, used))| Standing {
            path: ["/a/b", "/a"][at].to_owned(),
            value: Reading::Value(read(value)),
            used: Some(*used),
            droppable: None,
        })
        .collect();
    let wanted = KnobValue::from_words(knob, new).unwrap();
    let old = read(levels[0].0);
    Change::new(knob.into(), None, old, &wanted, &chain, &SETTING)
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
        let own = Standing {
            path: "/a".to_owned(),
            value: Reading::Value(KnobValue::Size(Limit::Max)),
            used: Some((150 * M) as f64),
            droppable: Some((droppable * M) as f64),
        };
        let wanted = KnobValue::Size(Limit::At(Bytes(64 * M)));
        let old = KnobValue::Size(Limit::Max);
        let change = Change::new(Knob::MemoryMax.into(), None, old, &wanted, &[own], &SETTING);
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

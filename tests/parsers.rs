//! The parsers of kernel text, on text of real kernels (`tests/fixtures/capture.sh` captured it) and on
//! anything else.

#[path = "common/hostile.rs"]
mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use ringfence::kernel::cgroup::CgroupEvents;
use ringfence::kernel::cgroup::hierarchy::{Hierarchy, Mode};
use ringfence::kernel::cpu::{Bandwidth, CpuMax, CpuStat};
use ringfence::kernel::host;
use ringfence::kernel::io::{Device, IoMax, IoStat};
use ringfence::kernel::kmsg::{OomLine, OomProcess, OomSummary, OomVictim, Record};
use ringfence::kernel::memory::{MemoryEvents, MemoryStat};
use ringfence::kernel::pids::PidsEvents;
use ringfence::kernel::pressure::{Pressure, Stall};
use ringfence::kernel::task::parse_procs;
use ringfence::kernel::unit::{Bytes, Limit, Micros, Percent, Reading};

const KERNELS: [&str; 2] = ["6.1", "6.12"];
const DISK: Device = Device {
    major: 254,
    minor: 0,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture(kernel: &str, file: &str) -> Vec<u8> {
    let path = fixtures().join(kernel).join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Parses a file of both kernels and compares with what is expected of each.
fn expect<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    file: &str,
    parse: impl Fn(&[u8]) -> Result<T, E>,
    expected: [T; 2],
) {
    for (kernel, expected) in KERNELS.into_iter().zip(expected) {
        let parsed = parse(&fixture(kernel, file)).unwrap();
        assert_eq!(parsed, expected, "{kernel}/{file}");
    }
}

#[test]
fn cpu_stat() {
    let of = |usage, user, system, nr_periods, nr_throttled, throttled| CpuStat {
        usage_usec: Micros(usage),
        user_usec: Micros(user),
        system_usec: Micros(system),
        bandwidth: Some(Bandwidth {
            nr_periods,
            nr_throttled,
            throttled_usec: Micros(throttled),
        }),
    };
    expect(
        "leaf/cpu.stat",
        CpuStat::parse,
        [
            of(2_090_389, 1_181_524, 908_865, 46, 40, 1_976_904),
            of(2_267_267, 1_226_693, 1_040_574, 49, 44, 2_168_410),
        ],
    );
    expect(
        "root/cpu.stat",
        CpuStat::parse,
        [
            of(5_476_000, 1_328_000, 4_148_000, 0, 0, 0),
            of(6_476_000, 1_308_000, 5_168_000, 0, 0, 0),
        ],
    );
    // Without the controller, as on a hybrid host.
    let bare = CpuStat::parse(b"usage_usec 3\nuser_usec 1\nsystem_usec 2\n").unwrap();
    assert_eq!(bare.bandwidth, None);
}

#[test]
fn cpu_max() {
    let half = CpuMax {
        quota: Limit::At(Micros(50_000)),
        period: Micros(100_000),
    };
    expect("leaf/cpu.max", CpuMax::parse, [half; 2]);
    assert_eq!(half.cpus(), Limit::At(0.5));
    let none = CpuMax {
        quota: Limit::Max,
        period: Micros(100_000),
    };
    expect("parent/cpu.max", CpuMax::parse, [none; 2]);
}

#[test]
fn memory_stat() {
    let base = MemoryStat::default();
    expect(
        "leaf/memory.stat",
        MemoryStat::parse,
        [
            MemoryStat {
                anon: Bytes(102_400),
                file: Bytes(4096),
                kernel: Bytes(155_648),
                inactive_anon: Bytes(94_208),
                active_anon: Bytes(8192),
                active_file: Bytes(4096),
                slab_reclaimable: Bytes(5192),
                slab_unreclaimable: Bytes(35_448),
                ..base
            },
            MemoryStat {
                anon: Bytes(106_496),
                kernel: Bytes(176_128),
                inactive_anon: Bytes(8192),
                active_anon: Bytes(98_304),
                slab_reclaimable: Bytes(5048),
                slab_unreclaimable: Bytes(37_352),
                ..base
            },
        ],
    );
}

#[test]
fn memory_events_count_here_and_below() {
    let of = |max, oom, oom_kill| MemoryEvents {
        max,
        oom,
        oom_kill,
        ..MemoryEvents::default()
    };
    let parse = MemoryEvents::parse;
    expect("leaf/memory.events", parse, [of(46, 1, 2), of(57, 1, 2)]);
    expect(
        "leaf/memory.events.local",
        parse,
        [of(46, 1, 2), of(57, 1, 2)],
    );
    expect(
        "parent/memory.events",
        parse,
        [of(116, 3, 3), of(129, 3, 3)],
    );
    // Its own limit was hit once; the victim lived below.
    expect(
        "parent/memory.events.local",
        parse,
        [of(35, 1, 0), of(37, 1, 0)],
    );
}

#[test]
fn limits() {
    let parse = |text: &[u8]| Limit::<Bytes>::parse(text, "limit");
    let max = [Limit::Max; 2];
    expect("leaf/memory.max", parse, [Limit::At(Bytes(40 << 20)); 2]);
    expect("leaf/memory.high", parse, max);
    expect("leaf/memory.swap.max", parse, [Limit::At(Bytes(0)); 2]);
    expect("parent/memory.max", parse, [Limit::At(Bytes(16 << 20)); 2]);
    expect(
        "leaf/pids.max",
        |text| Limit::<u64>::parse(text, "limit"),
        [Limit::At(4); 2],
    );
}

#[test]
fn io() {
    let of = |rbytes, wbytes, rios, wios| IoStat {
        rbytes,
        wbytes,
        rios,
        wios,
    };
    expect(
        "leaf/io.stat",
        IoStat::parse,
        [
            vec![(DISK, of(0, 1_138_688, 0, 23))],
            vec![(DISK, of(0, 1_048_576, 0, 1))],
        ],
    );
    let second = Device {
        major: 254,
        minor: 16,
    };
    // The root has a line without counters for each loop device.
    expect(
        "root/io.stat",
        IoStat::parse,
        [
            vec![
                (second, of(4096, 0, 1, 0)),
                (DISK, of(2_135_040, 1_245_184, 50, 17)),
            ],
            vec![
                (second, of(4096, 0, 1, 0)),
                (DISK, of(2_130_944, 1_155_072, 49, 5)),
            ],
        ],
    );
    let max = IoMax {
        rbps: Limit::At(1 << 20),
        wiops: Limit::At(100),
        ..IoMax::default()
    };
    expect(
        "leaf/io.max",
        IoMax::parse,
        [vec![(DISK, max)], vec![(DISK, max)]],
    );
    expect("parent/io.max", IoMax::parse, [vec![], vec![]]);
}

#[test]
fn devices_without_counters_may_share_the_line_of_the_next() {
    let parsed = IoStat::parse(b"7:1 7:0 254:0 rbytes=1 wbytes=2 rios=3 wios=4\n").unwrap();
    assert_eq!(parsed.len(), 1);
    assert_eq!(parsed[0].0, DISK);
}

#[test]
fn pids_and_cgroup_events() {
    expect(
        "leaf/pids.events",
        PidsEvents::parse,
        [PidsEvents { max: 1 }; 2],
    );
    let populated = CgroupEvents {
        populated: true,
        frozen: false,
    };
    expect("leaf/cgroup.events", CgroupEvents::parse, [populated; 2]);
}

#[test]
fn pressure() {
    let stall = |avg10, avg60, avg300, total| Stall {
        avg10: Percent(avg10),
        avg60: Percent(avg60),
        avg300: Percent(avg300),
        total: Micros(total),
    };
    expect(
        "leaf/cpu.pressure",
        Pressure::parse,
        [
            Pressure {
                some: stall(11.27, 2.24, 0.47, 1_616_852),
                full: Some(stall(11.12, 2.21, 0.46, 1_606_588)),
            },
            Pressure {
                some: stall(11.05, 2.21, 0.46, 1_700_993),
                full: Some(stall(10.90, 2.17, 0.46, 1_689_332)),
            },
        ],
    );
    // Before 5.13 the cpu had no `full` line.
    let some = Pressure::parse(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n").unwrap();
    assert_eq!(some.full, None);
}

#[test]
fn the_host() {
    for (kernel, usage, total, available) in [
        ("6.1", 136 + 480 + 14, 995_344, 860_776),
        ("6.12", 133 + 528 + 23, 990_052, 858_648),
    ] {
        let proc = fixtures().join(kernel).join("proc");
        let Reading::Value(cpu) = host::cpu_times(&proc) else {
            panic!("{kernel}: no cpu times")
        };
        assert_eq!((cpu.cpus, cpu.usage), (2, Micros(usage * 10_000)));
        let Reading::Value(memory) = host::memory(&proc) else {
            panic!("{kernel}: no memory")
        };
        assert_eq!(memory.total, Bytes(total * 1024));
        assert_eq!(memory.available, Some(Bytes(available * 1024)));
        assert!(host::pressure(&proc, "cpu").value().is_some());
        assert_eq!(host::pressure(&proc, "irq"), Reading::NotAvailable);
    }
    let nowhere = Path::new("/nonexistent");
    assert_eq!(host::cpu_times(nowhere), Reading::NotAvailable);
    assert_eq!(host::memory(nowhere), Reading::NotAvailable);
}

#[test]
fn hierarchies() {
    for kernel in KERNELS {
        let hierarchy = Hierarchy::parse(&fixture(kernel, "proc/self/mountinfo"));
        assert_eq!(hierarchy.mode, Mode::V2);
        assert_eq!(hierarchy.mount.as_deref(), Some("/sys/fs/cgroup".as_ref()));
    }
    let hybrid = Hierarchy::parse(&fixture("mountinfo", "hybrid"));
    assert_eq!(hybrid.mode, Mode::Hybrid);
    assert_eq!(
        hybrid.mount.as_deref(),
        Some("/sys/fs/cgroup/unified".as_ref())
    );
    let memory = ("memory".to_owned(), "/sys/fs/cgroup/memory".into());
    assert!(hybrid.v1.contains(&memory) && hybrid.v1.len() == 9);

    let v1 = Hierarchy::parse(&fixture("mountinfo", "v1"));
    assert_eq!((v1.mode, v1.mount), (Mode::V1, None));
    let names: Vec<_> = v1.v1.iter().map(|(name, _)| name.as_str()).collect();
    // Options are no controllers, and a second mount of the same hierarchy is none either.
    assert_eq!(names, ["systemd", "cpu", "cpuacct", "memory", "cpuset"]);
    let none = Hierarchy::parse(b"23 1 254:0 / / rw - ext4 /dev/root rw\n");
    assert_eq!(none.mode, Mode::None);
}

/// The records of a captured log: a line that begins with a space belongs to the one before.
fn log(kernel: &str) -> Vec<OomLine> {
    let text = fixture(kernel, "kmsg");
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty() && line[0] != b' ')
        .map(|line| {
            let record = Record::parse(line).unwrap();
            assert!(record.from_kernel);
            OomLine::parse(record.message).unwrap()
        })
        .collect()
}

#[test]
fn oom_lines_of_real_kernels_even_with_hostile_names() {
    // One killed by its own limit, one in a cgroup that is called `b,task=x,pid=7`, one that calls itself
    // `,pid=1,uid=0` and is killed by its parent's limit.
    let kills = [
        ("/web/leaf", "/web/leaf", "sh"),
        (
            "/web/b,task=x,pid=7",
            "/web/b,task=x,pid=7",
            "a) total-vm:1kB",
        ),
        ("/web", "/web/leaf", ",pid=1,uid=0"),
    ];
    let sizes = [
        [(40_536, 1516), (8144, 1516), (16_064, 1516)],
        [(40_548, 1512), (8156, 1512), (16_052, 1512)],
    ];
    for ((kernel, first_pid), sizes) in [("6.1", 142), ("6.12", 187)].into_iter().zip(sizes) {
        let mut lines = log(kernel).into_iter();
        for ((pid, (oom_memcg, task_memcg, comm)), (anon, file)) in
            (first_pid..).zip(kills).zip(sizes)
        {
            assert_eq!(
                lines.next(),
                Some(OomLine::Summary(OomSummary {
                    oom_memcg: Some(oom_memcg.into()),
                    task_memcg: task_memcg.into(),
                    pid,
                }))
            );
            assert_eq!(
                lines.next(),
                Some(OomLine::Killed(OomVictim {
                    memcg: true,
                    pid,
                    process: OomProcess {
                        comm: comm.into(),
                        anon_rss: Bytes(anon * 1024),
                        file_rss: Bytes(file * 1024),
                        shmem_rss: Bytes(0),
                        uid: Some(0),
                        oom_score_adj: Some(0),
                    },
                }))
            );
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn a_whole_host_that_ran_out_has_no_cgroup_to_blame() {
    let line = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
                task_memcg=/web/leaf,task=sh,pid=9,uid=0";
    let Some(OomLine::Summary(summary)) = OomLine::parse(line) else {
        panic!("not a summary")
    };
    assert_eq!(summary.oom_memcg, None);
    assert_eq!((&*summary.task_memcg, summary.pid), ("/web/leaf", 9));
}

#[test]
fn what_a_program_writes_into_the_log_is_not_the_kernels_word() {
    let record = Record::parse(b"12,9,10,-;Killed process 1 (init)\n").unwrap();
    assert!(!record.from_kernel);
    assert!(
        Record::parse(b"4,9,10,-;Killed process 1\n")
            .unwrap()
            .from_kernel
    );
}

/// Text as `/dev/kmsg` gives it.
fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, &byte| {
        if !(b' '..127).contains(&byte) || byte == b'\\' {
            write!(out, "\\x{byte:02x}").unwrap();
        } else {
            out.push(char::from(byte));
        }
        out
    })
}

/// Pieces of log lines, in any order, besides anything else.
fn hostile(most: usize) -> impl Strategy<Value = Vec<u8>> {
    hostile::pieces(
        &[
            b",pid=1",
            b",uid=0",
            b",task=",
            b",task_memcg=/",
            b",oom_memcg=/",
            b") total-vm:1kB, ",
            b"Killed process 1 (",
            b"\n",
            b"\\x2c",
        ],
        most,
    )
}

proptest! {
    #[test]
    fn no_parser_panics(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = CpuStat::parse(&text);
        let _ = CpuMax::parse(&text);
        let _ = MemoryStat::parse(&text);
        let _ = MemoryEvents::parse(&text);
        let _ = IoStat::parse(&text);
        let _ = IoMax::parse(&text);
        let _ = PidsEvents::parse(&text);
        let _ = CgroupEvents::parse(&text);
        let _ = Pressure::parse(&text);
        let _ = Limit::<Bytes>::parse(&text, "limit");
        let _ = parse_procs(&text, &mut Vec::new());
        let _ = Hierarchy::parse(&text);
        let _ = Record::parse(&text).map(|record| OomLine::parse(record.message));
    }

    #[test]
    fn nor_on_almost_right_text(
        words in prop::collection::vec(
            prop_oneof![
                "[0-9]{1,22}", "max", "some", "full", "254:0", "anon", "oom_kill", " ", "\n", "=", "\\.",
                "rbytes=", "rbps=", "avg10=", "total=", "oom-kill:constraint=", ",pid=", ",uid=0", "-",
                "Memory cgroup out of memory: Killed process ", "\\(", "\\) total-vm:", "kB", "\\\\x", "é",
            ],
            0..20,
        )
    ) {
        let text = words.concat();
        let bytes = text.as_bytes();
        let _ = CpuStat::parse(bytes);
        let _ = CpuMax::parse(bytes);
        let _ = MemoryStat::parse(bytes);
        let _ = IoStat::parse(bytes);
        let _ = IoMax::parse(bytes);
        let _ = Pressure::parse(bytes);
        let _ = OomLine::parse(&text);
        let _ = Record::parse(format!("6,1,1,-;{text}").as_bytes());
        let _ = Hierarchy::parse(bytes);
    }

    #[test]
    fn limits_come_back_as_they_were_written(
        limit in prop_oneof![Just(Limit::Max), any::<u64>().prop_map(Limit::At)],
        period in 1_u64..=1_000_000,
    ) {
        prop_assert_eq!(Limit::parse(limit.to_string().as_bytes(), "limit"), Ok(limit));
        let max = CpuMax { quota: limit.map(Micros), period: Micros(period) };
        prop_assert_eq!(CpuMax::parse(max.to_string().as_bytes()), Ok(max));
        let max = IoMax { rbps: limit, wiops: limit, ..IoMax::default() };
        let line = format!("{DISK} {max}");
        prop_assert_eq!(IoMax::parse(line.as_bytes()), Ok(vec![(DISK, max)]));
    }

    /// Whatever the task and the cgroups call themselves, the pid is the kernel's.
    #[test]
    fn hostile_names_never_give_a_wrong_pid(
        comm in hostile(15),
        cpuset in hostile(60),
        oom_memcg in hostile(60),
        task_memcg in hostile(60),
        pid in 1_u32..4_194_304,
    ) {
        let [comm_text, cpuset, oom_memcg, task_memcg] =
            [&comm, &cpuset, &oom_memcg, &task_memcg].map(|bytes| escaped(bytes));
        let summary = format!(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={cpuset},mems_allowed=0,\
             oom_memcg=/{oom_memcg},task_memcg=/{task_memcg},task={comm_text},pid={pid},uid=0"
        );
        let Some(OomLine::Summary(parsed)) = OomLine::parse(&summary) else {
            panic!("not a summary: {summary}")
        };
        prop_assert_eq!(parsed.pid, pid);
        let verdict = format!(
            "Memory cgroup out of memory: Killed process {pid} ({comm_text}) total-vm:9kB, anon-rss:4kB, \
             file-rss:2kB, shmem-rss:1kB, UID:0 pgtables:40kB oom_score_adj:0"
        );
        let Some(OomLine::Killed(parsed)) = OomLine::parse(&verdict) else {
            panic!("not a verdict: {verdict}")
        };
        prop_assert_eq!(parsed.pid, pid);
        let process = &parsed.process;
        let sizes = [process.anon_rss, process.file_rss, process.shmem_rss];
        prop_assert_eq!(sizes, [4, 2, 1].map(|kib| Bytes(kib * 1024)));
        prop_assert_eq!(process.comm.as_str(), &*String::from_utf8_lossy(&comm));
    }

    /// A task alone cannot pretend to have lived in another cgroup.
    #[test]
    fn a_hostile_task_never_gives_a_wrong_cgroup(comm in hostile(15), pid in 1_u32..4_194_304) {
        let summary = format!(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
             oom_memcg=/web,task_memcg=/web/l\\xc3\\xa9af,task={},pid={pid},uid=0",
            escaped(&comm)
        );
        let Some(OomLine::Summary(parsed)) = OomLine::parse(&summary) else {
            panic!("not a summary: {summary}")
        };
        prop_assert_eq!(&*parsed.task_memcg, "/web/léaf");
        prop_assert_eq!(parsed.oom_memcg.as_deref(), Some("/web"));
        prop_assert_eq!(parsed.pid, pid);
    }
}

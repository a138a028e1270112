//! What `ringfence why` puts together, and the page for a ticket.

mod common;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringfence::export;
use ringfence::export::page::{self, DeathSection, Head};
use ringfence::model::Model;
use ringfence::names::local::Names;
use ringfence::oom::past::BootLog;
use ringfence::why::{Cause, Death, Origin, Statement, Unread, together};

fn head() -> Head {
    Head {
        title: "Why <b>web</b> died".to_owned(),
        time: at(0),
        host: "node-1".to_owned(),
        kernel: "6.12.0".to_owned(),
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_907_421 + second)
}

/// One element a line.
fn lines(page: &str) -> String {
    page.replace("><", ">\n<")
}

/// What a kernel log says, written at these seconds after boot.
fn logged<'a>(lines: impl Iterator<Item = (u64, &'a str)>) -> Vec<Death> {
    let mut log = BootLog::begin();
    for (second, line) in lines {
        log.hear(at(second), Duration::from_secs(second), line);
    }
    let kills = log.kills().into_iter();
    let names = &mut Names::new("/nowhere");
    kills
        .map(|kill| Death::by_kernel(Origin::KernelLog, kill, names))
        .collect()
}

/// A report of 6.12's, with what it says about those that could have been killed.
const REPORT: [&str; 14] = [
    "worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "CPU: 1 UID: 0 PID: 190 Comm: worker Not tainted 6.12 #1",
    "memory: usage 20364kB, limit 20480kB, failcnt 61",
    "swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
    "Memory cgroup stats for /shop:",
    "anon 20660224",
    "file 65536",
    "kernel 192512",
    "Tasks state (memory values in pages):",
    "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
    "[    190]     0   190      700      300      100      200         0    86016        0         -1000 worker",
    "[    182]     0   182     5554     5344     5024      320         0    86016        0             0 <i>x</i>",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/shop,task_memcg=/shop/web,task=<i>x</i>,pid=182,uid=0",
    "Memory cgroup out of memory: Killed process 182 (<i>x</i>) total-vm:22216kB, anon-rss:20096kB, file-rss:1280kB, shmem-rss:0kB, UID:0 pgtables:84kB oom_score_adj:0",
];

fn report() -> Vec<Death> {
    logged(REPORT.into_iter().map(|line| (7, line)))
}

/// What another source says, so many seconds later.
fn death(second: u64, name: &str, cause: Cause, source: Origin, text: &str) -> Death {
    Death {
        at: Some(at(second)),
        name: name.to_owned(),
        aliases: Vec::new(),
        commands: Vec::new(),
        cgroup: Some("/shop/web".into()),
        cause,
        evidence: vec![Statement {
            source,
            text: text.to_owned(),
        }],
    }
}

#[test]
fn what_two_sources_say_of_one_death_is_one_answer() {
    let docker = |second| {
        let text = "OOMKilled, exit code 137";
        death(second, "web", Cause::Oom, Origin::Docker, text)
    };
    let mut deaths = report();
    deaths.push(docker(9));
    let one = together(deaths.clone());
    assert_eq!(one.len(), 1, "{one:#?}");
    assert!(matches!(one[0].cause, Cause::Kernel(_)));
    assert_eq!(one[0].evidence.len(), 2);
    // One of an hour later is another.
    deaths.push(docker(3600));
    let two = together(deaths);
    assert_eq!(two.len(), 2, "{two:#?}");
    assert_eq!((&two[0].cause, two[0].at), (&Cause::Oom, Some(at(3600))));
}

#[test]
fn what_engine_and_systemd_say_of_a_container_is_one_answer() {
    const ID: &str = "d52f281c1761d32b4b2744bd06a186352c9ff3796eec83a47144ce2c46d380c2";
    let scope = format!("libpod-{ID}.scope");
    let path = format!("/machine.slice/{scope}/container");
    let lines = REPORT.map(|line| line.replace("/shop/web", "/shop").replace("/shop", &path));
    let mut deaths = logged(lines.iter().map(|line| (7, &**line)));
    let of = |second, name: &str, alias: &str, cause, source| Death {
        aliases: vec![alias.to_owned()],
        cgroup: None,
        ..death(second, name, cause, source, "")
    };
    let nine = Cause::Signal(9);
    deaths.extend([
        of(
            9,
            "machine.slice",
            "machine.slice",
            Cause::Oom,
            Origin::Journal,
        ),
        of(7, &scope, &scope, Cause::Oom, Origin::Journal),
        of(8, "web", ID, nine.clone(), Origin::Podman),
        // Another container, and another time.
        of(8, "other", "0123456789abcdef", nine.clone(), Origin::Podman),
        of(60, "web", ID, nine, Origin::Podman),
    ]);
    let all = together(deaths);
    assert_eq!(all.len(), 3, "{all:#?}");
    let one = all.iter().find(|death| death.evidence.len() == 4).unwrap();
    assert!(matches!(one.cause, Cause::Kernel(_)));
    for name in ["web", &ID[..12], &scope, "<i>x</i>", &path] {
        assert!(one.is_called(name), "{name}");
    }
}

#[test]
fn a_mark_of_a_program_is_no_evidence_of_a_kernels_kill() {
    let mut deaths = report();
    let mark = Death {
        at: None,
        ..death(
            0,
            "web",
            Cause::Killer("systemd-oomd"),
            Origin::OomdMark,
            "",
        )
    };
    deaths.push(mark.clone());
    let both = together(deaths);
    assert_eq!(both.len(), 2, "{both:#?}");
    assert_eq!(both[0].evidence.len(), 1);
    assert_eq!(both[1].certainty().words(), "likely");
    let said = death(900, "web", mark.cause.clone(), Origin::Journal, "");
    let one = together(vec![mark, said]);
    assert_eq!((one.len(), one[0].evidence.len()), (1, 2));
    assert_eq!(one[0].certainty().words(), "certain");
}

#[test]
fn two_kills_of_the_kernels_are_two_however_near() {
    let again = REPORT.map(|line| line.replace("182", "183"));
    let lines = REPORT.into_iter().chain(again.iter().map(|line| &**line));
    let twice = logged(lines.map(|line| (7, line)));
    // The journal tells both again.
    let all = together([twice.clone(), twice].concat());
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(all.iter().all(|death| death.evidence.len() == 2));
}

#[test]
fn page_of_what_logs_and_state_files_say() {
    let mut deaths = report();
    let by = Cause::Killer("systemd-oomd");
    let text = "Killed /shop/web due to memory pressure <for> /shop";
    deaths.push(death(900, "web", by, Origin::Journal, text));
    let unread = Unread {
        source: Origin::Podman,
        why: "/var/lib/<containers>: Permission denied".to_owned(),
    };
    let html = export::why::html(&head(), &together(deaths), &[unread], None);
    insta::assert_snapshot!("why_page", lines(&html));
    for foreign in ["<b>", "<i>", "<for>", "<containers>"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
}

#[test]
fn page_of_a_kill_that_was_watched_has_its_curve_and_the_limits_above() {
    let mut model = Model::new(0);
    for (sample, happened) in common::scenario("incidents").play() {
        model.fold(Arc::new(sample));
        for event in happened.into_iter().flatten() {
            model.event(&event);
        }
    }
    let incident = model
        .incidents()
        .max_by_key(|incident| incident.before.len())
        .unwrap();
    let mount = tempfile::tempdir().unwrap();
    let leaf = mount.path().join("app/leaf");
    fs::create_dir_all(&leaf).unwrap();
    for (file, text) in [
        ("app/memory.max", "94371840\n"),
        ("app/memory.high", "max\n"),
        ("app/memory.current", "4096\n"),
        ("app/memory.oom.group", "1\n"),
    ] {
        fs::write(mount.path().join(file), text).unwrap();
    }
    let section = DeathSection {
        headline: "OOM kill".to_owned(),
        certainty: None,
        evidence: &[],
        incident: Some(incident),
        levels: page::levels(mount.path(), "/app/leaf"),
    };
    let html = page::page(&head(), &[section], 0, &[]);
    insta::assert_snapshot!("kill_page", lines(&html));
}

#[test]
fn page_is_bounded() {
    let many = |second| {
        let cause = Cause::Signal(9);
        death(second, &format!("w{second}"), cause, Origin::Systemd, "")
    };
    let deaths: Vec<Death> = (0..1000).map(many).collect();
    let html = export::why::html(&head(), &deaths, &[], None);
    assert!(html.contains("And 800 older ones"));
    assert!(html.len() < 1 << 20);
}

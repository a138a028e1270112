//! Who is named as the next victim, beside whom the kernel then kills: `cargo xtask test vm_oom_next`.

#[allow(dead_code, reason = "each suite uses its part")]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence::kernel::cgroup::hierarchy::Hierarchy;
use ringfence::model::Model;
use ringfence::model::incident::Grown;
use ringfence::model::process::Order;
use ringfence::model::victim::NextVictim;
use ringfence::oom::OomKill;
use ringfence::sample::Event;
use ringfence::sample::live::{Interest, Live, Options};
use support::dashboard::Dashboard;
use support::own::Own;
use support::{Host, binary, extent, load};

const INTERVAL: Duration = Duration::from_millis(250);
/// How long after a kill another one is waited for: two that are near to each other are told in either order.
const LATER: Duration = Duration::from_millis(600);
/// Whose memory grows until one is killed.
const GROWS: &str = "--size 64m --rate 4m";

/// Processes: what each has, and its `oom_score_adj`.
type Processes<'a> = &'a [(&'a str, i32)];

/// A script that starts them, and is itself never killed.
fn script(processes: Processes) -> String {
    let mut script = "echo -1000 >/proc/self/oom_score_adj; ".to_owned();
    for (memory, adj) in processes {
        let program = binary();
        let _ = write!(
            script,
            "(echo {adj} >/proc/self/oom_score_adj; exec {} load memory {memory}) & ",
            program.display()
        );
    }
    script + "wait"
}

/// Who was named at a moment, and who was alive.
struct Look {
    at: Instant,
    next: NextVictim,
    living: Vec<u32>,
}

impl Look {
    fn at(model: &Model) -> Option<Self> {
        let next = model.row("/above/own")?.next_victim.value()?;
        let processes = model.processes("/above", Order::default());
        let living = processes
            .iter()
            .filter(|process| process.sample.badness.is_some());
        Some(Self {
            at: Instant::now(),
            next: NextVictim::clone(next),
            living: living.map(|process| process.sample.pid).collect(),
        })
    }
}

/// What was said before a kill, and how long before, and the kill.
struct Round {
    said: Option<(NextVictim, Duration)>,
    kill: OomKill,
    grown: Option<Grown>,
}

impl Round {
    /// Runs the processes in a cgroup until one is killed.
    fn run(own: &Own, processes: Processes) -> Self {
        let mut live = Live::start(Options {
            proc: "/proc".into(),
            kmsg: Some("/dev/kmsg".into()),
            tracing: None,
            journal: false,
            state: "/".into(),
            hierarchy: Hierarchy::discover(Path::new("/proc")).unwrap(),
            subtree: "above".into(),
            interval: INTERVAL,
            stall: [0; 2],
        })
        .unwrap();
        let mut model = Model::new(0);
        let mut wanted = None;
        let mut looks: Vec<Look> = Vec::new();
        let shell = own.start(&script(processes));
        let began = Instant::now();
        let mut kills: Vec<(Instant, OomKill)> = Vec::new();
        while kills.first().is_none_or(|(at, _)| at.elapsed() < LATER) {
            if live.samples.has_changed().unwrap() {
                let sample = live.samples.borrow_and_update().clone().unwrap();
                model.fold(sample);
                let interest = Interest::Some {
                    stats: model.suspects(),
                    processes: model.endangered(),
                };
                if wanted.as_ref() != Some(&interest) {
                    live.set_interest(interest.clone());
                    wanted = Some(interest);
                }
                if kills.is_empty() {
                    looks.extend(Look::at(&model));
                }
            }
            if let Ok(event) = live.events.try_recv() {
                model.event(&event);
                if let Event::OomKill(kill) = event {
                    kills.push((Instant::now(), *kill));
                }
            }
            assert!(began.elapsed() < Duration::from_mins(1), "no kill");
            sleep(Duration::from_millis(5));
        }
        own.kill(shell);
        let logged_at =
            |kill: &OomKill| kill.logged_at.as_ref().map_or(Duration::MAX, |at| at.value);
        let first = kills.into_iter().min_by_key(|(_, kill)| logged_at(kill));
        let (told_at, kill) = first.expect("a kill");
        // Once it is dead, the next one is named; of a group, a small one is dead before the largest.
        assert!(!kill.victims.is_empty(), "a kill of nobody");
        looks.retain(|look| {
            let mut victims = kill.victims.iter();
            victims.all(|victim| look.living.contains(&victim.pid))
        });
        let said = looks.pop().map(|last| {
            let same = looks.iter().rev();
            let same = same.take_while(|look| look.next.pid == last.next.pid);
            let since = same.last().map_or(last.at, |look| look.at);
            (last.next, told_at - since)
        });
        let mut incidents = model.incidents();
        let incident = incidents.find(|incident| incident.kill.victims == kill.victims);
        Self {
            said,
            grown: incident.expect("of each kill one").grown.clone(),
            kill,
        }
    }

    fn is_right(&self) -> bool {
        let killed = self.kill.victims.first().expect("a victim");
        let said = self.said.as_ref().map(|(next, _)| next);
        said.is_some_and(|next| {
            (next.pid, &next.comm, next.oom_score_adj)
                == (
                    killed.pid,
                    &killed.comm,
                    killed.oom_score_adj.unwrap_or_default(),
                )
        })
    }
}

/// Plays a case some times, says how often it was right, and gives the last round.
fn play(name: &str, own: &Own, processes: Processes) -> (u32, u32, Round) {
    let rounds = extent(2, 10);
    let mut right = 0;
    let mut leads = Vec::new();
    let mut last = None;
    for _ in 0..rounds {
        let round = Round::run(own, processes);
        if round.is_right() {
            right += 1;
            leads.extend(round.said.as_ref().map(|(_, lead)| lead.as_secs_f64()));
        } else {
            eprintln!(
                "{name}: said {:?}, killed {:?}",
                round.said, round.kill.victims
            );
        }
        last = Some(round);
    }
    leads.sort_by(f64::total_cmp);
    let median = leads.get(leads.len() / 2).copied().unwrap_or_default();
    eprintln!("{name}: {right} of {rounds} named, median {median:.1} s ahead");
    (right, rounds, last.unwrap())
}

#[test]
fn who_is_named_is_killed() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "32M");
    let cases: [(&str, Processes); 4] = [
        (
            "one grows",
            &[("--size 6m", 0), (GROWS, 0), ("--size 8m", 0)],
        ),
        (
            "a large one beside one that grows",
            &[("--size 16m", 0), (GROWS, 0)],
        ),
        (
            "one that grows is protected",
            &[(GROWS, -1000), ("--size 3m", 0), ("--size 6m", 0)],
        ),
        ("a small one is offered", &[(GROWS, 0), ("--size 3m", 900)]),
    ];
    for (name, processes) in cases {
        let (right, rounds, _) = play(name, &own, processes);
        assert_eq!(right, rounds, "{name}");
    }
}

#[test]
fn who_is_named_at_the_limit_of_the_one_above_is_killed() {
    let _host = Host::new();
    let own = Own::new();
    fs::write(own.above.join("memory.max"), "32M").unwrap();
    let beside = own.above.join("beside");
    fs::create_dir(&beside).unwrap();
    let large = Own {
        above: own.above.clone(),
        dir: beside,
    };
    let shell = large.start(&script(&[("--size 16m", 0)]));
    // Who does not grow is beside it, and the largest.
    let round = Round::run(&own, &[(GROWS, 0)]);
    assert!(round.is_right(), "{:?} {:?}", round.said, round.kill);
    let (next, _) = round.said.unwrap();
    assert_eq!(&*next.of, "/above");
    // Whose growth it was is told of another one.
    let grown = round.grown.unwrap();
    assert_ne!(grown.pid, next.pid);
    assert!(grown.to.0 > grown.from.0 + (2 << 20), "{grown:?}");
    large.kill(shell);
}

#[test]
fn a_group_is_named_with_how_many_go() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "32M");
    own.write("memory.oom.group", "1");
    let processes: Processes = &[(GROWS, 0), ("--size 1m", 0), ("--size 2m", 0)];
    for _ in 0..extent(2, 10) {
        let round = Round::run(&own, processes);
        assert!(round.is_right(), "{:?} {:?}", round.said, round.kill);
        let (next, _) = round.said.unwrap();
        assert_eq!(next.group, Some(Arc::from("/above/own")));
        assert_eq!(next.others, 2);
        assert_eq!(round.kill.victims.len(), 3, "{:?}", round.kill);
    }
}

/// Both grow alike: nothing is asserted of which one it is.
#[test]
fn of_two_that_race_one_is_named() {
    let _host = Host::new();
    let own = Own::new();
    own.write("memory.max", "32M");
    let (_, _, last) = play("a race", &own, &[(GROWS, 0), (GROWS, 0)]);
    assert!(last.said.is_some());
}

#[test]
fn the_dashboard_names_it() {
    let host = Host::new();
    let load = load("memory --size 28m");
    let leaker = host.start("leaker", &["-m", "32m"], &load);
    let pid = leaker.pids()[0];
    let mut dashboard = Dashboard::start(&["top", "--interval", "0.5"]);
    dashboard.select("leaker");
    dashboard.keys("3");
    dashboard.wait_for(&format!("OOM next  {pid} (1 inside) ringfence · "));
    dashboard.wait_for(" of 32M of leaker");
    eprintln!("{}", dashboard.contents());
    dashboard.keys("q");
    assert!(dashboard.end().success());
    leaker.kill();
}

//! Workloads of ringfence's own: the line that starts one, the log that is followed, those that have ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossterm::event::{Event, KeyCode, KeyModifiers, MouseEvent, MouseEventKind};
use ringfence::control::act::Act;
use ringfence::control::follow::{LINES, Lines, Said};
use ringfence::control::worker::{Order, Outcome};
use ringfence::control::workload::{Ended, Known};
use ringfence::launch::log::Stream;
use ringfence::ui::state::Screen;
use ringfence::ui::update::{Effect, Message, update};

use super::acts::snapshot;
use super::{Dashboard, SIZES};

const MISTAKE: &str =
    "invalid value '64q' for '--memory <SIZE>': a size such as 512m, 1.5g or a number of bytes";

fn order(effect: Option<Effect>) -> Order {
    match effect {
        Some(Effect::Order(order)) => order,
        effect => panic!("no order: {effect:?}"),
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn ran(line: &str, ran: Result<&str, &str>) -> Outcome {
    Outcome::Ran {
        arguments: words(line),
        ran: ran
            .map(|name| (name.to_owned(), None))
            .map_err(str::to_owned),
    }
}

#[test]
fn a_workload_is_typed_mended_and_started() {
    for (width, height) in SIZES {
        let empty = Dashboard::new("demo", width, height).keys("N");
        snapshot("prompt_empty", &empty);
        let line = "-n web -m 64q --restart on-failure -- httpd -f -p 8080";
        let mut prompt = empty.keys(line);
        snapshot("prompt", &prompt);
        assert_eq!(order(prompt.enter()), Order::Run(words(line)));
        assert!(prompt.screen().contains("starting …"));
        // What is on its way is neither changed nor ordered twice.
        prompt = prompt.keys("zz\n");
        assert_eq!(prompt.tell(ran(line, Err(MISTAKE))), None);
        assert_eq!(prompt.state.screen, Screen::Prompt);
        snapshot("prompt_refused", &prompt);
        prompt.key(KeyCode::Home);
        for _ in 0.."-n web -m 64q".len() {
            prompt.key(KeyCode::Right);
        }
        prompt.key(KeyCode::Backspace);
        let mut prompt = prompt.keys("m");
        let line = line.replace("64q", "64m");
        assert_eq!(order(prompt.enter()), Order::Run(words(&line)));
    }
}

#[test]
fn what_was_started_is_told_and_selected_once_it_is_there() {
    let mut dashboard = Dashboard::new("demo", 120, 40).keys("N-n leaker sleep 9");
    order(dashboard.enter());
    dashboard.tell(ran("-n leaker sleep 9", Ok("leaker")));
    assert_eq!(dashboard.state.screen, Screen::View);
    assert_eq!(dashboard.state.said, ["started leaker"]);
    update(&mut dashboard.state, &Message::Model, &dashboard.model);
    assert_eq!(dashboard.selected(), "/ringfence.slice/leaker");
    // The line is there again, by the key that everybody knows.
    let mut again = dashboard.keys("N");
    again.key(KeyCode::Up);
    assert_eq!(order(again.enter()), Order::Run(words("-n leaker sleep 9")));
    // Whoever left the line hears of it all the same.
    again.key(KeyCode::Esc);
    again.tell(ran("-n leaker sleep 9", Err("leaker is there already")));
    let said = again.state.said.last().unwrap();
    assert_eq!(said, "not started: leaker is there already");
}

#[test]
fn what_cannot_be_split_is_not_ordered() {
    let mut dashboard = Dashboard::new("demo", 80, 24).keys("Nsh -c 'echo");
    assert_eq!(dashboard.enter(), None);
    assert!(dashboard.screen().contains("▲ a quotation mark"));
    dashboard.send(Event::Paste("' now\nrm -rf /".to_owned()));
    let words = ["sh", "-c", "echo", "now"].map(str::to_owned);
    assert_eq!(order(dashboard.enter()), Order::Run(words.to_vec()));
}

fn said(n: usize, stream: Stream, text: &str) -> Said {
    Said {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(43_200 + n as u64),
        stream,
        complete: true,
        text: text.to_owned(),
    }
}

/// What a server says in its first seconds.
fn lines(from: usize, to: usize) -> Lines {
    let mut lines = Lines::default();
    lines.extend((from..to).map(|n| match n % 7 {
        3 => said(
            n,
            Stream::Stderr,
            &format!("worker {n}: cannot reach \x1b[2Jdb:5432, trying again"),
        ),
        5 => said(
            n,
            Stream::Stdout,
            &format!(
                "GET /{}\u{202e} 200 {}",
                n,
                "and all that comes with it ".repeat(6)
            ),
        ),
        _ => said(n, Stream::Stdout, &format!("GET /index.html?visit={n} 200")),
    }));
    lines
}

/// A dashboard that follows the log of the leaker.
fn following(width: u16, height: u16) -> (Dashboard, u64) {
    let mut dashboard = Dashboard::new("demo", width, height).keys("jj");
    let Order::Follow { number, path } = order(dashboard.key(KeyCode::Char('L'))) else {
        panic!("no log is ordered");
    };
    assert_eq!(&*path, "/ringfence.slice/leaker");
    assert!(dashboard.screen().contains("reading …"));
    (dashboard, number)
}

#[test]
fn a_log_is_followed_and_scrolled() {
    for (width, height) in SIZES {
        let (mut dashboard, number) = following(width, height);
        let said = Ok(lines(0, 100));
        let more = dashboard.tell(Outcome::Said { number, said });
        assert_eq!(order(more), Order::FollowOn);
        snapshot("log", &dashboard);
        let said = Ok(lines(100, 102));
        dashboard.tell(Outcome::Said { number, said });
        assert!(dashboard.screen().contains("worker 101:"));
        // One that was closed before says nothing any more.
        let late = Outcome::Said {
            number: number - 1,
            said: Ok(lines(0, 9)),
        };
        assert_eq!(dashboard.tell(late), None);
        dashboard.key(KeyCode::PageUp);
        let before = dashboard.screen();
        let said = Ok(lines(102, 110));
        dashboard.tell(Outcome::Said { number, said });
        let body = |screen: &str| -> Vec<String> {
            let lines = screen.lines().filter(|line| line.starts_with('│'));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(body(&before), body(&dashboard.screen()));
        dashboard.key(KeyCode::Right);
        snapshot("log_scrolled", &dashboard);
        dashboard.key(KeyCode::End);
        dashboard.key(KeyCode::Left);
        assert!(
            dashboard.screen().contains("visit=109"),
            "{}",
            dashboard.screen()
        );
        for _ in 0..3 {
            dashboard.send(Event::Mouse(MouseEvent {
                kind: MouseEventKind::ScrollUp,
                column: 9,
                row: 4,
                modifiers: KeyModifiers::NONE,
            }));
        }
        assert!(!dashboard.screen().contains("visit=109"));
        assert_eq!(order(dashboard.key(KeyCode::Esc)), Order::Unfollow);
        assert_eq!(dashboard.state.screen, Screen::View);
        assert!(dashboard.state.log.is_none());
    }
}

#[test]
fn no_more_is_kept_of_a_log_than_is_said() {
    let (mut dashboard, number) = following(80, 24);
    for batch in 0..30 {
        let said = Ok(lines(batch * 1000, (batch + 1) * 1000));
        dashboard.tell(Outcome::Said { number, said });
        if batch == 0 {
            dashboard.key(KeyCode::Home);
        }
    }
    let kept = dashboard.state.log.as_ref().and_then(|log| log.lines());
    assert_eq!(kept.map(Lines::len), Some(LINES));
    assert!(
        dashboard.screen().contains("line 20001 to "),
        "{}",
        dashboard.screen()
    );
}

#[test]
fn why_there_is_no_log_is_said() {
    let (mut dashboard, number) = following(80, 24);
    let why = "leaker is not detached: what it says goes to where it was started, and is not kept";
    let said = Err(why.to_owned());
    assert_eq!(dashboard.tell(Outcome::Said { number, said }), None);
    snapshot("log_none", &dashboard);
}

fn ended(name: &str, code: u8, ago: u64, oom_kills: usize, command: &str) -> Ended {
    Ended {
        name: name.to_owned(),
        path: format!("/ringfence.slice/{name}"),
        code,
        ago: Duration::from_secs(ago),
        why: (code == 125).then(|| "its supervisor was killed".to_owned()),
        oom_kills,
        command: command.to_owned(),
    }
}

fn listed(dashboard: &mut Dashboard) {
    let ended = vec![
        ended("web", 0, 12, 0, "httpd -f -p 8080"),
        ended(
            "leaky",
            137,
            190,
            3,
            "ringfence load memory --size 64m --rate 4m",
        ),
        ended("evil", 125, 90_000, 0, "sh -c 'echo \x1b[2J\u{202e}'"),
        ended(
            "a-name-that-is-rather-long",
            1,
            300_000,
            1,
            "sh -c 'exit 1'",
        ),
    ];
    let ended = Ok(Arc::new(ended));
    let told = Vec::new();
    dashboard.tell(Outcome::Ended { ended, told });
}

#[test]
fn what_has_ended_is_listed_started_and_removed() {
    for (width, height) in SIZES {
        let mut dashboard = Dashboard::new("demo", width, height);
        assert_eq!(order(dashboard.key(KeyCode::Char('E'))), Order::Ended);
        assert!(dashboard.screen().contains("looking …"));
        listed(&mut dashboard);
        let mut dashboard = dashboard.keys("j");
        snapshot("ended", &dashboard);
        let start = Order::Act(Act::Start("leaky".to_owned()));
        assert_eq!(order(dashboard.enter()), start);
        let mut dashboard = dashboard.keys("d");
        snapshot("ended_remove", &dashboard);
        let remove = Act::Remove("leaky".to_owned());
        let done = dashboard.key(KeyCode::Char('y'));
        assert_eq!(order(done), Order::Act(remove.clone()));
        // It is on the list until it is read again.
        let said = Ok("removed leaky: its record and its log".to_owned());
        let next = dashboard.tell(Outcome::Acted { act: remove, said });
        assert_eq!(order(next), Order::Ended);
        assert!(dashboard.screen().contains("removed leaky"));
        listed(&mut dashboard);
        let Order::Follow { path, .. } = order(dashboard.key(KeyCode::Char('L'))) else {
            panic!("no log");
        };
        assert_eq!(&*path, "/ringfence.slice/leaky");
        dashboard.key(KeyCode::Esc);
        assert_eq!(dashboard.state.screen, Screen::Ended);
        dashboard.key(KeyCode::Esc);
        assert_eq!(dashboard.state.screen, Screen::View);
    }
}

#[test]
fn a_detached_workload_is_restarted_and_one_in_the_foreground_is_not() {
    let known = |kept| {
        Some(Known {
            name: "forker".to_owned(),
            grace: Duration::from_secs(3),
            restarts: true,
            kept,
        })
    };
    let menu = |kept| {
        let forker = Dashboard::new("demo", 80, 24).keys("j");
        forker.look('x', |survey| survey.workload = known(kept), 3)
    };
    let mut kept = menu(true).keys("jj");
    snapshot("act_workload", &kept);
    assert_eq!(kept.enter(), None);
    let done = kept.key(KeyCode::Char('y'));
    assert!(
        matches!(&done, Some(Effect::Order(Order::Act(Act::Restart(target)))) if &*target.path == "/ringfence.slice/forker"),
        "{done:?}"
    );
    let mut foreground = menu(false).keys("jj");
    assert!(foreground.screen().contains("forker is not detached"));
    assert_eq!(foreground.enter(), None);
    assert_eq!(foreground.state.screen, Screen::Menu);
    // Its own grace, and who keeps it down.
    let stop = Dashboard::new("demo", 80, 24).keys("j");
    let mut stop = stop.look('s', |survey| survey.workload = known(true), 3);
    snapshot("act_stop_workload", &stop);
    let Order::Act(Act::Stop(_, grace)) = order(stop.key(KeyCode::Char('y'))) else {
        panic!("no stop");
    };
    assert_eq!(grace, Duration::from_secs(3));
}

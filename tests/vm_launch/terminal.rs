//! `-t`: a terminal inside.

use crate::support::dashboard::Dashboard;
use crate::support::{Host, binary, with_input};

/// Its terminal is 40 rows of 120 columns.
fn on_a_terminal(flags: &[&str], script: &str) -> Dashboard {
    let run = [&["run"], flags, &["--", "sh", "-c", script]].concat();
    Dashboard::start(&run)
}

#[test]
fn b19_a_terminal_is_real_and_as_large_as_the_launchers() {
    let _host = Host::new();
    let script = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo real; echo kind $TERM; \
                  read word; echo got $word; trap 'stty size; exit 7' WINCH; echo waits; while :; do sleep 0.1; done";
    let mut terminal = on_a_terminal(&["-it"], script);
    terminal.wait_for("/dev/pts/0");
    terminal.wait_for("40 120");
    terminal.wait_for("real");
    terminal.wait_for("kind xterm-256color");
    terminal.keys("hello\r");
    terminal.wait_for("got hello");
    terminal.wait_for("waits");
    terminal.resize(30, 100);
    terminal.wait_for("30 100");
    assert_eq!(terminal.end().code(), Some(7));
}

#[test]
fn b19_keys_are_the_programs_and_the_launchers_terminal_is_as_before() {
    let _host = Host::new();
    // Ctrl-C is a signal inside, and not for the launcher.
    let inside = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.1; done";
    let script = format!(
        "before=$(stty -g); {} run -t -- sh -c \"{inside}\"; echo code $?; test $(stty -g) = $before && echo as before",
        binary().display()
    );
    let mut outer = Dashboard::run("/bin/sh", &["-c", &script]);
    outer.wait_for("ready");
    outer.keys("\x03");
    outer.wait_for("interrupted");
    outer.wait_for("code 5");
    outer.wait_for("as before");
    assert!(outer.end().success());
}

#[test]
fn b19_without_a_terminal_outside_there_is_one_inside() {
    let host = Host::new();
    let done = with_input(
        host.command(&["-t"], &["sh", "-c", "tty; cat; echo over"]),
        b"typed\n",
    );
    assert_eq!(done.code, 0, "{done:?}");
    let lines: Vec<&str> = done.stdout.lines().map(str::trim_end).collect();
    // What is typed is echoed, as terminals do, perhaps before the first word.
    let count = |word: &str| lines.iter().filter(|line| **line == word).count();
    assert_eq!(
        (count("/dev/pts/0"), count("typed"), lines.len()),
        (1, 2, 4),
        "{done:?}"
    );
    assert_eq!(lines[3], "over");
    // All of a long output arrives, also what is said last.
    let done = host
        .command(&["-t"], &["sh", "-c", "seq 1 3000; exit 3"])
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!((text.lines().count(), done.status.code()), (3000, Some(3)));
    assert!(text.ends_with("3000\r\n"));
}

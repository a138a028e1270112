//! A terminal inside: with `-t`, and by itself where there is one outside.

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

#[test]
fn on_a_terminal_there_is_one_inside_without_asking() {
    let _host = Host::new();
    let inside = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo real; \
                  test $(stat -L -c %d:%i /dev/stdin) != $OUTER && echo another; \
                  trap \"exit 6\" INT; echo ready; while :; do sleep 0.1; done";
    let outer = format!(
        "OUTER=$(stat -L -c %d:%i /dev/stdin) {} run -e OUTER -- sh -c '{inside}'; echo code $?",
        binary().display()
    );
    let mut terminal = Dashboard::run("/bin/sh", &["-c", &outer]);
    terminal.wait_for("/dev/pts/0");
    terminal.wait_for("40 120");
    terminal.wait_for("real");
    terminal.wait_for("another");
    terminal.wait_for("ready");
    terminal.keys("\x03");
    terminal.wait_for("code 6");
    terminal.end();
    // Declined, it has pipes.
    let mut terminal = on_a_terminal(
        &["-T"],
        "tty; read word; echo got $word; test -t 2 || echo none at all",
    );
    terminal.wait_for("not a tty");
    terminal.keys("hello\r");
    terminal.wait_for("got hello");
    terminal.wait_for("none at all");
    assert!(terminal.end().success());
}

#[test]
fn an_error_stream_that_goes_elsewhere_stays_apart() {
    let _host = Host::new();
    let script = format!(
        "{} run -- sh -c 'test -t 0 && test -t 1 && echo both; test -t 2 || echo apart; echo error >&2' 2>/tmp/apart; \
         echo file has $(cat /tmp/apart)",
        binary().display()
    );
    let terminal = Dashboard::run("/bin/sh", &["-c", &script]);
    terminal.wait_for("both");
    terminal.wait_for("apart");
    terminal.wait_for("file has error");
    assert!(terminal.end().success());
}

#[test]
fn an_interrupt_ends_a_program_that_cannot_notice_it() {
    let _host = Host::new();
    for flags in [&[][..], &["-t"], &["-T"]] {
        let mut terminal = Dashboard::start(
            &[
                &["run"],
                flags,
                &["--", "sh", "-c", "echo ready; exec sleep 1000"],
            ]
            .concat(),
        );
        terminal.wait_for("ready");
        // Until it is the shell no more.
        std::thread::sleep(std::time::Duration::from_millis(500));
        terminal.keys("\x03");
        terminal.wait_for("cannot notice it");
        assert_eq!(terminal.end().code(), Some(137), "{flags:?}");
    }
    // With a reaper it notices, once.
    let script = "trap 'echo once more' INT; echo ready; while :; do read line && echo ended && exit 4; done";
    let mut terminal = on_a_terminal(&["--init"], script);
    terminal.wait_for("ready");
    terminal.keys("\x03");
    terminal.wait_for("once more");
    terminal.keys("\r");
    terminal.wait_for("ended");
    let times = terminal.contents().matches("once more").count();
    assert_eq!((times, terminal.end().code()), (1, Some(4)));
}

#[test]
fn in_the_background_it_goes_on_and_takes_no_keys() {
    let _host = Host::new();
    let script = format!(
        "set -m; {} run -- sh -c 'test -t 0 || echo no terminal; read word; echo got $word' & \
         read own; echo shell has $own; fg; echo code $?",
        binary().display()
    );
    let mut terminal = Dashboard::run("/bin/sh", &["-c", &script]);
    terminal.wait_for("no terminal");
    terminal.keys("mine\r");
    terminal.wait_for("shell has mine");
    terminal.keys("yours\r");
    terminal.wait_for("got yours");
    terminal.wait_for("code 0");
    terminal.end();
}

#[test]
fn keys_are_left_to_who_has_the_output() {
    let _host = Host::new();
    let reader = "(read line; echo $line; read line </dev/tty && echo later got $line)";
    for (flags, reader, got) in [
        ("", reader, "later got typed"),
        ("-i", "cat", "inside got typed"),
    ] {
        let script = format!(
            "{} run {flags} -- sh -c 'echo ready; read word && echo inside got $word' | {reader}",
            binary().display()
        );
        let mut terminal = Dashboard::run("/bin/sh", &["-c", &script]);
        terminal.wait_for("ready");
        terminal.keys("typed\r");
        terminal.wait_for(got);
        terminal.end();
    }
}

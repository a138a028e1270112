//! `ringfence why`: why something died, from what is left of it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;

use super::top::KMSG;
use crate::export::page::Head;
use crate::kernel::cgroup::hierarchy::mount_point;
use crate::names::local::Names;
use crate::oom::past;
use crate::text;
use crate::text::ascii::all_in_locale;
use crate::ui::plain::quiet_end;
use crate::why::{self, Cause, Death, Findings, Origin, Unread};
use crate::{export, file};

/// What `why` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// What died; all where it is `None`.
    pub name: Option<String>,
    /// From when on.
    pub since: SystemTime,
    /// JSON in place of words.
    pub json: bool,
    /// Where the answers are written as a page, too.
    pub html: Option<PathBuf>,
}

/// Asks every source, and prints the answers, the latest first.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let root = Path::new("/");
    let names = &mut Names::new(root);
    let mount = mount_point(Path::new("/proc"));
    let marks = mount
        .as_deref()
        .map_or_else(Findings::default, |mount| why::marks::read(mount, names));
    let told = [
        marks,
        kernel_log(names),
        why::journal::read(root, options.since, names),
        why::docker::read(root),
        why::podman::read(root),
        why::units::read(root, names),
        why::workloads::read(names),
    ];
    let (deaths, unread): (Vec<_>, Vec<_>) = told
        .into_iter()
        .map(|told| (told.deaths, told.unread))
        .unzip();
    let unread = unread.concat();
    let mut answers = why::together(deaths.concat());
    answers.retain(|death| is_wanted(death, options));
    if let Some(file) = &options.html {
        let head = Head::now(match &options.name {
            Some(name) => format!("Why {name} died"),
            None => "What was killed".to_owned(),
        });
        let page = export::why::html(&head, &answers, &unread, mount.as_deref());
        file::write(file, &page, true)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let out = &mut io::stdout().lock();
    let lines = if options.json {
        export::why::json(&answers, &unread)
    } else {
        say(&answers, &unread, options.name.as_deref());
        all_in_locale(export::why::text(&answers))
    };
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    quiet_end(written.and_then(|()| out.flush())).context("cannot write the answers")?;
    Ok(u8::from(answers.is_empty()))
}

/// What is no answer.
fn say(answers: &[Death], unread: &[Unread], name: Option<&str>) {
    let nothing = match name {
        Some(name) => format!("nothing is known of a death of {name}"),
        None => "nothing is known of a kill".to_owned(),
    };
    let unread = unread
        .iter()
        .map(|unread| format!("not read: {}: {}", unread.source.words(), unread.why));
    for line in answers
        .is_empty()
        .then_some(nothing)
        .into_iter()
        .chain(unread)
    {
        eprintln!("ringfence: {}", text::to_terminal(&line));
    }
}

fn is_wanted(death: &Death, options: &Options) -> bool {
    let late = death.at.is_none_or(|at| at >= options.since);
    late && match &options.name {
        Some(name) => death.is_called(name),
        // Who ended by itself is no question.
        None => match death.cause {
            Cause::Exit(_) => false,
            Cause::Signal(signal) => signal == libc::SIGKILL,
            _ => true,
        },
    }
}

fn kernel_log(names: &mut Names) -> Findings {
    let past = match past::read(Path::new(KMSG)) {
        Ok(past) => past,
        Err(error) => return Findings::unread(Origin::KernelLog, error.to_string()),
    };
    let kills = past.kills.into_iter();
    let deaths = kills.map(|kill| Death::by_kernel(Origin::KernelLog, kill, names));
    deaths.collect()
}

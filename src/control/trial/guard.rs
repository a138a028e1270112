//! The guard of a trial: makes the change, watches, and takes it back. Its order comes on stdin, what it says goes to stdout,
//! a line each; one byte on stdin keeps the change or takes it back, and so does the end of stdin.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::prctl::set_name;
use nix::unistd::setsid;

use super::record::{Held, Record};
use super::watch::{Before, Watch};
use super::{Ending, KEEP, News, Order, Terms};
use crate::control::make::{make, tell_engine};
use crate::control::sheet::{Sheet, Wishes, vanished};
use crate::kernel::block::Disk;
use crate::kernel::cgroup::knob::{Address, Wanted};
use crate::kernel::cgroup::standing::read;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::process::protect_from_oom;
use crate::kernel::signals::EarlySignals;
use crate::kernel::watch::{is_over, is_readable, wait_for};
use crate::model::change::Change;
use crate::text;

/// How often it looks for what nothing notifies of.
const LOOK: Duration = Duration::from_millis(250);

/// Guards a trial from its order to its end.
pub fn run() -> anyhow::Result<u8> {
    let signals = EarlySignals::note().context("listen for signals")?;
    // What is typed for whoever ordered it, Ctrl-C for one, is not for the guard.
    setsid().context("leave the session")?;
    let _ = set_name(c"ringfence-trial");
    protect_from_oom(Path::new("/proc"));
    match begin() {
        Ok((trial, made)) => {
            say(&made);
            say(&News::Ended(trial.guard(&signals)));
        }
        Err(error) => say(&News::Refused(format!("{error:#}"))),
    }
    Ok(0)
}

fn say(news: &News) {
    if let Ok(line) = serde_json::to_string(news) {
        // Whoever ordered it may be gone.
        let _ = writeln!(stdout(), "{line}");
    }
}

/// A trial that runs.
struct Running {
    begin: Instant,
    terms: Terms,
    cgroup: Cgroup,
    sheet: Sheet,
    changes: Vec<Change>,
    /// What is still as the trial made it.
    held: Vec<Held>,
    watch: Watch,
}

/// Makes the changes of the order that comes on stdin.
fn begin() -> anyhow::Result<(Running, News)> {
    let mut line = String::new();
    stdin().read_line(&mut line).context("read the order")?;
    let Order { records, terms } = serde_json::from_str(&line).context("understand the order")?;
    let held = records.into_iter().map(Held::take);
    let mut held: Vec<Held> = held
        .collect::<anyhow::Result<_>>()
        .map_err(|error| anyhow!("{error:#}; nothing was changed"))?;
    let first = held.first().context("an order of nothing")?;
    let (mount, path) = (first.record.mount.clone(), first.record.path.clone());
    let cgroup = first.record.cgroup();
    let cgroup = cgroup.with_context(|| format!("{}; nothing was changed", vanished(&path)))?;
    let before = Before::measure(&cgroup);
    if is_over(stdin().as_fd()) {
        bail!("nobody waits for it any more; nothing was changed");
    }
    let records = held.iter().map(|held| &held.record);
    let wishes: Wishes = records
        .clone()
        .map(|record| (record.address, (None, Wanted::Value(record.new.clone()))))
        .collect();
    let addresses = wishes.keys().map(|&address| (address, None::<Disk>));
    let mut sheet = Sheet::read(&mount, &path, addresses)?;
    // What was judged is what is made, or nothing.
    let olds: BTreeMap<Address, _> = records
        .map(|record| (record.address, record.old.clone()))
        .collect();
    let changes = sheet.judge(&wishes)?;
    if let Some(change) = changes
        .iter()
        .find(|change| olds.get(&change.address) != Some(&change.old))
    {
        bail!(
            "{} was changed meanwhile; nothing was changed",
            change.address
        );
    }
    // Another cgroup may have come to the same path.
    sheet.inode = cgroup.inode()?;
    let made = make(&sheet, &changes, false)?;
    for held in &mut held {
        let mut kept = changes.iter().zip(&made.kept);
        let own = kept.find(|(change, _)| change.address == held.record.address);
        if let Some((_, Some(kept))) = own {
            held.set_new(kept);
        }
    }
    let watch = Watch::start(&cgroup, before, terms.margin);
    let mut remarks = made.remarks;
    remarks.extend(watch.unwatched.iter().cloned());
    let kept = changes
        .iter()
        .zip(made.kept)
        .map(|(change, kept)| Some(kept?.to_text(change.address)));
    let news = News::Made {
        kept: kept.collect(),
        remarks,
    };
    let running = Running {
        begin: Instant::now(),
        terms,
        cgroup,
        sheet,
        changes,
        held,
        watch,
    };
    Ok((running, news))
}

impl Running {
    /// Waits for the end, and brings it about.
    fn guard(mut self, signals: &EarlySignals) -> Ending {
        let stdin = stdin();
        loop {
            let left = self.terms.time.saturating_sub(self.begin.elapsed());
            let said = wait_for(&[stdin.as_fd()], self.watch.urgent(), left.min(LOOK));
            if is_readable(stdin.as_fd()) || is_over(stdin.as_fd()) {
                let answer = stdin
                    .lock()
                    .fill_buf()
                    .ok()
                    .and_then(|bytes| bytes.first().copied());
                return match answer {
                    Some(KEEP) => self.keep(),
                    Some(_) => self.take_back("as was asked for"),
                    None => self.take_back("whoever ordered it is gone"),
                };
            }
            if let Some(why) = self.watch.look(&self.cgroup, &said) {
                return self.take_back(&why);
            }
            if signals.came().is_some() {
                return self.take_back("its guard was told to end");
            }
            if left.is_zero() {
                return self.take_back("its time is up");
            }
            // What somebody else has set is theirs from now on.
            let cgroup = &self.cgroup;
            let is_on =
                |record: &Record| read(cgroup, record.address).is_ok_and(|now| now == record.new);
            if !self.held.iter().any(|held| is_on(&held.record)) {
                return self.take_back("nothing of it is left");
            }
        }
    }

    fn age(&self) -> String {
        let age = self.begin.elapsed();
        match age.as_secs() {
            0 => format!("{} ms", age.as_millis()),
            1.. => text::age(age),
        }
    }

    fn keep(self) -> Ending {
        let kept = format!("kept after {}", self.age());
        let told = tell_engine(&self.sheet, &self.changes);
        let text: Vec<String> = std::iter::once(kept).chain(told).collect();
        Ending {
            kept: true,
            text: text.join("; "),
        }
    }

    fn take_back(self, why: &str) -> Ending {
        let after = self.age();
        let back: Vec<String> = self.held.into_iter().rev().map(Held::take_back).collect();
        Ending {
            kept: false,
            text: format!("taken back after {after}: {why}; {}", back.join("; ")),
        }
    }
}

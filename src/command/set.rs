//! `ringfence set`: limits of any cgroup, checked first, then all of them or none.

mod trial;

use std::path::Path;

use anyhow::{anyhow, bail};

use crate::command::target::{find, v2_mount};
use crate::control::make::{Keeper, Made, make_known};
use crate::control::sheet::{Sheet, resolve};
use crate::control::trial::{Terms, sweep};
use crate::kernel::cgroup::hierarchy::Hierarchy;
use crate::kernel::cgroup::knob::Wish;
use crate::model::change::{Change, Gravity};
use crate::text::to_terminal;

/// What `set` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose limits: a cgroup path or a workload's name.
    pub target: String,
    /// What they are to be.
    pub wishes: Vec<Wish>,
    /// Change nothing.
    pub dry_run: bool,
    /// Do what is likely to break the workload too.
    pub force: bool,
    /// Have systemd keep it over the next boot.
    pub persist: bool,
    /// Take them back by themselves.
    pub trial: Option<Terms>,
}

/// Checks all changes, says what they are, and makes them.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let mount = v2_mount(&Hierarchy::discover(Path::new("/proc"))?)?;
    for told in sweep() {
        say(&told);
    }
    let path = find(&mount, &options.target)?;
    let (wishes, notices) = resolve(&options.wishes)?;
    for notice in notices {
        say(&notice);
    }
    let addresses = wishes
        .iter()
        .map(|(&address, (disk, _))| (address, disk.clone()));
    let sheet = Sheet::read(&mount, &path, addresses)?;
    if options.persist && !matches!(sheet.keeper, Keeper::Systemd(_)) {
        bail!(
            "/{} is no unit of systemd's, so nothing would keep its limits over a boot; leave --persist out",
            path.display()
        );
    }
    if let Some(about) = sheet.about_payload() {
        say(&about);
    }
    let changes = sheet.judge(&wishes)?;
    for change in &changes {
        if let Some(off) = sheet
            .line(change.address)
            .and_then(|line| line.off.as_ref())
        {
            say(&format!("{}: {off}", change.address));
        }
        for remark in change.at_least(Gravity::Note) {
            say(&format!("{}: {}", change.address, remark.text));
        }
    }
    refuse(&path, &changes, options.force)?;
    if options.dry_run {
        print(&path, &changes);
        return Ok(0);
    }
    let told = |made: Made| {
        print(&path, &changes);
        for remark in made.remarks {
            say(&remark);
        }
    };
    if let Some(terms) = options.trial {
        return trial::run(&sheet, &changes, terms, told);
    }
    told(make_known(&sheet, &changes, options.persist)?);
    Ok(0)
}

/// One line on stderr. Foreign names may be part of it.
fn say(line: &str) {
    eprintln!("ringfence: {}", to_terminal(line));
}

fn print(path: &Path, changes: &[Change]) {
    println!("{}", to_terminal(&format!("/{}", path.display())));
    for change in changes {
        println!("{}", to_terminal(&change.to_string()));
    }
}

/// What cannot be is refused, and so is what is dangerous, unless it is forced.
fn refuse(path: &Path, changes: &[Change], force: bool) -> anyhow::Result<()> {
    let worst = if force {
        Gravity::Impossible
    } else {
        Gravity::Danger
    };
    let refused = changes.iter().find_map(|change| {
        let remark = change.at_least(worst).max_by_key(|remark| remark.gravity)?;
        Some((change, remark))
    });
    let Some((change, remark)) = refused else {
        return Ok(());
    };
    let what = format!("{} of /{}", change.address, path.display());
    Err(match remark.gravity {
        Gravity::Danger => anyhow!(
            "{what} is refused, as it is likely to break the workload; nothing was changed, --force does it all the same"
        ),
        _ => anyhow!("{what} is refused; nothing was changed"),
    })
}

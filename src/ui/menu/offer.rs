//! What can be done, each with its consequence and with the question that comes first.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Amount, Item, Menu, Then};
use crate::control::act::signal::SIGNALS;
use crate::control::act::survey::{ChosenOne, Member, Survey};
use crate::control::act::{Act, GRACE, short};
use crate::control::worker::Order;
use crate::kernel::process::held::Brief;
use crate::model::row::last_part;
use crate::text::{self, processes};
use crate::ui::question::Question;
use crate::ui::state::Screen;

/// What a menu is about.
pub fn title(survey: &Survey) -> String {
    match &survey.chosen {
        Some(Ok(one)) => format!("pid {} · {}", one.brief.name(), survey.target.path),
        _ => survey.target.path.to_string(),
    }
}

/// Everything: what can be done to the chosen process first.
pub fn all(survey: &Survey) -> Vec<Item> {
    let mut items = match &survey.chosen {
        None => Vec::new(),
        Some(Ok(one)) => {
            let signals = SIGNALS.iter();
            let signals = signals.map(|(signal, about)| self::signal(one, *signal, about));
            signals.chain([move_one_up(one)]).collect()
        }
        Some(Err(why)) => vec![Item {
            label: "signal the chosen process".to_owned(),
            about: String::new(),
            then: Err(why.clone()),
        }],
    };
    items.extend([stop(survey), kill(survey)]);
    items.extend(restart(survey));
    items.extend([freeze(survey), reclaim(survey), move_up(survey)]);
    items
}

/// TERM, the grace, the kill.
pub fn stop(survey: &Survey) -> Item {
    let count = count(survey);
    let about = match survey.service() {
        Some(unit) => format!(
            "systemd stops it as the unit says, and keeps it down: {}",
            unit.stop(nix::unistd::geteuid().is_root())
        ),
        None => format!(
            "TERM asks it to end; what still runs after {} s is killed",
            grace(survey).as_secs()
        ),
    };
    let mut lines = vec![format!("{about}.")];
    lines.extend(kept_down(survey));
    if survey.frozen && survey.service().is_none() {
        lines.push("It is frozen, and is thawed so that TERM can be handled.".to_owned());
    }
    if survey.service().is_none() {
        lines.extend(again(survey));
    }
    lines.extend(members(survey, |_| true));
    Item {
        label: format!("stop the cgroup: {count}"),
        then: asked(
            survey.objections.stop.as_ref(),
            Act::Stop(survey.target.clone(), grace(survey)),
            lines,
            format!("Stop {count}?"),
        ),
        about,
    }
}

/// All at once.
fn kill(survey: &Survey) -> Item {
    let count = count(survey);
    let about = "ends at once all that runs in it and below it, without a chance to save anything";
    let mut lines = vec!["These end at once, without a chance to save anything.".to_owned()];
    lines.extend(kept_down(survey));
    lines.extend(again(survey));
    lines.extend(members(survey, |_| true));
    Item {
        label: format!("kill the cgroup: {count}"),
        about: about.to_owned(),
        then: asked(
            survey.objections.kill.as_ref(),
            Act::Kill(survey.target.clone()),
            lines,
            format!("Kill {count}?"),
        ),
    }
}

/// A stop and a start, of a workload of ringfence's.
fn restart(survey: &Survey) -> Option<Item> {
    let workload = survey.workload.as_ref()?;
    let name = &workload.name;
    let about = format!(
        "TERM asks it to end, and what still runs after {} s is killed; then it is started again",
        workload.grace.as_secs()
    );
    let mut lines = vec![format!("{about}.")];
    lines.extend(members(survey, |_| true));
    let foreground =
        || format!("{name} is not detached and kept: whoever started it must start it again");
    let objection = survey.objections.stop.clone();
    let objection = objection.or_else(|| (!workload.kept).then(foreground));
    Some(Item {
        label: format!("restart {name}"),
        then: asked(
            objection.as_ref(),
            Act::Restart(survey.target.clone()),
            lines,
            format!("Restart {name}?"),
        ),
        about,
    })
}

fn freeze(survey: &Survey) -> Item {
    let target = survey.target.clone();
    let (word, about, act) = if survey.frozen {
        ("thaw", "lets what is frozen in it go on", Act::Thaw(target))
    } else {
        (
            "freeze",
            "holds all in it and below it still, until it is thawed",
            Act::Freeze(target),
        )
    };
    // Whatever is frozen may be thawed.
    let objection = survey.objections.freeze.clone();
    let objection = objection.filter(|_| !survey.frozen);
    Item {
        label: format!("{word} the cgroup"),
        about: about.to_owned(),
        then: objection.map_or(Ok(Then::Do(Order::Act(act))), Err),
    }
}

/// An amount of memory.
pub fn reclaim(survey: &Survey) -> Item {
    let (label, amount) = match survey.memory {
        Some((current, easy)) => {
            let label = format!(
                "reclaim its memory: {} of {} can go right away",
                text::bytes(easy),
                text::bytes(current)
            );
            (
                label,
                Some(Amount::new(survey.target.clone(), current, easy)),
            )
        }
        None => ("reclaim its memory".to_owned(), None),
    };
    let objection = survey.objections.reclaim.clone();
    Item {
        label,
        about: "has the kernel drop page cache and, with swap, swap out; nothing is lost"
            .to_owned(),
        then: match (objection, amount) {
            (Some(why), _) => Err(why),
            (None, None) => Err("its memory could not be read".to_owned()),
            (None, Some(amount)) => Ok(Then::Show(Menu::Amount(amount))),
        },
    }
}

/// All that is in the cgroup itself.
pub fn move_up(survey: &Survey) -> Item {
    let path = &*survey.target.path;
    let own = |member: &Member| *member.cgroup == *path;
    let count = processes(survey.members.iter().filter(|member| own(member)).count());
    let mut lines = vec![loses(path)];
    lines.extend(members(survey, own));
    Item {
        label: format!("move up: {count} of the cgroup itself"),
        about: format!("to {}; {}", parent(path), loses(path)),
        then: asked(
            survey.objections.move_up.as_ref(),
            Act::MoveUp(survey.target.clone()),
            lines,
            format!("Move {count} to {}?", parent(path)),
        ),
    }
}

/// One process.
pub fn move_one_up(one: &ChosenOne) -> Item {
    let path = &*one.home.path;
    let name = one.brief.name();
    Item {
        label: "move it up".to_owned(),
        about: format!("to {}; {}", parent(path), loses(path)),
        then: asked(
            one.no_move.as_ref(),
            Act::MoveProcessUp(one.chosen.clone(), one.home.clone()),
            vec![loses(path), format!("pid {name}")],
            format!("Move pid {name} to {}?", parent(path)),
        ),
    }
}

fn signal(one: &ChosenOne, signal: Signal, about: &str) -> Item {
    let name = one.brief.name();
    let word = short(signal);
    let mut lines = vec![
        format!("{word}: {about}."),
        format!("pid {name}, in {}", one.home.path),
    ];
    let ends = !matches!(signal, Signal::SIGSTOP | Signal::SIGCONT);
    if ends && !one.with_it.is_empty() {
        lines.push(format!(
            "It is PID 1 of its namespace: if it ends, {} {} with it:",
            processes(one.with_it.len()),
            if one.with_it.len() == 1 {
                "dies"
            } else {
                "die"
            },
        ));
        lines.extend(one.with_it.iter().map(Brief::name));
    }
    Item {
        label: format!("signal {word}"),
        about: about.to_owned(),
        then: asked(
            one.no_signal.as_ref(),
            Act::Signal(one.chosen.clone(), signal),
            lines,
            format!("Send {word} to pid {name}?"),
        ),
    }
}

/// A question before an act, or what speaks against it.
fn asked(
    objection: Option<&String>,
    act: Act,
    about: Vec<String>,
    ask: String,
) -> Result<Then, String> {
    match objection {
        Some(why) => Err(why.clone()),
        None => Ok(Then::Ask(Question {
            title: act.to_string(),
            about,
            asks: vec![ask],
            order: Order::Act(act),
            back: Screen::View,
        })),
    }
}

/// Who exactly: a process a line, with its cgroup where that is one below.
fn members(survey: &Survey, wanted: impl Fn(&Member) -> bool) -> Vec<String> {
    let path = &*survey.target.path;
    let members = survey.members.iter().filter(|member| wanted(member));
    let mut lines: Vec<String> = members
        .map(|member| {
            let name = member.brief.name();
            if *member.cgroup == *path {
                name
            } else {
                format!("{name}  in {}", last_part(&member.cgroup))
            }
        })
        .collect();
    if survey.unseen > 0 {
        let unseen = processes(survey.unseen);
        lines.push(format!(
            "{unseen} outside our pid namespace, which cannot be named"
        ));
    }
    lines
}

/// How long a stop waits before the kill.
fn grace(survey: &Survey) -> Duration {
    let workload = survey.workload.as_ref();
    workload.map_or(GRACE, |workload| workload.grace)
}

/// What becomes of a restart policy.
fn kept_down(survey: &Survey) -> Option<String> {
    let workload = survey.workload.as_ref()?;
    workload.restarts.then(|| {
        "Its supervisor does that, and does not start it again, whatever its --restart says."
            .to_owned()
    })
}

fn again(survey: &Survey) -> Option<String> {
    let again = survey.again()?;
    let mut chars = again.chars();
    let first = chars.next()?.to_uppercase();
    Some(format!("{first}{}.", chars.as_str()))
}

fn loses(path: &str) -> String {
    format!("the limits of {path} no longer hold for what is moved")
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

fn count(survey: &Survey) -> String {
    processes(survey.members.len() + survey.unseen)
}

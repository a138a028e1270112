//! `ringfence run`: one workload, in the foreground or on its own.

use std::io::{IsTerminal as _, stderr};

use super::life::start::detach;
use super::oom_hook::OomHook;
use super::supervise::Order;
use crate::control::hook::Says;
use crate::launch::plan::random_hex;
use crate::launch::state::{Record, Shelf, Terms};
use crate::launch::supervise::supervise;
use crate::launch::{Plan, Report, Spec};
use crate::text::to_terminal;

/// Runs the workload to its end and says on stderr what is worth a line; a detached one is only started. Gives the
/// workload's exit code.
pub fn run(mut spec: Spec, terms: Terms) -> anyhow::Result<u8> {
    if terms.detached {
        // To be known here too.
        if spec.name.is_none() {
            spec.name = Some(random_hex().parse()?);
        }
        return detach(&Order {
            spec,
            terms,
            again: false,
        });
    }
    let spec = spec.with_absolute_paths();
    let plan = Plan::new(&spec)?;
    // While its terminal is relayed, this one's lines end as they are told to.
    let end = if spec.tty && stderr().is_terminal() {
        "\r\n"
    } else {
        "\n"
    };
    let say = |text: &str| eprint!("ringfence: {}{end}", to_terminal(text));
    let shelf = Shelf::own()?;
    for told in shelf.sweep() {
        say(&told);
    }
    let mut hook = OomHook::new(terms.on_oom.as_deref(), Says::OnStderr);
    let record = Record::new(&plan, &spec, terms);
    let keep = |go_on: &mut dyn FnMut() -> bool| shelf.take(record, false, go_on);
    let ended = supervise(&plan, keep, &mut |report| match report {
        Report::OomKill { kill, text } => {
            say(text);
            if let Some(trouble) = hook.call(kill, &plan.name, text) {
                say(&trouble);
            }
        }
        Report::Notice { .. } | Report::Failed { .. } | Report::Restarting { .. } => {
            say(&report.to_string());
        }
        Report::Started { .. } | Report::Exited { .. } => {}
    });
    for trouble in hook.finish() {
        say(&trouble);
    }
    Ok(ended?)
}

//! The table without a screen: for pipes, logs, and those who hear it.
//!
//! Each interval one header line, one line per cgroup, no box drawing; what happens is printed as a line
//! when it happens. A cell is one word: `-` where there is nothing to read, `?` where it could not be
//! read, `max` without a limit, `95%/64M@app.slice` against somebody else's, `97%/32M(high)` against
//! `memory.high`, `100%/1(cpuset)` where there are no more CPUs, `!` where a cap or a
//! refused fork holds it back. Nothing is said by such a mark alone: the last column has it in words.

use std::io::{self, ErrorKind, Write};

use crate::kernel::unit::{Bytes, Reading};
use crate::model::field::Preset;
use crate::model::tree;
use crate::model::{Model, Note};
use crate::text::{self, ascii};

/// Writes what happened, a line each.
pub fn notes<'a>(
    out: &mut dyn Write,
    model: &Model,
    notes: impl Iterator<Item = &'a Note>,
) -> io::Result<()> {
    for note in notes {
        let mark = note.severity.name();
        // The dots of the screen would be read out, each of them.
        let text = text::sanitise(&note.text).replace(" · ", ", ");
        writeln!(
            out,
            "{} {mark}: {}",
            model.clock(note.time),
            ascii::in_locale(&text)
        )?;
    }
    out.flush()
}

/// Writes one table: of this cgroup and what is below it, or of all.
pub fn table(out: &mut dyn Write, model: &Model, root: Option<&str>) -> io::Result<()> {
    let Some(sample) = model.sample() else {
        return Ok(());
    };
    let time = model.clock(sample.time);
    let has_swap = matches!(sample.host.swap_total, Reading::Value(Bytes(1..)));
    let titles = Preset::plain(has_swap).map(|field| field.key.to_uppercase());
    let mut lines = vec![titles.chain([time]).collect::<Vec<_>>()];
    let shown = model
        .rows()
        .iter()
        .filter(|row| root.is_none_or(|root| tree::is_in(&row.path, root)));
    lines.extend(shown.map(|row| {
        let cells = Preset::plain(has_swap).map(|field| (field.value)(row).text());
        cells.collect()
    }));
    writeln!(out, "{}", ascii::in_locale(&text::table(&lines)))?;
    out.flush()
}

/// A reader that went away is no error.
pub fn quiet_end(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

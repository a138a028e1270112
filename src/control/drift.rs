//! Where whoever keeps the limits of a cgroup takes them to be others than the kernel has: what was written past docker,
//! podman or systemd, and will not last.

use std::collections::BTreeMap;

use super::engine::Engine;
use super::make::Keeper;
use super::sheet::{Line, Sheet};
use crate::kernel::cgroup::knob::{Address, Knob, KnobValue};
use crate::model::change::value_text;

/// What one keeper takes the limits to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Belief {
    /// `docker`, `podman` or `systemd`.
    pub by: &'static str,
    /// Of each knob that it knows.
    pub values: BTreeMap<Knob, KnobValue>,
}

/// Asks whoever keeps the limits of a cgroup. The second part is why somebody did not say, a sentence each.
pub fn beliefs(sheet: &Sheet) -> (Vec<Belief>, Vec<String>) {
    let mut beliefs = Vec::new();
    let mut silent = Vec::new();
    if let Some(engine) = Engine::of(&sheet.path).filter(|_| sheet.payload.is_none()) {
        let by = engine.program;
        match engine.believes() {
            Ok(belief) => beliefs.push(Belief {
                by,
                values: Knob::ALL
                    .into_iter()
                    .filter_map(|knob| Some((knob, belief.of(knob)?)))
                    .collect(),
            }),
            Err(why) => silent.push(format!(
                "{by} does not say what it takes the limits to be: {why}"
            )),
        }
    }
    if let Keeper::Systemd(unit) = &sheet.keeper {
        beliefs.push(Belief {
            by: "systemd",
            values: unit.believes(),
        });
    }
    (beliefs, silent)
}

/// What whoever keeps the limits takes to be another value than the kernel's, by the line of the sheet, in one sentence each.
pub fn drifts(sheet: &Sheet) -> Vec<(Address, String)> {
    let (beliefs, _) = beliefs(sheet);
    let of = |line: &Line| {
        let drift = beliefs.iter().find_map(|belief| belief.drift(sheet, line));
        Some((line.address, drift?))
    };
    sheet.lines.iter().filter_map(of).collect()
}

impl Belief {
    /// What is told where this is another value than the kernel's, in one sentence.
    pub fn drift(&self, sheet: &Sheet, line: &Line) -> Option<String> {
        let knob = line.address.knob;
        let believed = self.of(line)?.clone().in_pages(sheet.setting.page);
        if believed == *line.value()? {
            return None;
        }
        let when = match self.by {
            "systemd" => "at `systemctl daemon-reload`",
            _ => "when it starts the container again",
        };
        Some(format!(
            "{} takes it to be {}, and brings that back {when}",
            self.by,
            value_text(knob, &believed)
        ))
    }

    /// What a line is taken to be.
    pub fn of(&self, line: &Line) -> Option<&KnobValue> {
        let whole = line.address.device.is_none();
        self.values.get(&line.address.knob).filter(|_| whole)
    }
}

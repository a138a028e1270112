//! Editing the limits of one cgroup: what is typed, what it would mean, and what was changed so far.

use std::sync::Arc;
use std::time::SystemTime;

use crate::control::make::Keeper;
use crate::control::sheet::{Line, Sheet, Wishes};
use crate::kernel::cgroup::knob::{Address, Kind, Knob, KnobValue, Wanted};
use crate::kernel::obstacle::Obstacle;
use crate::kernel::unit::Reading;
use crate::model::change::Change;
use crate::model::change::step::{Part, Scale, amount, words};
use crate::model::io;
use crate::model::limit::Of;

/// The longest value that makes sense: a list of CPUs.
const LONGEST: usize = 120;

/// One line of the editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The knob, and its disk.
    pub address: Address,
    /// Which rate of `io.max`.
    pub part: Part,
}

/// The editor of one cgroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Editor {
    /// The cgroup, from the v2 root. Foreign text.
    pub path: Arc<str>,
    /// What its knobs stand at, once they are read; or why they could not be.
    pub sheet: Option<Result<Arc<Sheet>, String>>,
    /// The chosen line.
    pub at: usize,
    /// The first line on the screen.
    pub top: usize,
    /// What is typed; empty for no change. Foreign text: it can have been pasted.
    pub typed: String,
    /// Have systemd keep it over the next boot.
    pub persist: bool,
    /// Whether an order is on its way.
    pub busy: bool,
    /// Where whoever keeps the limits takes them to be others, a sentence each; `None` until they are asked.
    pub drifts: Option<Vec<(Address, String)>>,
    /// How far along its bar the mouse holds the chosen line's value.
    pub held: Option<f64>,
    /// What came of the last order, where it was refused.
    pub refused: Option<String>,
    /// The knob to begin with, until the sheet is there.
    wanted: Knob,
}

/// What the typed value would mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Draft {
    /// Nothing is typed.
    None,
    /// It cannot be understood, or not be done: why, in one sentence.
    Bad(String),
    /// A change, judged.
    Change(Box<Change>),
}

impl Editor {
    /// An editor that waits for its sheet, and begins with this knob.
    pub fn new(path: Arc<str>, knob: Knob) -> Self {
        Self {
            path,
            sheet: None,
            at: 0,
            top: 0,
            typed: String::new(),
            persist: false,
            busy: true,
            drifts: None,
            held: None,
            refused: None,
            wanted: knob,
        }
    }

    /// The sheet, where it could be read.
    pub fn sheet(&self) -> Option<&Arc<Sheet>> {
        self.sheet.as_ref()?.as_ref().ok()
    }

    /// Every line, in the order of the catalogue's knobs; `io.max` has one for each rate of each disk.
    pub fn slots(&self) -> Vec<Slot> {
        let Some(sheet) = self.sheet() else {
            return Vec::new();
        };
        let mut addresses: Vec<Address> = sheet.lines.iter().map(|line| line.address).collect();
        addresses.sort_unstable();
        addresses.into_iter().flat_map(slots_of).collect()
    }

    /// The chosen line.
    pub fn slot(&self) -> Option<Slot> {
        self.slots().get(self.at).copied()
    }

    /// What the sheet says of a line.
    pub fn line(&self, slot: Slot) -> Option<&Line> {
        self.sheet()?.line(slot.address)
    }

    /// Takes in a new sheet. Another cgroup may have come to the same path since: then what is typed was
    /// meant for the other one.
    pub fn read(&mut self, sheet: Result<Arc<Sheet>, String>) {
        self.busy = false;
        let first = self.sheet.is_none();
        if let (Some(old), Ok(new)) = (self.sheet(), &sheet)
            && old.inode != new.inode
        {
            self.typed.clear();
            self.refused = Some("the cgroup was made anew; this is the new one".to_owned());
        }
        self.sheet = Some(sheet);
        let slots = self.slots();
        if first {
            let begin = slots
                .iter()
                .position(|slot| slot.address.knob == self.wanted);
            self.at = begin.unwrap_or(0);
        }
        self.at = self.at.min(slots.len().saturating_sub(1));
    }

    /// Chooses a line; what was typed was for another one.
    pub fn choose(&mut self, at: usize) {
        let at = at.min(self.slots().len().saturating_sub(1));
        if at != self.at {
            self.at = at;
            self.typed.clear();
            self.refused = None;
        }
    }

    /// Types text, where the chosen line can be changed: what is no part of a value is left out.
    pub fn type_in(&mut self, text: &str) {
        if self.not_offered().is_some() {
            return;
        }
        self.refused = None;
        let fits = |char: &char| char.is_ascii_graphic() || *char == ' ';
        self.typed.extend(text.chars().filter(fits));
        self.typed.truncate(LONGEST);
    }

    /// Whether a minus is part of the value that is typed, and not a step.
    pub fn takes_minus(&self) -> bool {
        let list = |slot: Slot| slot.address.knob.entry().kind == Kind::CpuList;
        self.slot().is_some_and(list) && !self.typed.is_empty()
    }

    /// Steps the value up or down, from what is typed or from what is.
    pub fn step(&mut self, up: bool) {
        let Some(slot) = self.offered() else { return };
        let value = match self.draft() {
            Draft::Change(change) => Some(change.new.clone()),
            Draft::None => self.line(slot).and_then(Line::value).cloned(),
            Draft::Bad(_) => None,
        };
        let step = value
            .zip(self.scale(slot))
            .and_then(|(value, scale)| scale.step(slot.address.knob, slot.part, &value, up));
        if let Some(step) = step {
            self.refused = None;
            self.typed = step;
        }
    }

    /// Holds the chosen bar at a share of its length.
    pub fn hold(&mut self, share: f64) {
        let Some(slot) = self.offered() else { return };
        let held = self
            .scale(slot)
            .and_then(|scale| scale.at(slot.address.knob, slot.part, share));
        if let Some(held) = held {
            self.refused = None;
            self.typed = held;
        }
    }

    /// The scale of a line's bar; `None` where it has none.
    pub fn scale(&self, slot: Slot) -> Option<Scale> {
        let sheet = self.sheet()?;
        let line = sheet.line(slot.address)?;
        let value = amount(line.value()?, slot.part);
        let knob = slot.address.knob;
        // What is protected above bounds nothing: more can be asked for, and be had one day.
        let protects = matches!(knob, Knob::MemoryLow | Knob::MemoryMin);
        let above = line.levels.iter().skip(1).filter(|_| !protects);
        let above = above.filter_map(|standing| amount(standing.value.value()?, slot.part));
        let host = sheet.host(knob);
        let bound = above.chain(host).reduce(f64::min);
        let used = self.used(slot);
        Some(Scale::new(knob, value, used, bound, sheet.cpus()))
    }

    /// What is used of a line.
    pub fn used(&self, slot: Slot) -> Option<f64> {
        self.sheet()?.used(slot.address.knob)
    }

    /// What the typed value would mean.
    pub fn draft(&self) -> Draft {
        let (Some(sheet), Some(slot)) = (self.sheet(), self.slot()) else {
            return Draft::None;
        };
        let typed = self.typed.trim();
        if typed.is_empty() {
            return Draft::None;
        }
        let wanted = match wanted(slot, typed) {
            Ok(wanted) => wanted,
            Err(why) => return Draft::Bad(why),
        };
        match sheet.judge(&Wishes::from([(slot.address, (None, wanted))])) {
            Ok(changes) => changes
                .into_iter()
                .next()
                .map_or(Draft::None, |change| Draft::Change(Box::new(change))),
            Err(error) => Draft::Bad(format!("{error:#}")),
        }
    }

    /// The chosen line, where it can be changed.
    fn offered(&self) -> Option<Slot> {
        self.slot().filter(|_| self.not_offered().is_none())
    }

    /// Why the chosen line is not offered.
    pub fn not_offered(&self) -> Option<&Obstacle> {
        let line = self.line(self.slot()?)?;
        line.missing.as_ref().or(line.forbidden.as_ref())
    }

    /// That whoever keeps the limits takes a line to be another value, in one sentence.
    pub fn drift(&self, slot: Slot) -> Option<&str> {
        let mut drifts = self.drifts.iter().flatten();
        let drift = drifts.find(|(address, _)| *address == slot.address);
        drift.map(|(_, drift)| &**drift)
    }

    /// Whether its limits can be kept over the next boot.
    pub fn can_persist(&self) -> bool {
        self.sheet()
            .is_some_and(|sheet| matches!(sheet.keeper, Keeper::Systemd(_)))
    }
}

fn slots_of(address: Address) -> Vec<Slot> {
    if address.knob != Knob::IoMax {
        return vec![Slot {
            address,
            part: None,
        }];
    }
    let rate = |kind| Slot {
        address,
        part: Some(kind),
    };
    io::Kind::ALL.map(rate).to_vec()
}

/// What a typed value asks for.
fn wanted(slot: Slot, typed: &str) -> Result<Wanted, String> {
    match slot.part {
        Some(kind) => format!("{}={typed}", kind.name())
            .parse()
            .map(Wanted::Rates)
            .map_err(|bad| format!("{bad}")),
        None => Wanted::from_words(slot.address.knob, typed).map_err(|bad| format!("{bad}")),
    }
}

impl Slot {
    /// `memory.max`, `io.max vda wbps`.
    pub fn label(&self, disk: Option<&str>) -> String {
        let mut label = self.address.knob.to_string();
        for part in [disk, self.part.map(io::Kind::name)].into_iter().flatten() {
            label.push(' ');
            label.push_str(part);
        }
        label
    }

    /// What a line stands at, as a person would type it.
    pub fn value(&self, line: &Line) -> String {
        match line.levels.first().map(|own| &own.value) {
            Some(Reading::Value(KnobValue::Weight(None)))
                if self.address.knob == Knob::CpuWeight =>
            {
                "idle".to_owned()
            }
            Some(Reading::Value(value)) => words(value, self.part),
            Some(Reading::Unreadable(_)) => "?".to_owned(),
            Some(Reading::NotAvailable) | None => "·".to_owned(),
        }
    }
}

/// A change that was made in this run.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// When.
    pub time: SystemTime,
    /// The cgroup, from the v2 root. Foreign text.
    pub path: Arc<str>,
    /// What was changed.
    pub change: Change,
    /// What became of it.
    pub state: DoneState,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoneState {
    /// It was made.
    Made,
    /// It was undone, or taken back at the end of its trial.
    Undone,
    /// It is on trial.
    OnTrial {
        /// The trial's number.
        number: u64,
        /// When it is taken back.
        end: SystemTime,
    },
}

impl Done {
    /// The change that undoes this one, judged as things are now; or why there is none.
    pub fn undo(&self, sheet: &Sheet) -> Result<Change, String> {
        let address = self.change.address;
        let now = sheet.line(address).and_then(Line::value);
        if now.is_some_and(|now| *now != self.change.new) {
            return Err(format!(
                "{address} was changed since, to {}; edit it to change it again",
                now.map_or_else(String::new, |now| now
                    .to_text(address)
                    .trim_end()
                    .to_owned())
            ));
        }
        let wishes = Wishes::from([(address, (None, Wanted::Value(self.change.old.clone())))]);
        sheet
            .judge(&wishes)
            .map_err(|error| format!("{error:#}"))?
            .into_iter()
            .next()
            .ok_or_else(|| "nothing to undo".to_owned())
    }
}

/// Whose limit is met first, in a few words, for the editor's lines; `None` for the knob's own.
pub fn binds(sheet: &Sheet, knob: Knob) -> Option<String> {
    let level = sheet.first_met(knob)?;
    match level.of {
        Of::Ancestor(path) => Some(format!("↑ {path}")),
        Of::Own if level.knob != knob => Some(format!("{} first", level.knob)),
        Of::Own | Of::Host => None,
    }
}

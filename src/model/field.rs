//! THE catalogue of what is shown about a cgroup. Table columns, sort keys and the plain table all come
//! from [`FIELDS`]; a new column is one entry there.

mod catalogue;
mod preset;
mod rank;

use std::sync::Arc;

pub use catalogue::FIELDS;
pub use preset::Preset;

use super::forecast::Forecast;
use super::limit::{Ceiling, Level, Of};
use super::row::{Mark, Resource, Row, Stall, Throttled};
use super::state::{self, State, states};
use super::victim::NextVictim;
use crate::kernel::unit::{Bytes, Limit, Percent, Reading};
use crate::text;

/// Which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldId {
    /// The cgroup's name, in the tree.
    Name,
    /// CPU used.
    Cpu,
    /// Of which limit.
    CpuLimit,
    /// How much `cpu.max` holds it back.
    Throttled,
    /// Working set.
    Memory,
    /// Of which limit.
    MemoryLimit,
    /// When it will be killed.
    OomIn,
    /// Who will be.
    OomNext,
    /// Bytes read and written per second.
    Io,
    /// Processes and threads.
    Pids,
    /// The strongest pressure.
    Stall,
    /// OOM kills.
    OomKills,
    /// CPU in user mode.
    CpuUser,
    /// CPU in the kernel.
    CpuSystem,
    /// CPU time that it was held back.
    HeldBack,
    /// Its share where CPUs are short.
    CpuWeight,
    /// What the kernel drops before it kills.
    Reclaimable,
    /// Heaps and stacks.
    Anon,
    /// Page cache.
    File,
    /// The kernel's own memory.
    Kernel,
    /// Tmpfs and shared memory.
    Shmem,
    /// Swapped out.
    Swap,
    /// Of which limit.
    SwapLimit,
    /// `memory.high`.
    High,
    /// `memory.max`.
    Max,
    /// The most there was.
    Peak,
    /// Bytes read per second.
    Read,
    /// Bytes written per second.
    Written,
    /// Read operations per second.
    ReadOps,
    /// Write operations per second.
    WriteOps,
    /// The tightest `io.max` on bytes read.
    ReadCap,
    /// The tightest `io.max` on bytes written.
    WriteCap,
    /// CPU pressure, 10 s.
    CpuPressure,
    /// CPU pressure, a minute.
    CpuPressure60,
    /// Memory pressure, 10 s.
    MemoryPressure,
    /// Memory pressure, a minute.
    MemoryPressure60,
    /// I/O pressure, 10 s.
    IoPressure,
    /// I/O pressure, a minute.
    IoPressure60,
    /// What people call it.
    Label,
    /// What it does and what holds it back, in words.
    State,
}

/// On which side of its column a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A typed value; how it looks is for the reader to decide, [`Value::text`] is the plain form.
#[derive(Debug)]
pub enum Value<'a> {
    /// The row's name.
    Name(&'a Row),
    /// What people call it.
    Label(&'a Row),
    /// A percentage.
    Percent(Reading<Percent>),
    /// CPU time against its ceiling.
    OfCpus(&'a Row, &'a Reading<Arc<Ceiling<f64>>>),
    /// A throttled share.
    Throttled(&'a Reading<Throttled>),
    /// A size.
    Bytes(Reading<Bytes>),
    /// Memory against its ceiling.
    OfBytes(&'a Row, &'a Reading<Arc<Ceiling<Bytes>>>),
    /// Swap against its ceiling.
    OfSwap(&'a Row, &'a Reading<Arc<Ceiling<Bytes>>>),
    /// Time until an OOM kill.
    OomIn(&'a Reading<Box<Forecast>>),
    /// Who is killed then.
    OomNext(&'a Reading<Arc<NextVictim>>),
    /// Traffic, with what is capped.
    Io(&'a Row),
    /// Processes, their ceiling, and forks refused.
    Pids(&'a Row),
    /// What it does and what holds it back.
    State(&'a Row),
    /// A pressure.
    Stall(&'a Reading<Stall>),
    /// A number.
    Count(Reading<u64>),
    /// A plain number: a weight.
    Number(Reading<u64>),
    /// Something per second.
    Rate(Reading<f64>),
    /// A limit of its own.
    Limit(Reading<Limit<Bytes>>),
}

/// What a column is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Rank<'a> {
    /// No value: always last.
    Unknown,
    /// Numbers: the largest first.
    Number(f64),
    /// Text: in order.
    Text(&'a str),
}

/// One entry of the catalogue.
#[derive(Debug)]
pub struct Field {
    /// Which one.
    pub id: FieldId,
    /// Its name for machines and in the plain table: one lower-case word.
    pub key: &'static str,
    /// Its title on the screen.
    pub title: &'static str,
    /// What it is, for the help.
    pub about: &'static str,
    /// On which side its values stand.
    pub align: Align,
    /// The least and the most columns it wants. What is left goes to the name.
    pub width: (u16, u16),
    /// Where the terminal is narrow, the highest goes first. 0 stays.
    pub drop: u8,
    /// Its value.
    pub value: for<'a> fn(&'a Row) -> Value<'a>,
    /// What it is sorted by.
    pub rank: for<'a> fn(&'a Row) -> Rank<'a>,
}

impl FieldId {
    /// Its entry in the catalogue.
    pub fn field(self) -> &'static Field {
        // The catalogue is in the order of the enum; a test holds that.
        &FIELDS[self as usize]
    }
}

impl Value<'_> {
    /// The plain form: one word without spaces, `-` where it is not available, `?` where unreadable.
    pub fn text(&self) -> String {
        match self {
            Self::Name(row) => one_word(&row.path),
            Self::Label(row) => one_word(&row.label),
            Self::Percent(reading) => plain(reading, |value| percent(*value)),
            Self::OfCpus(_, ceiling) => plain(ceiling, |ceiling| against(ceiling, cpus)),
            Self::Throttled(reading) => plain(reading, |throttled| {
                format!("{}{}", percent(throttled.share), at_owner(&throttled.of))
            }),
            Self::Bytes(reading) => plain(reading, |value| text::bytes(*value)),
            Self::OfBytes(_, ceiling) | Self::OfSwap(_, ceiling) => {
                plain(ceiling, |ceiling| against(ceiling, text::bytes))
            }
            Self::OomIn(reading) => plain(reading, |forecast| oom_in(forecast).replace(' ', "")),
            Self::OomNext(reading) => plain(reading, |next| {
                format!("{}/{}{}", next.pid, one_word(&next.comm), with_others(next))
            }),
            Self::Io(row) => plain(&row.io, |flow| {
                let mark = |reading| if flow.is_capped(reading) { "!" } else { "" };
                let (read, written) = (rate(flow.read()), rate(flow.written()));
                format!("{read}{}/{written}{}", mark(true), mark(false))
            }),
            Self::Pids(row) => plain(&row.pids, |pids| {
                let limit = row.pids_limit.value().map_or_else(
                    || "max".to_owned(),
                    |ceiling| {
                        let Level { limit, of, .. } = &ceiling.binding;
                        format!("{limit}{}", at_owner(of))
                    },
                );
                let refused = if row.refuses_forks() { "!" } else { "" };
                format!("{pids}/{limit}{refused}")
            }),
            Self::State(row) => state_words(row),
            Self::Stall(reading) => plain(reading, |value| stall(*value)),
            Self::Count(reading) | Self::Number(reading) => plain(reading, u64::to_string),
            Self::Rate(reading) => plain(reading, |value| rate(*value)),
            Self::Limit(reading) => plain(reading, |limit| text::limit(*limit)),
        }
    }
}

/// A word for the mark, for those who hear the table.
pub fn mark_word(mark: Mark) -> &'static str {
    match mark {
        Mark::Vanished => "gone",
        Mark::Frozen => "frozen",
        Mark::Unlimited => "no-limit!",
        Mark::Running => "running",
        Mark::Empty => "empty",
    }
}

/// The mark of a row, and what holds it back, in words with commas: `running,forks-refused,throttled@above`.
pub fn state_words(row: &Row) -> String {
    let mut words = mark_word(row.mark).to_owned();
    words.push_str(&row.frozen.as_ref().map_or_else(String::new, at_owner));
    if row.now.is_threaded {
        words.push(',');
        words.push_str(state::THREADED);
    }
    for State { word, limit } in states(row) {
        words.push(',');
        words.push_str(word);
        words.push_str(&limit.map_or_else(String::new, |(_, of)| at_owner(&of)));
    }
    words
}

/// Every word of [`state_words`].
pub fn all_state_words() -> impl Iterator<Item = &'static str> {
    let marks = Mark::ALL.map(mark_word).into_iter();
    marks.chain([state::THREADED]).chain(state::WORDS)
}

/// Whether a word or its beginning (`stalled`) is among the [`state_words`].
pub fn has_state(row: &Row, wanted: &str) -> bool {
    mark_word(row.mark).starts_with(wanted)
        || (row.now.is_threaded && state::THREADED.starts_with(wanted))
        || states(row)
            .iter()
            .any(|state| state.word.starts_with(wanted))
}

/// Foreign text as one harmless word.
fn one_word(foreign: &str) -> String {
    text::sanitise(foreign).replace(' ', "\\u{20}")
}

fn plain<T>(reading: &Reading<T>, text: impl FnOnce(&T) -> String) -> String {
    match reading {
        Reading::Value(value) => text(value),
        Reading::NotAvailable => "-".to_owned(),
        Reading::Unreadable(_) => "?".to_owned(),
    }
}

/// `95%/64M`, with `(high)` where it is `memory.high`, `(cpuset)` where it is `cpuset.cpus`, and with `@name` where the
/// limit is not its own; `max` without a limit.
fn against<T: super::limit::Quantity>(ceiling: &Ceiling<T>, text: impl Fn(T) -> String) -> String {
    let Some(first) = ceiling.first() else {
        return "max".to_owned();
    };
    let share = first
        .share()
        .map_or_else(|| "-".to_owned(), |share| percent(Percent(share * 100.0)));
    let qualifier = first
        .qualifier()
        .map_or_else(String::new, |word| format!("({word})"));
    format!(
        "{share}/{}{qualifier}{}",
        text(first.limit),
        at_owner(&first.of)
    )
}

/// Whose limit it is, where it is not the own one: `@above`.
fn at_owner(of: &Of) -> String {
    of.owner()
        .map_or_else(String::new, |owner| format!("@{}", one_word(owner)))
}

/// A percentage: `88%`, below one `0.3%`.
pub fn percent(Percent(value): Percent) -> String {
    if (0.05..0.95).contains(&value) {
        format!("{value:.1}%")
    } else {
        format!("{value:.0}%")
    }
}

/// A number of CPUs: `1.5`, `.5`, `2`.
pub fn cpus(cpus: f64) -> String {
    let text = format!("{cpus:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text.strip_prefix('0') {
        Some("") | None => text.to_owned(),
        Some(fraction) => fraction.to_owned(),
    }
}

/// Time until an OOM kill: `14 s`, `~2 min` where it is not sharp, `>14 s` where it is the least.
pub fn oom_in(forecast: &Forecast) -> String {
    let mark = match (forecast.latest, forecast.is_sharp()) {
        (None, _) => ">",
        (Some(_), true) => "",
        (Some(_), false) => "~",
    };
    format!("{mark}{}", text::time_left(forecast.likely))
}

/// How many others are killed with it: `+3`, and nothing where it is alone.
pub fn with_others(next: &NextVictim) -> String {
    match next.others {
        0 => String::new(),
        others => format!("+{others}"),
    }
}

/// Bytes per second, without the `/s`: `2M`, `0`.
pub fn rate(rate: f64) -> String {
    // Not negative by construction, and what is beyond 2^64 saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match rate.round() as u64 {
        0 => "0".to_owned(),
        whole => text::bytes(Bytes(whole)),
    }
}

/// A pressure: `c81`; `0` where nothing waits.
pub fn stall(stall: Stall) -> String {
    if stall.share.0 < 0.5 {
        return "0".to_owned();
    }
    format!("{}{:.0}", letter(stall.resource), stall.share.0)
}

/// The letter of a resource.
pub fn letter(resource: Resource) -> char {
    match resource {
        Resource::Cpu => 'c',
        Resource::Memory => 'm',
        Resource::Io => 'i',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_the_order_of_its_ids() {
        for field in &FIELDS {
            assert_eq!(field.id.field().title, field.title);
            assert_eq!(field.id, FIELDS[field.id as usize].id);
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [0.5, 1.0, 1.5, 0.05, 0.001, 0.0, 12.0].map(cpus),
            [".5", "1", "1.5", ".05", ".001", "0", "12"]
        );
        assert_eq!(
            [0.0, 0.04, 0.3, 0.96, 49.6, 137.2].map(|value| percent(Percent(value))),
            ["0%", "0%", "0.3%", "1%", "50%", "137%"]
        );
        assert_eq!([0.2, 2_097_152.0].map(rate), ["0", "2M"]);
    }
}

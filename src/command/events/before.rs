//! What happened before `events` was started, as `--since` asks for it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::command::top::KMSG;
use crate::model::{Happening, Model, What, tree};
use crate::oom::OomKill;
use crate::oom::past::{self, PastKills};

/// The kills of before, until they are told.
#[derive(Debug)]
pub struct Before {
    past: PastKills,
    wanted: Range<SystemTime>,
    root: Option<String>,
    /// Victims of the moment when listening began, and when they were killed: they may come a second time.
    twice: HashMap<u32, SystemTime>,
}

/// So long after its line in the log a kill may come a second time; later, the pid is another's.
const TWICE_WITHIN: Duration = Duration::from_secs(5);

impl Before {
    /// Reads the kernel log. `listening` is when listening began, `root` is what is asked about.
    pub fn read(
        wanted: Range<SystemTime>,
        listening: SystemTime,
        root: Option<&str>,
    ) -> anyhow::Result<Self> {
        let past = past::read(Path::new(KMSG))?;
        // What is not told here must not be kept from being told later.
        let told = past.kills.iter().filter(|kill| wanted.contains(&kill.time));
        let late = told.filter(|kill| kill.time >= listening);
        let victims =
            late.flat_map(|kill| kill.victims.iter().map(|victim| (victim.pid, kill.time)));
        Ok(Self {
            twice: victims.collect(),
            past,
            wanted,
            root: root.map(str::to_owned),
        })
    }

    /// Whether this was told among the kills of before.
    pub fn has(&self, model: &Model, happening: &Happening) -> bool {
        let What::Kill(number) = happening.what else {
            return false;
        };
        model.incident(number).is_some_and(|incident| {
            let mut victims = incident.kill.victims.iter();
            victims.any(|victim| {
                let told = self.twice.get(&victim.pid);
                told.is_some_and(|told| happening.time < *told + TWICE_WITHIN)
            })
        })
    }

    /// Has each wanted kill told, oldest first, and says what is missing. The model has a sample, and so
    /// knows names.
    pub fn tell(
        &self,
        model: &mut Model,
        mut tell: impl FnMut(&Model, &Happening) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let is_in = |path: &str| {
            let root = self.root.as_deref();
            root.is_none_or(|root| tree::is_in(path, root))
        };
        let mut say = |model: &Model, time: SystemTime, text: String| {
            let what = What::Notice(text);
            tell(model, &Happening { time, what })
        };
        if let Some(begins) = self.past.begins
            && begins > self.wanted.start
        {
            let text = "the kernel log has nothing older: it was overwritten".to_owned();
            say(model, begins, text)?;
        }
        for (name, more) in self.uncounted(model, &is_in) {
            let text = format!(
                "{name}: memory.events counts {more} OOM kills of which the kernel log has nothing; when they \
                 were is not known"
            );
            say(model, self.wanted.start, text)?;
        }
        for kill in &self.past.kills {
            if self.wanted.contains(&kill.time) && is_in(&kill.path.value) {
                let happening = model.past(kill);
                tell(model, &happening)?;
            }
        }
        Ok(())
    }

    /// The living cgroups whose counters have more kills than the log, and how many more.
    fn uncounted(&self, model: &Model, is_in: &dyn Fn(&str) -> bool) -> Vec<(String, u64)> {
        let mut logged: HashMap<&str, u64> = HashMap::new();
        for OomKill { path, kills, .. } in &self.past.kills {
            *logged.entry(&path.value).or_default() += kills;
        }
        let leaves = model
            .rows()
            .iter()
            .filter(|row| row.leaf && is_in(&row.path));
        let missing = leaves.filter_map(|row| {
            let counted = row.oom_kills.value().copied()?;
            let logged = logged.get(&*row.path).copied().unwrap_or_default();
            let more = counted.checked_sub(logged).filter(|&more| more > 0)?;
            Some((model.label(&row.path).into_owned(), more))
        });
        missing.collect()
    }
}

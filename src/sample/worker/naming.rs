//! Names from state files, without waiting for a disk: a thread of its own looks them up.
//!
//! Each sweep asks once for all cgroups that may have a name and takes the answer if it comes within a
//! blink, so that the first sample has names too. Where a file hangs (a home on a network), sweeps go on
//! with the names of the last answer.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::cgroup::CgroupId;
use crate::names::{Names, identify, local};
use crate::sample::{CgroupSample, Presence};

/// How long a sweep waits for names. They take microseconds, unless a list has changed.
const PATIENCE: Duration = Duration::from_millis(20);

type Question = Vec<(CgroupId, Arc<str>)>;
type Answer = Vec<(CgroupId, Option<Arc<str>>)>;

/// What is known of one cgroup.
#[derive(Debug)]
enum Known {
    /// Nobody names such a cgroup.
    Nameless,
    Name(Option<Arc<str>>),
}

/// The sampler's side.
#[derive(Debug)]
pub(super) struct Namer {
    /// Where there is a thread.
    thread: Option<(Sender<Question>, Receiver<Answer>)>,
    busy: bool,
    known: HashMap<CgroupId, Known>,
}

impl Namer {
    /// Starts the thread. Without one there are no names.
    pub fn start(root: PathBuf) -> Self {
        let (ask, questions) = channel();
        let (answer, answers) = channel();
        let thread = thread::Builder::new()
            .name("names".into())
            .spawn(move || answer_all(root, &questions, &answer));
        Self {
            thread: thread.is_ok().then_some((ask, answers)),
            busy: false,
            known: HashMap::new(),
        }
    }

    /// Puts names to the cgroups of a sample.
    pub fn name(&mut self, cgroups: &mut [Arc<CgroupSample>]) {
        if self.known.len() > 2 * cgroups.len() {
            self.known.clear();
        }
        let mut question = Question::new();
        for cgroup in &*cgroups {
            let known = self.known.entry(cgroup.id).or_insert_with(|| {
                if local::is_nameable(&identify(&cgroup.path)) {
                    Known::Name(None)
                } else {
                    Known::Nameless
                }
            });
            if matches!(known, Known::Name(_)) && cgroup.presence == Presence::Alive {
                question.push((cgroup.id, Arc::clone(&cgroup.path)));
            }
        }
        self.exchange(question);
        for cgroup in cgroups {
            let called = match self.known.get(&cgroup.id) {
                Some(Known::Name(name)) => name.as_ref(),
                _ => None,
            };
            if cgroup.called.as_ref() != called {
                Arc::make_mut(cgroup).called = called.cloned();
            }
        }
    }

    /// Takes the last answer if it was late, asks, and waits a little.
    fn exchange(&mut self, question: Question) {
        let Some((ask, answers)) = &self.thread else {
            return;
        };
        if self.busy
            && let Ok(answer) = answers.try_recv()
        {
            self.busy = false;
            take(&mut self.known, answer);
        }
        if self.busy || question.is_empty() || ask.send(question).is_err() {
            return;
        }
        self.busy = true;
        if let Ok(answer) = answers.recv_timeout(PATIENCE) {
            self.busy = false;
            take(&mut self.known, answer);
        }
    }
}

fn take(known: &mut HashMap<CgroupId, Known>, answer: Answer) {
    for (id, name) in answer {
        known.insert(id, Known::Name(name));
    }
}

/// The thread's life: until nobody asks any more.
fn answer_all(root: PathBuf, questions: &Receiver<Question>, answers: &Sender<Answer>) {
    let mut names = Names::new(root);
    while let Ok(question) = questions.recv() {
        let now = Instant::now();
        let answer: Answer = question
            .iter()
            .map(|(id, path)| (*id, names.of(*id, path, now)))
            .collect();
        let alive: HashSet<CgroupId> = question.iter().map(|(id, _)| *id).collect();
        names.keep(|id| alive.contains(&id));
        if answers.send(answer).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_first_sample_has_names_and_a_lost_thread_leaves_the_last_ones() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/names/host");
        let id = "0123456789abcdef".repeat(4);
        let paths = [
            format!("/system.slice/docker-{id}.scope"),
            "/system.slice/cron.service".to_owned(),
            "/machine.slice/libpod-77.scope".to_owned(),
        ];
        let sample = || {
            let cgroups = (1..).zip(&paths);
            let unread = |(id, path): (u64, &String)| {
                CgroupSample::unread(CgroupId(id), None, path.as_str().into())
            };
            cgroups.map(unread).map(Arc::new).collect::<Vec<_>>()
        };
        let called = |cgroups: &[Arc<CgroupSample>]| {
            let names = cgroups.iter().map(|cgroup| cgroup.called.clone());
            names.collect::<Vec<_>>()
        };
        let mut namer = Namer::start(root);
        let mut first = sample();
        // A busy machine may take longer than a sweep waits.
        let deadline = Instant::now() + Duration::from_secs(30);
        while first[0].called.is_none() && Instant::now() < deadline {
            namer.name(&mut first);
        }
        assert_eq!(called(&first), [Some("web".into()), None, None]);
        namer.thread = None;
        let mut second = sample();
        namer.name(&mut second);
        assert_eq!(called(&second), called(&first));
    }
}

//! Where OOM kills are told: the kernel log and the tracepoint, each as far as it may be read.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::kernel::kmsg::reader::{Next, Reader as Kmsg};
use crate::kernel::trace::Event as Traced;
use crate::kernel::trace::reader::Reader as Trace;
use crate::sample::live::Options;
use crate::sample::oom::Oom;
use crate::sample::tree::Tree;

/// Both, where they are open.
#[derive(Debug, Default)]
pub(super) struct Sources {
    kmsg: Option<Kmsg>,
    trace: Option<Trace>,
}

impl Sources {
    /// Opens what is wanted and may be read; says in a sentence what may not, and what that costs.
    pub fn open(options: &Options) -> (Self, Option<String>) {
        let mut failures: Vec<String> = Vec::new();
        let mut open = Self::default();
        if let Some(root) = &options.tracing {
            match Trace::open(root) {
                Ok(trace) => open.trace = Some(trace),
                Err(error) => failures.push(error.to_string()),
            }
        }
        if let Some(path) = &options.kmsg {
            match Kmsg::open(path) {
                Ok(kmsg) => open.kmsg = Some(kmsg),
                Err(error) => failures.push(error.to_string()),
            }
        }
        let costs = match (&open.kmsg, &open.trace) {
            (None, None) => "OOM kills are counted, but their victims cannot be named",
            (Some(_), None) => {
                "OOM victims are named by the kernel log alone: of many at once, some may be missing"
            }
            (None, Some(_)) => "OOM victims are named, but not always whose limit was hit",
            (Some(_), Some(_)) => return (open, None),
        };
        // Who does without one of them by choice has no failure, and is told nothing.
        let said = (!failures.is_empty()).then(|| format!("{costs}: {}", failures.join("; ")));
        (open, said)
    }

    /// Whether anything tells victims.
    pub fn any(&self) -> bool {
        self.kmsg.is_some() || self.trace.is_some()
    }

    /// Whether the kernel log can be read.
    pub fn log(&self) -> bool {
        self.kmsg.is_some()
    }

    /// What to wait for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let kmsg = self.kmsg.as_ref().map(AsFd::as_fd);
        kmsg.into_iter().chain(self.trace.as_ref().map(AsFd::as_fd))
    }

    /// Takes in all that has come. Gives sentences about what was lost.
    ///
    /// The trace comes first: of a kill that it tells, the log has the summary already.
    pub fn read(&mut self, oom: &mut Oom, tree: &Tree, now: Instant) -> Vec<String> {
        let mut said = Vec::new();
        said.extend(self.read_trace(oom, tree, now));
        said.extend(self.read_kmsg(oom, tree, now));
        said
    }

    fn read_trace(&mut self, oom: &mut Oom, tree: &Tree, now: Instant) -> Option<String> {
        let trace = self.trace.as_mut()?;
        let mut lost = false;
        let read = trace.read(|event| match event {
            Traced::Victim(marked) => oom.mark(tree, marked, now),
            Traced::Attached(attached) => oom.attach(&attached, now),
            Traced::Lost(_) => lost = true,
        });
        if let Err(error) = read {
            self.trace = None;
            return Some(format!("the tracepoint of OOM kills is lost: {error}"));
        }
        lost.then(|| {
            "tracepoints were overwritten before they were read: OOM victims may be missing"
                .to_owned()
        })
    }

    fn read_kmsg(&mut self, oom: &mut Oom, tree: &Tree, now: Instant) -> Option<String> {
        let kmsg = self.kmsg.as_mut()?;
        let mut lost = false;
        let failure = loop {
            match kmsg.next() {
                Ok(Next::Record(record)) => oom.hear(tree, &record, now),
                Ok(Next::Lost) => {
                    oom.break_off();
                    lost = true;
                }
                Ok(Next::None) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = failure {
            self.kmsg = None;
            return Some(format!("the kernel log is lost: {error}"));
        }
        lost.then(|| {
            "the kernel log was overwritten before it was read: OOM victims may be missing"
                .to_owned()
        })
    }
}

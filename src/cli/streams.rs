//! Arguments about the streams of a program that runs inside.

use crate::launch::spec::Stdio;
use crate::launch::stdio::is_attended;

// Its doc comment would be the verb's help.
#[derive(Debug, clap::Args)]
pub struct StreamArgs {
    /// Give it a terminal of its own, as large as this one, and hand on every key. That is so anyway where input and output
    /// are a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Give it none.
    #[arg(short = 'T', long, conflicts_with = "tty")]
    no_tty: bool,
    /// What its input and output are, where it has no terminal: pipes of its own, relayed, or the very ones of ringfence,
    /// which the workload can then do more with than read and write.
    #[arg(long, value_name = "pipe|inherit", default_value_t)]
    pub stdio: Stdio,
    /// Hand on what is typed on a terminal also where the output goes elsewhere. Any other input is handed on anyway.
    #[arg(short, long)]
    pub interactive: bool,
}

impl StreamArgs {
    /// Whether it gets a terminal; where nobody attends to it, only if that was asked for.
    pub fn tty(&self, in_foreground: bool) -> bool {
        let declined = self.no_tty || self.stdio == Stdio::Inherit;
        self.tty || (in_foreground && !declined && is_attended())
    }
}

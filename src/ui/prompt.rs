//! The line in which a new workload is typed, as on the command line.

use crossterm::event::Event;
use tui_input::backend::crossterm::to_input_request;
use tui_input::{Input, InputRequest};

use crate::control::worker::Order;
use crate::text::is_harmless;

/// How many lines are remembered.
const HISTORY: usize = 100;

/// What is typed, and what was.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// The line, and where the cursor is in it.
    pub input: Input,
    /// What is wrong with it. Foreign text.
    pub refused: Option<String>,
    /// What is being started by it.
    pub starting: Option<Vec<String>>,
    /// What was ordered in this run, the oldest first.
    history: Vec<String>,
    /// Which of it stands there; what is typed by hand comes after the last.
    at: usize,
    /// What was typed by hand before that.
    typed: String,
}

impl Prompt {
    /// An empty line.
    pub fn open(&mut self) {
        self.set(String::new());
        self.at = self.history.len();
        self.refused = None;
    }

    /// A key in the line.
    pub fn key(&mut self, event: &Event) {
        if let Some(request) = to_input_request(event) {
            self.refused = None;
            self.input.handle(request);
        }
    }

    /// Types several characters; what could not be seen is left out.
    pub fn type_in(&mut self, text: &str) {
        for char in text.chars().filter(|char| is_harmless(*char)) {
            self.input.handle(InputRequest::InsertChar(char));
        }
    }

    /// The line before or after this one in what was ordered.
    pub fn walk(&mut self, back: bool) {
        let last = self.history.len();
        let to = if back {
            self.at.saturating_sub(1)
        } else {
            (self.at + 1).min(last)
        };
        if to == self.at {
            return;
        }
        if self.at == last {
            self.typed = self.input.value().to_owned();
        }
        self.at = to;
        self.set(self.history.get(to).unwrap_or(&self.typed).clone());
        self.refused = None;
    }

    fn set(&mut self, line: String) {
        self.input = Input::new(line);
    }

    /// Orders what stands there, and remembers it. `None` where something is wrong with it, which is told, or where it
    /// is under way already.
    pub fn order(&mut self) -> Option<Order> {
        if self.starting.is_some() {
            return None;
        }
        let line = self.input.value().trim();
        if line.is_empty() {
            self.refused = Some("type a command, with the flags of `run` before it".to_owned());
            return None;
        }
        let Some(arguments) = shlex::split(line) else {
            self.refused = Some("a quotation mark or a backslash has nothing after it".to_owned());
            return None;
        };
        if self.history.last().map(String::as_str) != Some(line) {
            self.history.push(line.to_owned());
        }
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
        self.at = self.history.len();
        self.refused = None;
        self.starting = Some(arguments.clone());
        Some(Order::Run(arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(prompt: &mut Prompt, line: &str) -> Option<Order> {
        prompt.open();
        prompt.type_in(line);
        let order = prompt.order();
        prompt.starting = None;
        order
    }

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        let mut prompt = Prompt::default();
        let order = ordered(&mut prompt, " -n web -- sh -c 'echo \"a b\"' ");
        let words = ["-n", "web", "--", "sh", "-c", "echo \"a b\""];
        assert_eq!(order, Some(Order::Run(words.map(str::to_owned).to_vec())));
        for wrong in ["", "  ", "sh -c 'echo"] {
            assert_eq!(ordered(&mut prompt, wrong), None);
            assert!(prompt.refused.is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_ordered_comes_back() {
        let mut prompt = Prompt::default();
        for line in ["one", "two", "two"] {
            ordered(&mut prompt, line);
        }
        prompt.open();
        prompt.type_in("thr");
        let mut walk = |back| {
            prompt.walk(back);
            prompt.input.value().to_owned()
        };
        assert_eq!([true, true, true].map(&mut walk), ["two", "one", "one"]);
        assert_eq!([false, false, false].map(&mut walk), ["two", "thr", "thr"]);
    }

    #[test]
    fn one_thing_is_started_at_a_time() {
        let mut prompt = Prompt::default();
        prompt.type_in("true");
        assert!(prompt.order().is_some());
        assert!(prompt.order().is_none() && prompt.refused.is_none());
    }
}

//! The screen as a picture in a file, and an OOM kill as a page.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ratatui::backend::TestBackend;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::state::State;
use super::theme::Theme;
use super::{svg, view};
use crate::kernel::clock;
use crate::model::{Model, Note, Severity};

/// So many files of one second are enough.
const MOST: u32 = 1000;

/// What is saved: what the file's name ends with, and what it is called where that fails.
#[derive(Debug, Clone, Copy)]
pub struct FileKind {
    extension: &'static str,
    name: &'static str,
}

/// A picture of the screen.
pub const PICTURE: FileKind = FileKind {
    extension: "svg",
    name: "screen",
};

/// A page about an OOM kill.
pub const PAGE: FileKind = FileKind {
    extension: "html",
    name: "page",
};

/// The screen, exactly as it is drawn, as an SVG document.
pub fn draw(model: &Model, state: &State, theme: &Theme) -> anyhow::Result<String> {
    let area = state.area;
    let mut terminal = ratatui::Terminal::new(TestBackend::new(area.width, area.height))?;
    let drawn = terminal.draw(|frame| view::render(frame, model, state, theme))?;
    Ok(svg::picture(drawn.buffer, theme))
}

/// Writes files beside the loop, and tells where they went.
pub(super) struct Saves {
    folder: PathBuf,
    tell: UnboundedSender<Note>,
    told: UnboundedReceiver<Note>,
}

impl Saves {
    /// Into this folder.
    pub fn new(folder: PathBuf) -> Self {
        let (tell, told) = unbounded_channel();
        Self { folder, tell, told }
    }

    /// What became of a file. Waits for ever where none is being written.
    pub async fn next(&mut self) -> Note {
        match self.told.recv().await {
            Some(note) => note,
            // This one has a sender of its own.
            None => std::future::pending().await,
        }
    }

    /// Makes and writes a file: on a thread of its own, since a disk may be slow.
    pub fn save(
        &self,
        kind: FileKind,
        make: impl FnOnce() -> anyhow::Result<String> + Send + 'static,
    ) {
        let (tell, folder) = (self.tell.clone(), self.folder.clone());
        tokio::task::spawn_blocking(move || {
            let time = SystemTime::now();
            let written = make().and_then(|text| {
                let name = name(time, clock::utc_offset());
                Ok(write(&folder, &name, kind.extension, &text)?)
            });
            let (severity, text) = match written {
                Ok(path) => (Severity::Info, format!("saved {}", path.display())),
                Err(error) => (
                    Severity::Warning,
                    format!("the {} was not saved: {error:#}", kind.name),
                ),
            };
            // Nobody listens any more: the dashboard is closed.
            let _ = tell.send(Note {
                time,
                severity,
                text,
                cgroup: None,
            });
        });
    }
}

/// Writes a new file; where there is one of that name, `-2` is added, or `-3` ….
pub fn write(folder: &Path, name: &str, extension: &str, text: &str) -> io::Result<PathBuf> {
    for number in 1..=MOST {
        let name = match number {
            1 => format!("{name}.{extension}"),
            number => format!("{name}-{number}.{extension}"),
        };
        let path = folder.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(io::Error::new(
                    error.kind(),
                    format!("{}: {error}", path.display()),
                ));
            }
        }
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        format!("{name}-{MOST}.{extension}: there are too many"),
    ))
}

/// `ringfence-20260731-142359`, in a time zone so many seconds ahead of UTC.
pub fn name(time: SystemTime, utc_offset: i32) -> String {
    let (date, time) = clock::local(time, utc_offset);
    format!(
        "ringfence-{}-{}",
        date.replace('-', ""),
        time.replace(':', "")
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_became_of_a_picture_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut saves = Saves::new(folder.path().to_owned());
            saves.save(PICTURE, || Ok("a picture".to_owned()));
            let note = saves.next().await;
            let path = note.text.strip_prefix("saved ").unwrap();
            assert!(path.starts_with(folder.path().to_str().unwrap()), "{path}");
            assert_eq!(std::fs::read_to_string(path).unwrap(), "a picture");
            assert_eq!(note.severity, Severity::Info);

            let mut nowhere = Saves::new("/no/such/folder".into());
            nowhere.save(PICTURE, || Ok(String::new()));
            let note = nowhere.next().await;
            assert_eq!(note.severity, Severity::Warning);
            let why = "the screen was not saved: /no/such/folder/ringfence-";
            assert!(note.text.starts_with(why), "{}", note.text);
        });
    }

    #[test]
    fn files_are_named_by_local_time() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_785_507_839);
        assert_eq!(name(time, 7200), "ringfence-20260731-162359");
    }
}

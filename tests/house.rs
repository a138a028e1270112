//! Rooms in one-way order: a room may use the rooms below it, never one above (the plan is in the crate
//! docs). Reads the paths in the sources; comments and strings do not count.

use std::fs;
use std::path::Path;

/// Every room and its floor.
const ROOMS: [(&str, u8); 14] = [
    ("cli", 9),
    ("command", 8),
    ("ui", 7),
    ("export", 6),
    ("control", 5),
    ("model", 4),
    ("why", 4),
    ("sample", 3),
    ("launch", 3),
    ("names", 2),
    ("oom", 2),
    ("kernel", 1),
    ("text", 1),
    ("file", 1),
];

/// What only one room may mention.
const ONLY_IN: [(&str, &str); 3] = [("unsafe", "kernel"), ("ratatui", "ui"), ("clap", "cli")];

fn floor(room: &str) -> Option<u8> {
    ROOMS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}

/// Why one room must not use a path that begins with another, if it must not.
fn objection(room: &str, used: &str, rest: &str) -> Option<String> {
    let (own, other) = (floor(room)?, floor(used)?);
    // Numbers for people need the quantities; nothing in the kernel room needs words for people.
    let allowed = room == used
        || other < own
        || (room == "text"
            && used == "kernel"
            && (rest == "::unit" || rest.starts_with("::unit::")));
    (!allowed).then(|| format!("`{room}` uses `{used}{rest}`, which is not below it"))
}

/// The source without comments and without what is in strings.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(char) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if char == '"' {
            string_end(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            3
        } else {
            0
        };
        if skip == 0 {
            code.push(char);
            rest = &rest[char.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skip..];
        }
    }
    code
}

/// The length of the string literal that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The identifiers and `::`, `{`, `}`, `,` of the code, in order.
fn tokens(code: &str) -> Vec<&str> {
    let word = |char: char| char.is_alphanumeric() || char == '_';
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(char) = rest.chars().next() {
        let length = if word(char) {
            rest.find(|char| !word(char)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            char.len_utf8()
        };
        if !char.is_whitespace() {
            tokens.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    tokens
}

/// The paths from the crate's root that the code mentions: `crate::a::b`, `crate::{a::b, c}`, and
/// `super::…::a` from a module `depth` deep.
fn paths(code: &str, depth: usize) -> Vec<(String, String)> {
    let tokens = tokens(code);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut next = at + 1;
        let from_root = match tokens[at] {
            "crate" => tokens.get(next) == Some(&"::"),
            "super" => {
                let mut up = 1;
                while tokens.get(next) == Some(&"::") && tokens.get(next + 1) == Some(&"super") {
                    up += 1;
                    next += 2;
                }
                up >= depth && tokens.get(next) == Some(&"::")
            }
            _ => false,
        };
        if from_root {
            collect(&tokens, next + 1, &mut paths);
        }
        at = next;
    }
    paths
}

/// Adds the path, or the group of paths, that begins at a token.
fn collect(tokens: &[&str], mut at: usize, paths: &mut Vec<(String, String)>) {
    let path_at = |at: usize| {
        let first = (*tokens.get(at)?).to_owned();
        let rest = tokens[at + 1..]
            .iter()
            .take_while(|token| {
                **token == "::"
                    || token
                        .chars()
                        .all(|char| char.is_alphanumeric() || char == '_')
            })
            .take(2)
            .copied()
            .collect();
        Some((first, rest))
    };
    if tokens.get(at) != Some(&"{") {
        paths.extend(path_at(at));
        return;
    }
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
        if depth == 1 && matches!(*token, "{" | ",") {
            paths.extend(path_at(at + 1));
        }
        at += 1;
    }
}

/// What is wrong with one source file of a room.
fn objections(room: &str, depth: usize, source: &str) -> Vec<String> {
    let code = code_only(source);
    let mut found: Vec<_> = paths(&code, depth)
        .iter()
        .filter_map(|(used, rest)| objection(room, used, rest))
        .collect();
    for (word, home) in ONLY_IN {
        if room != home && tokens(&code).contains(&word) {
            found.push(format!(
                "`{room}` mentions `{word}`, which lives in `{home}`"
            ));
        }
    }
    found
}

fn visit(path: &Path, inside: &[String], found: &mut Vec<String>, files: &mut usize) {
    let mut entries: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for entry in entries {
        let stem = entry.file_stem().unwrap().to_str().unwrap().to_owned();
        let module: Vec<String> = inside.iter().cloned().chain([stem]).collect();
        if entry.is_dir() {
            visit(&entry, &module, found, files);
        } else if entry.extension().is_some_and(|kind| kind == "rs") {
            let room = module[0].as_str();
            if matches!(room, "main" | "lib") {
                continue;
            }
            *files += 1;
            assert!(
                floor(room).is_some(),
                "the room `{room}` is not in the plan"
            );
            let source = fs::read_to_string(&entry).unwrap();
            for objection in objections(room, module.len(), &source) {
                found.push(format!("{}: {objection}", entry.display()));
            }
        }
    }
}

#[test]
fn no_room_looks_up() {
    let (mut found, mut files) = (Vec::new(), 0);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    visit(&source, &[], &mut found, &mut files);
    assert!(files > 20, "only {files} files were read");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_look_up_is_found() {
    for (room, depth, source) in [
        ("kernel", 2, "use crate::sample::Sample;"),
        ("kernel", 2, "use crate::text;"),
        ("kernel", 2, "use super::super::text::bytes;"),
        ("sample", 2, "use crate::launch::Spec;"),
        ("launch", 1, "use crate::sample;"),
        ("launch", 1, "use super::sample::Sample;"),
        (
            "model",
            1,
            "use crate::{kernel::unit::{Bytes, Limit}, ui::state};",
        ),
        (
            "ui",
            2,
            "fn a() { let b = \"//\"; crate::command::top::run() }",
        ),
        ("names", 2, "use crate::sample::Sample;"),
        ("text", 1, "use crate::kernel::host;"),
        ("text", 1, "use crate::kernel::units::Bytes;"),
        ("model", 1, "fn a() { unsafe { b() } }"),
        ("model", 1, "use ratatui::Frame;"),
        ("command", 2, "use clap::Parser;"),
    ] {
        assert_eq!(objections(room, depth, source).len(), 1, "{room}: {source}");
    }
}

#[test]
fn looking_down_or_around_is_fine() {
    for (room, depth, source) in [
        ("text", 1, "use crate::kernel::unit::{Bytes, Limit};"),
        ("sample", 2, "use crate::kernel::{host, task};"),
        ("sample", 3, "use super::super::cgroup; use super::Sample;"),
        ("kernel", 1, "mod tests { use super::*; }"),
        ("kernel", 2, "fn a() { unsafe { b() } }"),
        ("ui", 2, "use crate::{model::Model, text};"),
        (
            "kernel",
            2,
            "// crate::ui is unsafe\n/* ratatui */ let a = \"clap crate::cli::x\";",
        ),
        ("cli", 2, "use clap::Args; use crate::command;"),
    ] {
        assert_eq!(
            objections(room, depth, source),
            Vec::<String>::new(),
            "{source}"
        );
    }
}

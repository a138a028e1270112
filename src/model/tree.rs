//! The rows as a tree: folded, sorted within siblings, filtered with their ancestors kept.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::field::{FieldId, Rank};
use super::filter::Filter;
use super::row::{Kind, Row};
use super::state::has_faults;
pub use crate::kernel::cgroup::is_in;

/// By what siblings are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The field. Names ascend; numbers descend, those without a value last.
    pub by: FieldId,
    /// The other way round.
    pub reversed: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self {
            by: FieldId::Name,
            reversed: false,
        }
    }
}

/// What of the tree is wanted.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Only this cgroup and what is below it, by path; `None` for all. The rows above still count: their
    /// limits may bind.
    pub root: Option<Arc<str>>,
    /// Folded cgroups by path and by identity, so that one which is made again stays folded.
    pub folded: HashSet<Arc<str>>,
    /// The order.
    pub sort: Sort,
    /// Only what this keeps, with all above it, and below it where it asks for names.
    pub filter: Filter,
    /// Only what has faults, with all above it.
    pub faults: bool,
}

impl Shape {
    /// Whether a cgroup is folded.
    pub fn is_folded(&self, row: &Row) -> bool {
        self.folded.contains(&row.path) || self.folded.contains(&row.identity)
    }

    /// Folds it.
    pub fn fold(&mut self, row: &Row) {
        self.folded.insert(row.path.clone());
        self.folded.insert(row.identity.clone());
    }

    /// Unfolds it.
    pub fn unfold(&mut self, row: &Row) {
        self.folded.remove(&row.path);
        self.folded.remove(&row.identity);
    }

    /// Takes in names that came after the fold: then the fold is by name, too.
    pub fn settle(&mut self, rows: &[Row]) {
        if self.folded.is_empty() {
            return;
        }
        for row in rows.iter().filter(|row| row.identity != row.path) {
            if self.is_folded(row) {
                self.fold(row);
            }
        }
    }
}

/// Whether the cgroups below are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// There are none.
    Leaf,
    /// They are.
    Open,
    /// They are not.
    Closed,
}

/// One visible line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The index of its row.
    pub row: usize,
    /// How far it is indented.
    pub depth: usize,
    /// Whether those below are shown.
    pub fold: Fold,
}

/// The visible lines. The v2 root has none of its own while it has children: what it tells stands in
/// the header.
pub fn lines(rows: &[Row], shape: &Shape) -> Vec<Line> {
    let kept = kept(rows, shape);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let mut top = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if kept[at] != Kept::No {
            match row.parent {
                Some(parent) => children[parent].push(at),
                None => top.push(at),
            }
        }
    }
    if let Some(root) = &shape.root {
        let found = rows.iter().position(|row| row.path == *root);
        top = found
            .into_iter()
            .filter(|at| kept[*at] != Kept::No)
            .collect();
    } else if let [root] = top[..]
        && &*rows[root].path == "/"
        && !children[root].is_empty()
    {
        top = std::mem::take(&mut children[root]);
    }
    let mut lines = Vec::new();
    let mut pending = Vec::new();
    push(&mut pending, &mut top, 0, rows, shape.sort);
    while let Some((at, depth)) = pending.pop() {
        let open = kept[at] == Kept::Above || !shape.is_folded(&rows[at]);
        let fold = match (children[at].is_empty(), open) {
            (true, _) => Fold::Leaf,
            (false, true) => Fold::Open,
            (false, false) => Fold::Closed,
        };
        lines.push(Line {
            row: at,
            depth,
            fold,
        });
        if fold == Fold::Open {
            let mut below = std::mem::take(&mut children[at]);
            push(&mut pending, &mut below, depth + 1, rows, shape.sort);
        }
    }
    lines
}

/// Puts siblings on the stack, the first one on top.
fn push(
    pending: &mut Vec<(usize, usize)>,
    siblings: &mut [usize],
    depth: usize,
    rows: &[Row],
    sort: Sort,
) {
    siblings.sort_by(|&a, &b| order(&rows[a], &rows[b], sort));
    pending.extend(siblings.iter().rev().map(|&at| (at, depth)));
}

fn order(a: &Row, b: &Row, sort: Sort) -> Ordering {
    let rank = sort.by.field().rank;
    let ordering = match (rank(a), rank(b)) {
        // Without a value: last, also the other way round.
        (Rank::Unknown, Rank::Number(_) | Rank::Text(_)) => return Ordering::Greater,
        (Rank::Number(_) | Rank::Text(_), Rank::Unknown) => return Ordering::Less,
        (Rank::Number(a), Rank::Number(b)) => b.total_cmp(&a),
        (Rank::Text(a), Rank::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    };
    let ordering = if sort.reversed {
        ordering.reverse()
    } else {
        ordering
    };
    ordering.then_with(|| a.path.cmp(&b.path))
}

/// What the filter makes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    No,
    /// It matches, or a name above it does.
    Match,
    /// Something below it matches: shown, and open.
    Above,
}

fn kept(rows: &[Row], shape: &Shape) -> Vec<Kept> {
    if shape.filter.is_empty() && !shape.faults {
        return vec![Kept::Match; rows.len()];
    }
    let inherits = shape.filter.is_by_name();
    let mut named: Vec<bool> = Vec::with_capacity(rows.len());
    let mut kept: Vec<Kept> = Vec::with_capacity(rows.len());
    // Parents come before children …
    for row in rows {
        let below = inherits && row.parent.is_some_and(|parent| named[parent]);
        let hit = below || shape.filter.keeps(row);
        named.push(hit);
        let hit = hit && (!shape.faults || has_faults(row));
        kept.push(if hit { Kept::Match } else { Kept::No });
    }
    // … and so children before parents the other way.
    for at in (0..rows.len()).rev() {
        if let Some(parent) = rows[at].parent
            && kept[at] != Kept::No
            && kept[parent] == Kept::No
        {
            kept[parent] = Kept::Above;
        }
    }
    kept
}

/// What to fold at first: where there are workloads or containers, everything at the top that holds
/// none of them.
pub fn first_folds(rows: &[Row]) -> HashSet<Arc<str>> {
    let mut holds = vec![false; rows.len()];
    for at in (0..rows.len()).rev() {
        holds[at] |= rows[at].kind != Kind::Other;
        if let Some(parent) = rows[at].parent {
            holds[parent] |= holds[at];
        }
    }
    if !holds.contains(&true) {
        return HashSet::new();
    }
    rows.iter()
        .zip(holds)
        .filter(|(row, holds)| {
            let top = row
                .parent
                .is_some_and(|parent| rows[parent].parent.is_none());
            top && !row.leaf && !holds
        })
        .map(|(row, _)| row.path.clone())
        .collect()
}

/// Everything at the top that has something below it.
pub fn top_folds(rows: &[Row]) -> HashSet<Arc<str>> {
    let at_top = |row: &&Row| {
        row.parent
            .is_some_and(|parent| rows[parent].parent.is_none())
    };
    let top = rows.iter().filter(at_top).filter(|row| !row.leaf);
    top.map(|row| row.path.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_below_and_not_longer() {
        assert!(is_in("/a", "/a") && is_in("/a/b", "/a") && is_in("/a", "/"));
        assert!(!is_in("/ab", "/a") && !is_in("/", "/a"));
    }
}

//! After every message: lines, selection and scroll positions in line with the model.

use std::collections::HashSet;

use super::{Excerpt, Selection, State};
use crate::model::row::Kind;
use crate::model::tree::{self, Line};
use crate::model::{Model, Row};
use crate::ui::settings::Fold;
use crate::ui::tabs::View;
use crate::ui::view::{detail, editor, incidents, processes};

impl State {
    /// Brings the visible lines, the selection and the scroll position in line with the model.
    pub fn settle(&mut self, model: &Model) {
        let rows = model.rows();
        if self.selection == Selection::None && !rows.is_empty() && self.shape.root.is_none() {
            self.shape.folded = match self.first_folds {
                Fold::Auto => tree::first_folds(rows),
                Fold::Open => HashSet::new(),
                Fold::Closed => tree::top_folds(rows),
            };
        }
        self.shape.settle(rows);
        self.follow(model);
        self.lines = tree::lines(rows, &self.shape);
        self.settle_selection(model);
        self.settle_scroll(model);
        let area = self.area;
        if let Some(open) = &mut self.editor {
            editor::settle(area, open);
        }
        match self.view {
            View::Tree => {}
            View::Detail => {
                let last = detail::last_top(self, model);
                self.detail_top = self.detail_top.min(last);
            }
            View::Processes => {
                let keys = self.process_keys(model);
                let page = processes::room(self, model);
                self.processes.settle(&keys, page);
            }
            View::Incidents => {
                let keys = self.incident_keys(model);
                let page = incidents::room(self, model);
                self.incidents.settle(&keys, page);
                let of = keys.get(self.incidents.at).copied();
                let top = self.excerpt.top;
                let same = of == self.excerpt.of;
                self.excerpt = Excerpt {
                    of,
                    top: if same {
                        top.min(incidents::last_top(self, model))
                    } else {
                        0
                    },
                };
            }
        }
    }

    /// Goes on with what is known to be the same under another path: a container that was made again.
    fn follow(&mut self, model: &Model) {
        let Some(path) = self.selected() else { return };
        if let Some(row) = model.row(path) {
            self.identity = Some(row.identity.clone());
            return;
        }
        let known = |row: &&Row| Some(&row.identity) == self.identity.as_ref();
        if let Some(row) = model.rows().iter().find(known) {
            let path = row.path.clone();
            self.selection = match self.selection {
                Selection::Chosen(_) => Selection::Chosen(path),
                _ => Selection::Auto(path),
            };
        }
    }

    fn settle_selection(&mut self, model: &Model) {
        if self.lines.is_empty() {
            return;
        }
        let found = self.position(model);
        let is_workload = |line: &Line| {
            let row = &model.rows()[line.row];
            row.leaf && row.kind != Kind::Other
        };
        let at = match (&self.selection, found) {
            (Selection::Chosen(_), Some(_)) => return,
            _ if self.is_away(model) => return,
            (Selection::Chosen(_), None) => self.at.min(self.lines.len() - 1),
            (Selection::Auto(_), Some(at)) if is_workload(&self.lines[at]) => return,
            (Selection::None | Selection::Auto(_), _) => {
                self.lines.iter().position(is_workload).unwrap_or(0)
            }
        };
        let path = model.rows()[self.lines[at].row].path.clone();
        self.selection = match self.selection {
            Selection::Chosen(_) => Selection::Chosen(path),
            Selection::None | Selection::Auto(_) => Selection::Auto(path),
        };
    }

    fn settle_scroll(&mut self, model: &Model) {
        let page = self.page(model);
        let at = self.cursor(model);
        self.at = at;
        self.top = self
            .top
            .min(self.lines.len().saturating_sub(page))
            .clamp((at + 1).saturating_sub(page), at);
    }
}

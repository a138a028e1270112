//! A list that is moved through: which entry is chosen, and what of the list is on the screen.

/// Where one is in a list. Entries are known by a key, so that the chosen one stays while others come
/// and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listing {
    /// The key of the chosen entry; `None` until somebody chose: then the first.
    pub chosen: Option<u64>,
    /// Where it is.
    pub at: usize,
    /// The first entry on the screen.
    pub top: usize,
}

impl Listing {
    /// Chooses the entry at a position, or the last one.
    pub fn choose(&mut self, at: usize, keys: &[u64]) {
        self.at = at.min(keys.len().saturating_sub(1));
        self.chosen = keys.get(self.at).copied();
    }

    /// Brings it in line with the entries, of which so many fit on the screen.
    pub fn settle(&mut self, keys: &[u64], page: usize) {
        let found = self
            .chosen
            .map(|chosen| keys.iter().position(|key| *key == chosen));
        match found {
            None => self.at = 0,
            Some(Some(at)) => self.at = at,
            Some(None) if keys.is_empty() => self.at = 0,
            // It is gone: whoever has its place now.
            Some(None) => self.choose(self.at, keys),
        }
        let page = page.max(1);
        self.top = self
            .top
            .min(keys.len().saturating_sub(page))
            .clamp((self.at + 1).saturating_sub(page), self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_one_stays_while_others_come_and_go() {
        let mut list = Listing::default();
        list.settle(&[7, 8, 9], 2);
        assert_eq!((list.at, list.top), (0, 0));
        list.choose(2, &[7, 8, 9]);
        list.settle(&[5, 6, 7, 8, 9], 2);
        assert_eq!((list.chosen, list.at, list.top), (Some(9), 4, 3));
        list.settle(&[5, 6], 2);
        assert_eq!((list.chosen, list.at, list.top), (Some(6), 1, 0));
        list.settle(&[], 2);
        assert_eq!((list.at, list.top), (0, 0));
    }
}

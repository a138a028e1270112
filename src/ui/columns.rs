//! Which columns of the catalogue fit, and how wide each is.

use crate::model::field::{Field, FieldId, Preset};

/// The name keeps this many columns while there is another one to drop.
const NAME: u16 = 18;
/// On a terminal too narrow even for that, this many.
const NAME_LEAST: u16 = 10;
/// So narrow is less than this.
const NARROW: u16 = 60;

/// A column on the screen.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// What it shows.
    pub field: &'static Field,
    /// Where it starts, from the left of the table.
    pub x: u16,
    /// How wide it is.
    pub width: u16,
}

/// Fits the columns of a preset into `width` columns: first drops whole fields, those with the highest
/// [`Field::drop`] first, then gives what is left to the bars and to the name.
pub fn fit(preset: Preset, width: u16) -> Vec<Column> {
    let mut fields: Vec<&'static Field> = preset.columns().collect();
    let name = if width < NARROW { NAME_LEAST } else { NAME };
    let gap = if width >= 120 { 2 } else { 1 };
    let needed = |fields: &[&Field]| -> u16 {
        let others = fields.iter().filter(|field| field.id != FieldId::Name);
        name + others.map(|field| field.width.0 + gap).sum::<u16>()
    };
    while needed(&fields) > width {
        let Some(at) = (0..fields.len())
            .filter(|&at| fields[at].drop > 0)
            .max_by_key(|&at| fields[at].drop)
        else {
            break;
        };
        fields.remove(at);
    }
    let mut widths: Vec<u16> = fields
        .iter()
        .map(|field| match field.id {
            FieldId::Name => name.min(width),
            _ => field.width.0,
        })
        .collect();
    let mut spare = width.saturating_sub(needed(&fields));
    // In turns, so that all grow alike; the name takes the rest.
    while spare > 0 {
        let mut grown = false;
        for (field, width) in fields.iter().zip(&mut widths) {
            if spare > 0 && *width < field.width.1 {
                *width += 1;
                spare -= 1;
                grown = true;
            }
        }
        if !grown {
            widths[0] += spare;
            spare = 0;
        }
    }
    let mut x = 0;
    fields
        .into_iter()
        .zip(widths)
        .filter_map(|(field, wide)| {
            let column = Column {
                field,
                x,
                width: wide,
            };
            x += wide + gap;
            (column.x + wide <= width).then_some(column)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_never_overlap_nor_leave_the_table() {
        let presets = Preset::ALL.into_iter();
        for (preset, width) in presets.flat_map(|preset| (0..300).map(move |width| (preset, width)))
        {
            let columns = fit(preset, width);
            for pair in columns.windows(2) {
                assert!(pair[0].x + pair[0].width < pair[1].x, "{width}");
            }
            if let Some(last) = columns.last() {
                assert!(last.x + last.width <= width, "{width}");
            }
        }
    }

    #[test]
    fn a_wide_terminal_has_them_all() {
        assert_eq!(fit(Preset::All, 140).len(), Preset::All.columns().len());
        assert!(
            fit(Preset::All, 36)
                .iter()
                .any(|column| column.field.id == FieldId::MemoryLimit)
        );
    }
}

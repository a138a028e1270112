//! Where in a file something is, for errors that point at it.

/// Line and column of a byte, counted from 1.
pub fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(byte)];
    let line = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|char| *char != '\n')
        .count()
        + 1;
    (line, column)
}

/// `FILE:LINE:COLUMN: MESSAGE`, as compilers write it.
pub fn pointed(name: &str, text: &str, byte: usize, message: &str) -> String {
    let (line, column) = position(text, byte);
    format!("{name}:{line}:{column}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_1_in_characters() {
        let text = "é = 1\nx";
        for (byte, place) in [
            (0, (1, 1)),
            (1, (1, 1)),
            (2, (1, 2)),
            (7, (2, 1)),
            (99, (2, 2)),
        ] {
            assert_eq!(position(text, byte), place, "{byte}");
        }
    }
}

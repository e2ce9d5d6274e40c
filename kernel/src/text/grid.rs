//! Text in columns: each as wide as its widest cell, numbers to the right.

use alloc::string::String;
use alloc::vec::Vec;

/// Which edge of its column a cell leans on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a row of headings.
#[derive(Debug)]
pub struct Grid {
    columns: Vec<(Align, usize)>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A grid with these headings. A heading that begins with `<` is of a column of text.
    pub fn new(headings: &[&str]) -> Self {
        let mut grid = Self { columns: Vec::new(), rows: Vec::new() };
        let cells = headings.iter().map(|heading| match heading.strip_prefix('<') {
            Some(text) => (Align::Left, text),
            None => (Align::Right, *heading),
        });
        let (aligns, texts): (Vec<_>, Vec<_>) = cells.unzip();
        grid.columns = aligns.into_iter().map(|align| (align, 0)).collect();
        grid.row(texts.into_iter().map(String::from).collect());
        grid
    }

    /// Adds a row. Cells beyond the last heading are dropped.
    pub fn row(&mut self, cells: Vec<String>) {
        for ((_, width), cell) in self.columns.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// The lines, without spaces at their ends. Headings that are all empty make none.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let empty = self.rows[0].iter().all(String::is_empty);
        self.rows.iter().skip(usize::from(empty)).map(|row| {
            let mut line = String::new();
            for ((align, width), cell) in self.columns.iter().zip(row) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let gap = width - cell.chars().count();
                let (before, after) = if *align == Align::Left { (0, gap) } else { (gap, 0) };
                line.extend(core::iter::repeat_n(' ', before));
                line.push_str(cell);
                line.extend(core::iter::repeat_n(' ', after));
            }
            line.truncate(line.trim_end().len());
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn columns_line_up() {
        let mut grid = Grid::new(&["<task", "polls"]);
        grid.row(vec!["thread".into(), "7".into()]);
        grid.row(vec!["x".into(), "1,234".into()]);
        let lines: Vec<_> = grid.lines().collect();
        assert_eq!(lines, ["task    polls", "thread      7", "x       1,234"]);
        let mut plain = Grid::new(&["<", ""]);
        plain.row(vec!["free".into(), "7".into()]);
        assert!(plain.lines().eq(["free  7"]));
    }
}

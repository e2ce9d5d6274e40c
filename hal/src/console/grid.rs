//! The text on the screen: a grid of cells, what is wanted and what is drawn.
//!
//! Writing changes what is wanted; [`Grid::refresh`] draws the cells that differ, and only those,
//! so the framebuffer is never read and a scroll costs what changed. The text scrolls by a few rows
//! at once: drawing is what takes time.

/// What a piece of text is coloured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Ink {
    /// Ordinary text.
    #[default]
    Plain,
    /// What matters less: time stamps.
    Faint,
    /// Errors.
    Red,
    /// Warnings.
    Yellow,
    /// Information.
    Green,
    /// Debug output.
    Blue,
    /// Trace output.
    Violet,
    /// Headings.
    Bright,
}

impl Ink {
    /// Every ink, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Plain,
        Self::Faint,
        Self::Red,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Violet,
        Self::Bright,
    ];
}

/// One character on the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// The character in Latin-1; 0 is a blank.
    pub glyph: u8,
    /// Its colour.
    pub ink: Ink,
}

/// Most cells a grid has: 8 K screens get fewer rows than would fit.
const CELLS: usize = 32 * 1024;
/// One screenful in so many steps.
const SCROLL_STEPS: usize = 8;

/// A grid of text with a cursor.
pub struct Grid {
    columns: usize,
    rows: usize,
    column: usize,
    row: usize,
    /// Rows that may differ from what is drawn.
    changed: core::ops::Range<usize>,
    wanted: [Cell; CELLS],
    drawn: [Cell; CELLS],
}

impl Grid {
    /// A grid of no cells, for a static.
    #[allow(clippy::large_stack_arrays)]
    pub const fn new() -> Self {
        Self {
            columns: 0,
            rows: 0,
            column: 0,
            row: 0,
            changed: 0..0,
            wanted: [Cell { glyph: 0, ink: Ink::Plain }; CELLS],
            drawn: [Cell { glyph: 0, ink: Ink::Plain }; CELLS],
        }
    }

    /// Empties the grid and gives it a size (at most what there is room for). What is on the screen
    /// is taken to be blank.
    pub fn resize(&mut self, columns: usize, rows: usize) {
        self.columns = columns.min(CELLS);
        self.rows = rows.min(CELLS.checked_div(self.columns).unwrap_or(0));
        (self.column, self.row) = (0, 0);
        self.changed = 0..0;
        self.wanted.fill(Cell::default());
        self.drawn.fill(Cell::default());
    }

    /// Columns and rows.
    pub const fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// Writes text at the cursor. Knows line feed, carriage return, tab and backspace.
    pub fn write(&mut self, text: &str, ink: Ink) {
        if self.rows == 0 {
            return;
        }
        for character in text.chars() {
            match character {
                '\n' => self.line_feed(),
                '\r' => self.column = 0,
                '\t' => self.column = (self.column / 8 + 1) * 8,
                '\u{8}' => self.column = self.column.saturating_sub(1),
                '…' => (0..3).for_each(|_| self.put(b'.', ink)),
                _ => self.put(glyph(character), ink),
            }
        }
    }

    fn put(&mut self, glyph: u8, ink: Ink) {
        if self.column >= self.columns {
            self.line_feed();
        }
        self.wanted[self.row * self.columns + self.column] = Cell { glyph, ink };
        self.touch(self.row..self.row + 1);
        self.column += 1;
    }

    fn line_feed(&mut self) {
        self.column = 0;
        if self.row + 1 < self.rows {
            self.row += 1;
            return;
        }
        let step = (self.rows / SCROLL_STEPS).max(1);
        let all = self.rows * self.columns;
        self.wanted.copy_within(step * self.columns..all, 0);
        self.wanted[all - step * self.columns..all].fill(Cell::default());
        self.row = self.rows - step;
        self.touch(0..self.rows);
    }

    fn touch(&mut self, rows: core::ops::Range<usize>) {
        if self.changed.is_empty() {
            self.changed = rows;
        } else {
            let start = self.changed.start.min(rows.start);
            self.changed = start..self.changed.end.max(rows.end);
        }
    }

    /// Calls `draw(column, row, cell)` for each cell that is not drawn as wanted, once.
    pub fn refresh(&mut self, mut draw: impl FnMut(usize, usize, Cell)) {
        for row in core::mem::take(&mut self.changed) {
            let cells = row * self.columns..(row + 1) * self.columns;
            let wanted = &self.wanted[cells.clone()];
            let drawn = &mut self.drawn[cells];
            for (column, (wanted, drawn)) in wanted.iter().zip(drawn).enumerate() {
                if wanted != drawn {
                    draw(column, row, *wanted);
                    *drawn = *wanted;
                }
            }
        }
    }
}

impl Default for Grid {
    fn default() -> Self {
        Self::new()
    }
}

/// The Latin-1 code that stands for a character.
fn glyph(character: char) -> u8 {
    match character {
        ' ' => 0,
        '–' | '—' | '−' => b'-',
        '‘' | '’' => b'\'',
        '“' | '”' => b'"',
        'μ' => 0xb5,
        '→' => b'>',
        '←' => b'<',
        '!'..='~' | '\u{a0}'..='\u{ff}' => u32::from(character) as u8,
        _ => b'?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    fn grid(columns: usize, rows: usize) -> Box<Grid> {
        let mut grid = Box::new(Grid::new());
        grid.resize(columns, rows);
        grid
    }

    /// What has been drawn so far, as lines.
    struct Paper(Vec<Vec<u8>>);

    impl Paper {
        fn refresh(&mut self, grid: &mut Grid) -> usize {
            let mut drawn = 0;
            grid.refresh(|column, row, cell| {
                self.0[row][column] = cell.glyph.max(b' ');
                drawn += 1;
            });
            drawn
        }
        fn line(&self, row: usize) -> String {
            String::from_utf8_lossy(&self.0[row]).trim_end().into()
        }
    }

    #[test]
    fn wraps_tabs_and_scrolls() {
        let mut grid = grid(10, 4);
        let mut paper = Paper(vec![vec![b' '; 10]; 4]);
        grid.write("0123456789ab\nx\ty\rz\n", Ink::Plain);
        paper.refresh(&mut grid);
        assert_eq!(paper.line(0), "0123456789");
        assert_eq!(paper.line(1), "ab");
        assert_eq!(paper.line(2), "z       y");
        grid.write("last\nnew", Ink::Red);
        paper.refresh(&mut grid);
        assert_eq!([0, 1, 2, 3].map(|row| paper.line(row)), ["ab", "z       y", "last", "new"]);
        assert_eq!(paper.refresh(&mut grid), 0, "nothing is drawn twice");
    }

    #[test]
    fn backspace_and_unknown_characters() {
        let mut grid = grid(20, 2);
        let mut paper = Paper(vec![vec![b' '; 20]; 2]);
        grid.write("\u{8}ab\u{8}c…—日", Ink::Plain);
        paper.refresh(&mut grid);
        assert_eq!(paper.line(0), "ac...-?");
    }

    #[test]
    fn a_screen_without_room_is_harmless() {
        let mut none = grid(0, 5);
        none.write("text\n", Ink::Plain);
        none.refresh(|_, _, _| panic!("nothing to draw"));
        assert_eq!(grid(1 << 20, 100).size(), (CELLS, 1));
    }

    proptest! {
        /// However the refreshes fall, the screen ends up the same.
        #[test]
        fn refreshing_often_or_once_draws_the_same(
            pieces in prop::collection::vec("[a-c \n\r\t\u{8}é]{0,40}", 0..12),
            columns in 1..30_usize,
            rows in 1..20_usize,
        ) {
            let (mut often, mut once) = (grid(columns, rows), grid(columns, rows));
            let mut paper_often = Paper(vec![vec![b' '; columns]; rows]);
            let mut paper_once = Paper(vec![vec![b' '; columns]; rows]);
            for piece in &pieces {
                often.write(piece, Ink::Plain);
                paper_often.refresh(&mut often);
                once.write(piece, Ink::Plain);
            }
            paper_once.refresh(&mut once);
            prop_assert_eq!(paper_often.0, paper_once.0);
        }
    }
}

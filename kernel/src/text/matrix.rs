//! Figures of pairs of cores as matrices: from the core of the row to the core of the column.

use crate::table::{Cost, Line, Scale, Style, WIDTH};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use protocols::abi::metric::Metric;

/// Columns of a row's label, and of a cell.
const LABEL: usize = 5;
const CELL: usize = 9;
/// Lines of a block that are headings: its name, its columns.
const HEADINGS: usize = 2;
/// Between two matrices that stand side by side.
const GAP: usize = 4;

/// The matrix of `name`, cut into blocks that each fit a line.
pub fn blocks(metrics: &[Metric], name: &str, scale: Scale) -> Vec<Vec<String>> {
    let pairs: Vec<&Metric> = metrics
        .iter()
        .filter(|metric| metric.peer != Metric::ALL_CORES && metric.name() == name)
        .collect();
    let (mut rows, mut columns): (Vec<u16>, Vec<u16>) =
        pairs.iter().map(|metric| (metric.core, metric.peer)).unzip();
    for cores in [&mut rows, &mut columns] {
        cores.sort_unstable();
        cores.dedup();
    }
    let block = |columns: &[u16]| {
        let mut lines = alloc::vec![format!("{name}, median by core")];
        let headings = columns.iter().map(|peer| format!("{:>CELL$}", format!("to {peer}")));
        lines.push(format!("{:LABEL$}{}", "", headings.collect::<String>()));
        for row in &rows {
            let cells = columns.iter().map(|column| {
                let found = pairs.iter().find(|pair| (pair.core, pair.peer) == (*row, *column));
                match found {
                    Some(pair) => format!("{:>CELL$}", Cost(scale, pair.median)),
                    None => format!("{:>CELL$}", "."),
                }
            });
            lines.push(format!("{row:>LABEL$}{}", cells.collect::<String>()));
        }
        lines
    };
    columns.chunks((WIDTH - LABEL) / CELL).map(block).collect()
}

/// Adds blocks of lines, side by side where they fit.
pub fn beside(lines: &mut Vec<Line>, blocks: Vec<Vec<String>>) {
    let mut row: Vec<Vec<String>> = Vec::new();
    let mut used = 0;
    for block in blocks {
        let width = width(&block);
        if used + GAP + width > WIDTH {
            put(lines, &row);
            row.clear();
            used = 0;
        }
        used += if row.is_empty() { width } else { GAP + width };
        row.push(block);
    }
    put(lines, &row);
}

fn width(block: &[String]) -> usize {
    block.iter().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Writes blocks next to each other.
fn put(lines: &mut Vec<Line>, blocks: &[Vec<String>]) {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..height {
        let mut line = String::new();
        let mut start = 0;
        for block in blocks {
            let have = line.chars().count();
            line.extend(core::iter::repeat_n(' ', start - have));
            line.push_str(block.get(at).map_or("", String::as_str));
            start += width(block) + GAP;
        }
        line.truncate(line.trim_end().len());
        let style = if at < HEADINGS { Style::Heading } else { Style::Text };
        lines.push(Line::new(style, line));
    }
}

//! Aligned tables: a header, rows of cells, two spaces between columns, no frame.
//!
//! A cell may carry colour: widths are counted without escapes. The last column is never padded, so that lines have no
//! trailing blanks and a long last cell wraps by itself.

use crate::output::style::{Style, visible_width};

/// On which side a column's text stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table under construction.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Table {
        Table {
            columns: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Missing cells stay empty, surplus ones are dropped.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let mut cells = cells;
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// The lines of the table, each without its newline; the header first.
    pub(crate) fn lines(&self, style: Style) -> Vec<String> {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| style.dim(name)).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| visible_width(&row[column]));
                cells.chain([visible_width(&header[column])]).max().unwrap_or(0)
            })
            .collect();
        std::iter::once(&header).chain(&self.rows).map(|cells| self.line(cells, &widths)).collect()
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let padding = " ".repeat(widths[column].saturating_sub(visible_width(cell)));
            match self.columns[column].1 {
                Align::Left => line.extend([cell.as_str(), &padding]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
            line.push_str("  ");
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Align, Table};
    use crate::output::style::Style;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_blanks() {
        let mut table =
            Table::new(&[("node", Align::Left), ("keys", Align::Right), ("state", Align::Left)]);
        table.row(vec!["n1".into(), "7".into(), "up".into()]);
        table.row(vec!["longer".into(), "1,234".into(), String::new()]);
        assert_eq!(
            table.lines(Style::plain()),
            ["node     keys  state", "n1          7  up", "longer  1,234"]
        );
    }

    #[test]
    fn short_rows_are_filled_up() {
        let mut table = Table::new(&[("a", Align::Left), ("b", Align::Left)]);
        table.row(vec!["x".into()]);
        assert_eq!(table.lines(Style::plain())[1], "x");
    }
}

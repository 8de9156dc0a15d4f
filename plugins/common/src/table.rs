//! Tables in kubectl's style: upper-case headers, three blanks between columns, no lines.

use comfy_table::{Table as Inner, presets};

/// How wide a terminal is that nobody made wider.
pub const TERMINAL: usize = 80;
/// What a column that is wrapped or cut keeps, whatever the others take.
pub const NARROWEST: usize = 20;
/// Blanks between columns.
const BETWEEN: usize = 3;

/// A table that is filled row by row.
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headers, which are printed in capitals.
    pub fn new(headers: &[&str]) -> Self {
        Self {
            headers: headers.iter().map(|header| header.to_uppercase()).collect(),
            rows: Vec::new(),
        }
    }

    /// One row. An empty cell is printed as kubectl does, `<none>`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| {
            if cell.is_empty() {
                "<none>".to_owned()
            } else {
                one_line(&cell)
            }
        });
        self.rows.push(cells.collect());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Wraps the words of a column where rows would be wider than this many characters. Words stay whole, and a column
    /// gets [`NARROWEST`] in any case.
    #[must_use]
    pub fn wrapped(mut self, column: usize, width: usize) -> Self {
        let room = self.room(column, width);
        for cell in self.rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            *cell = wrap(cell, room);
        }
        self
    }

    /// Cuts the cells of a column short where rows would be wider than this many characters.
    #[must_use]
    pub fn cut(mut self, column: usize, width: usize) -> Self {
        let room = self.room(column, width);
        for cell in self.rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            if cell.chars().count() > room {
                let kept: String = cell.chars().take(room - 1).collect();
                *cell = format!("{}…", kept.trim_end());
            }
        }
        self
    }

    /// How many characters the other columns leave to one.
    fn room(&self, column: usize, width: usize) -> usize {
        let others = (0..self.headers.len()).filter(|other| *other != column);
        let taken: usize = others
            .map(|other| {
                let cells = self.rows.iter().filter_map(|row| row.get(other));
                let lines = cells
                    .chain(&self.headers[other..=other])
                    .flat_map(|cell| cell.lines());
                lines.map(|line| line.chars().count()).max().unwrap_or(0) + BETWEEN
            })
            .sum();
        width.saturating_sub(taken).max(NARROWEST)
    }

    /// The text, without a newline at the end.
    pub fn render(self) -> String {
        let mut inner = Inner::new();
        inner.load_style(presets::NOTHING);
        inner.set_header(self.headers);
        for row in self.rows {
            inner.add_row(row);
        }
        for column in inner.column_iter_mut() {
            column.set_padding((0, 3));
        }
        inner.trim_fmt()
    }
}

/// Words on lines of at most so many characters; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// Control characters would break the table, and may come from a server.
fn one_line(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_looks_like_one_of_kubectl() {
        let mut table = Table::new(&["name", "phase", "url"]);
        table.row(["weather".to_owned(), "Ready".to_owned(), String::new()]);
        table.row([
            "x".to_owned(),
            "Pending\n".to_owned(),
            "http://h/x/mcp".to_owned(),
        ]);
        assert_eq!(
            table.render(),
            "NAME      PHASE      URL\nweather   Ready      <none>\nx         Pending    http://h/x/mcp"
        );
    }

    #[test]
    fn a_column_is_wrapped_or_cut_where_the_terminal_ends() {
        let table = || {
            let mut table = Table::new(&["a", "b", "c"]);
            let words = "it must be at most low, the ceiling of the policy".to_owned();
            table.row(["x".to_owned(), words, "y".to_owned()]);
            table
        };
        assert_eq!(
            table().wrapped(1, 40).render(),
            "A   B                             C\nx   it must be at most low, the   y\n    ceiling of the policy"
        );
        assert_eq!(
            table().cut(1, 40).render(),
            "A   B                                  C\nx   it must be at most low, the cei…   y"
        );
        assert_eq!(table().wrapped(1, 80).render(), table().render());
    }
}

//! Tables in kubectl's style: upper-case headers, three blanks between columns, no lines.

use comfy_table::{Table as Inner, presets};

/// A table that is filled row by row.
pub struct Table {
    inner: Inner,
}

impl Table {
    /// A table with these headers, which are printed in capitals.
    pub fn new(headers: &[&str]) -> Self {
        let mut inner = Inner::new();
        inner.load_style(presets::NOTHING);
        inner.set_header(headers.iter().map(|h| h.to_uppercase()).collect::<Vec<_>>());
        Self { inner }
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
        self.inner.add_row(cells.collect::<Vec<_>>());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// The text, without a newline at the end.
    pub fn render(mut self) -> String {
        for column in self.inner.column_iter_mut() {
            column.set_padding((0, 3));
        }
        self.inner.trim_fmt()
    }
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
}

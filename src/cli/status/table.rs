//! Columns of text, as wide as they need to be.

/// Lines of a table; its first row is its header, and a column of numbers stands to the right.
pub(super) fn render(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let is_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit()) || cell == "-";
    let right = |column: usize| rows.iter().skip(1).filter_map(|row| row.get(column)).all(is_number);
    let shape: Vec<_> = (0..columns).map(|column| (width(column), 1 < rows.len() && right(column))).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&shape).map(|(cell, (width, right))| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let rows = [["NAME", "N", "STATE"], ["ä", "7", "yes"], ["long", "120", "no"]];
        let rows: Vec<_> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        assert_eq!(render(&rows), ["NAME    N  STATE", "ä       7  yes", "long  120  no"]);
        assert_eq!(render(&rows[..1]), ["NAME  N  STATE"]);
    }
}

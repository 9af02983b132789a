//! Tables for spreadsheets: UTF-8 with its mark (Excel takes other text for the system's code page),
//! lines that end as RFC 4180 says, and no cell that a spreadsheet would run as a formula.

/// Makes a CSV file's bytes of rows of cells.
pub fn bytes(rows: &[Vec<String>]) -> Vec<u8> {
    let mut text = String::from('\u{feff}');
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// Returns the cell so that it reads as text and as nothing else. An apostrophe before what would
/// begin a formula is what spreadsheets themselves put there (OWASP, CSV injection).
fn quoted(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok_and(f64::is_finite);
    let begins = cell.trim_start().chars().next();
    let is_formula = !is_number
        && (cell.starts_with(['\t', '\r', '\n'])
            || begins.is_some_and(|first| "=+-@＝＋－＠".contains(first)));
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_out() {
        let row = [
            "=1+1",
            " @SUM(A1)",
            "-5.5",
            "-x",
            "a\"b,c\r\nd",
            "\t=1",
            "＝1",
        ];
        let file = bytes(&[row.map(str::to_owned).to_vec()]);
        let expected = "\u{feff}\"'=1+1\",\"' @SUM(A1)\",\"-5.5\",\"'-x\",\"a\"\"b,c\r\nd\",\"'\t=1\",\"'＝1\"\r\n";
        assert_eq!(String::from_utf8(file).expect("text"), expected);
    }
}

//! Camera codes by GB/T 28181-2022, appendix E: 20 digits, of which 6 are the division, 2 the
//! grassroots unit, 2 the industry, 3 the type, 1 the network, 6 the serial number.

/// The first two digits of divisions (GB/T 2260): provinces, regions and municipalities.
const PROVINCES: [&str; 34] = [
    "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41",
    "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71",
    "81", "82",
];

/// Returns what is wrong with a division's code; none where it can be one.
pub fn division_problem(code: &str) -> Option<String> {
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(format!("{code:?} is not a division's 6 digits (GB/T 2260)"));
    }
    let known = PROVINCES.contains(&&code[..2]);
    (!known).then(|| {
        format!(
            "{code:?} is of no known division: no province begins with {}",
            &code[..2]
        )
    })
}

/// Returns what is wrong with a camera's code; none where it can be one. `division` is its site's.
pub fn camera_problem(code: &str, division: Option<&str>) -> Option<String> {
    if code.len() != 20 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(format!("{code:?} is not 20 digits"));
    }
    if let Some(problem) = division_problem(&code[..6]) {
        return Some(problem);
    }
    if let Some(division) = division.filter(|division| *division != &code[..6]) {
        return Some(format!(
            "{code:?} is of the division {}, and its site's civil_code is {division}",
            &code[..6]
        ));
    }
    match &code[10..13] {
        "131" | "132" => None,
        other => Some(format!(
            "{code:?} is of the type {other} (digits 11 to 13): a camera's is 131 or 132"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_code_is_judged_part_by_part() {
        let good = "37078100011327000001";
        assert_eq!(camera_problem(good, Some("370781")), None);
        assert_eq!(camera_problem(good, None), None);
        for (code, division, told) in [
            ("3707810001132700000", None, "20 digits"),
            ("3707810001132700000x", None, "20 digits"),
            ("99078100011327000001", None, "no province"),
            (good, Some("370782"), "civil_code is 370782"),
            ("37078100011187000001", None, "type 118"),
        ] {
            let problem = camera_problem(code, division).expect(code);
            assert!(problem.contains(told), "{problem}");
        }
        assert!(division_problem("37078").is_some());
    }
}

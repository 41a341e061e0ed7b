//! Comparing what a person or a model wrote with what the schema says.

/// The text with the differences that do not matter taken away: case, runs of white space, `_` and `-` for a space,
/// full-width ASCII (`Ｕ３`), quotation marks and sentence marks at its ends.
pub fn fold_text(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '.' | ',' | ';' | '。' | '、' | '*')).chars()
    {
        let c = match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            other => other,
        };
        if c.is_whitespace() || c == '_' || c == '-' {
            gap = true;
            continue;
        }
        if gap && !folded.is_empty() {
            folded.push(' ');
        }
        gap = false;
        folded.extend(c.to_lowercase());
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::fold_text;

    #[test]
    fn folds_what_does_not_matter() {
        assert_eq!(fold_text("  Pin_Hole. "), "pin hole");
        assert_eq!(fold_text("pin-hole"), "pin hole");
        assert_eq!(fold_text("Ｕ３"), "u3");
        assert_eq!(fold_text("傷　あり。"), "傷 あり");
    }
}

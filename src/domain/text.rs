//! Text from data, made safe to show.

use std::borrow::Cow;

/// The text with everything that could act on a terminal replaced by `U+FFFD`: control characters (C0, C1, DEL),
/// bidirectional overrides and isolates, zero-width joiners and marks, line and paragraph separators.
///
/// Borrowed when nothing had to be replaced, which is the usual case.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(acts_on_a_terminal) {
        Cow::Owned(text.chars().map(|c| if acts_on_a_terminal(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn acts_on_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{61c}' | '\u{ad}')
        || ('\u{e0000}'..='\u{e007f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(printable("傷 scratch"), "傷 scratch");
        assert_eq!(printable("a\u{1b}]0;x\u{7}b"), "a\u{fffd}]0;x\u{fffd}b");
        assert_eq!(printable("\u{202e}gpj\u{200b}"), "\u{fffd}gpj\u{fffd}");
    }
}

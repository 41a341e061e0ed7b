//! From the terminal's events to chords and places.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::keys::{Chord, Key};

/// The chord of a pressed key; `None` for what no keymap names.
pub(super) fn chord(event: KeyEvent) -> Option<Chord> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let shift = event.modifiers.contains(KeyModifiers::SHIFT);
    let key = match event.code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => return Some(Chord::reported(Key::Tab, false, event.modifiers.contains(KeyModifiers::ALT), true)),
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Insert => Key::Insert,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::F(number) => Key::F(number),
        _ => return None,
    };
    Some(Chord::reported(key, event.modifiers.contains(KeyModifiers::CONTROL), event.modifiers.contains(KeyModifiers::ALT), shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_chords() {
        let press = |code, modifiers| chord(KeyEvent::new(code, modifiers));
        assert_eq!(press(KeyCode::Char('U'), KeyModifiers::SHIFT), Some(Chord::plain(Key::Char('U'))));
        assert_eq!(press(KeyCode::BackTab, KeyModifiers::SHIFT), Some(Chord::reported(Key::Tab, false, false, true)));
        assert_eq!(press(KeyCode::Char('r'), KeyModifiers::CONTROL), Some(Chord::reported(Key::Char('r'), true, false, false)));
        assert_eq!(press(KeyCode::Null, KeyModifiers::NONE), None);
    }
}

//! Colours and emphasis. Whatever a colour says is also said by a mark or a word.

use ratatui::style::{Color, Modifier, Style};

use crate::review;

/// The styles of everything that is drawn. The terminal's own background stays: pictures lie on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    pub text: Style,
    pub dim: Style,
    pub strong: Style,
    pub focus: Style,
    pub good: Style,
    pub warn: Style,
    pub bad: Style,
    pub bar: Style,
    pub border: Style,
    pub cursor: Style,
}

impl Theme {
    /// A theme; without colours only emphasis is left.
    pub(super) fn new(theme: review::Theme, colours: bool) -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let turned = plain.add_modifier(Modifier::REVERSED);
        if !colours {
            return Self {
                text: plain,
                dim: plain,
                strong: bold,
                focus: bold,
                good: plain,
                warn: bold,
                bad: bold,
                bar: plain,
                border: plain,
                cursor: turned,
            };
        }
        let of = |index: u8| plain.fg(Color::Indexed(index));
        match theme {
            review::Theme::Dark => Self {
                text: plain,
                dim: of(245),
                strong: bold,
                focus: of(81).add_modifier(Modifier::BOLD),
                good: of(114),
                warn: of(221),
                bad: of(210),
                bar: of(74),
                border: of(240),
                cursor: plain.fg(Color::Indexed(16)).bg(Color::Indexed(81)),
            },
            review::Theme::Light => Self {
                text: plain,
                dim: of(242),
                strong: bold,
                focus: of(25).add_modifier(Modifier::BOLD),
                good: of(28),
                warn: of(130),
                bad: of(160),
                bar: of(31),
                border: of(248),
                cursor: plain.fg(Color::Indexed(231)).bg(Color::Indexed(25)),
            },
            review::Theme::HighContrast => Self {
                text: plain,
                dim: plain,
                strong: bold,
                focus: plain.fg(Color::LightYellow).add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
                good: plain.fg(Color::LightGreen).add_modifier(Modifier::BOLD),
                warn: plain.fg(Color::LightYellow).add_modifier(Modifier::BOLD),
                bad: plain.fg(Color::LightRed).add_modifier(Modifier::BOLD),
                bar: plain.fg(Color::LightCyan),
                border: plain,
                cursor: turned.add_modifier(Modifier::BOLD),
            },
        }
    }
}

//! Which protocol a terminal gets: a pure function of what the environment, the terminal and tmux say.

use std::fmt;

use super::query::{INNER_ID, OUTER_ID};
use super::{CellSize, Colours, Depth, Protocol, Reply, Target, parse};

/// The variables that say something about the terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `TERM`.
    pub term: String,
    /// `TERM_PROGRAM`.
    pub program: String,
    /// `LC_TERMINAL`, which iTerm2 sends over SSH.
    pub lc_terminal: String,
    /// `COLORTERM`.
    pub colorterm: String,
    /// Whether `TMUX` is set.
    pub tmux: bool,
    /// Whether `STY` (GNU screen) or `ZELLIJ` is set.
    pub multiplexer: bool,
}

impl Environment {
    /// From a function that gives variables by name.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name| variable(name).unwrap_or_default();
        Self {
            term: text("TERM"),
            program: text("TERM_PROGRAM"),
            lc_terminal: text("LC_TERMINAL"),
            colorterm: text("COLORTERM"),
            tmux: variable("TMUX").is_some_and(|value| !value.is_empty()),
            multiplexer: variable("STY").is_some() || variable("ZELLIJ").is_some(),
        }
    }

    /// Of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }
}

/// What the system says of the terminal's window (`TIOCGWINSZ`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Cells across.
    pub columns: u16,
    /// Cells down.
    pub rows: u16,
    /// Pixels across, or 0.
    pub width: u16,
    /// Pixels down, or 0.
    pub height: u16,
}

impl WindowSize {
    /// The size of a cell, where the window's size in pixels is known.
    pub fn cell(self) -> Option<CellSize> {
        CellSize::new(self.width.checked_div(self.columns)?, self.height.checked_div(self.rows)?)
    }
}

/// What tmux says of the terminal outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TmuxClient {
    /// Its name and version (`client_termtype`).
    pub terminal: String,
    /// What tmux takes it to be capable of (`client_termfeatures`).
    pub features: String,
    /// The size of its cells.
    pub cell: Option<CellSize>,
    /// Whether escapes may pass through, now.
    pub passthrough: bool,
}

/// Something a person should know about their terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// It answered nothing.
    Silent,
    /// Inside tmux, and escapes do not pass.
    PassthroughOff,
    /// The terminal shows pictures, but not from inside tmux or another multiplexer.
    NotThroughMultiplexer,
    /// kitty before 0.28, which has no placeholders, inside tmux.
    OldKittyInTmux,
    /// VS Code without its setting for pictures.
    VsCodeSetting,
    /// The size of cells is a guess: pictures may be scaled.
    CellSizeGuessed,
    /// Sixel with few colours.
    FewRegisters(u16),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => {
                f.write_str("the terminal answers no questions; pictures are drawn with half blocks (choose another way with --images)")
            }
            Self::PassthroughOff => {
                f.write_str("tmux lets no pictures through; 'tmux set -g allow-passthrough on' (tmux 3.3 or newer) helps")
            }
            Self::NotThroughMultiplexer => {
                f.write_str("this terminal can show pictures, but not through a multiplexer; outside of it they are sharp")
            }
            Self::OldKittyInTmux => f.write_str("kitty 0.28 or newer shows pictures inside tmux; this one is older"),
            Self::VsCodeSetting => f.write_str("VS Code shows pictures when its setting terminal.integrated.enableImages is on"),
            Self::CellSizeGuessed => {
                f.write_str("the terminal does not tell its cell size; 10 × 20 pixels are assumed and pictures may be less sharp")
            }
            Self::FewRegisters(count) => {
                write!(f, "the terminal shows sixel pictures with {count} colours only; xterm's numColorRegisters can be raised to 256")
            }
        }
    }
}

/// What a terminal can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// How pictures are shown.
    pub protocol: Protocol,
    /// The size of a cell.
    pub cell: CellSize,
    /// Whether escapes are wrapped for tmux.
    pub tmux: bool,
    /// The colours of text.
    pub depth: Depth,
    /// The terminal's background.
    pub background: Option<[u8; 3]>,
    /// Colour registers of a sixel terminal, at most 256.
    pub registers: u16,
    /// The terminal's name and version, as it says; the outer one's inside tmux. No control characters.
    pub terminal: Option<String>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

impl Detected {
    /// What pictures are made for on this terminal.
    pub fn target(&self, colours: Colours) -> Target {
        Target {
            protocol: self.protocol,
            cell: self.cell,
            background: self.background.unwrap_or([0; 3]),
            depth: self.depth,
            tmux: self.tmux,
            colours,
            registers: self.registers,
        }
    }
}

/// Terminals that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whether it is new enough for placeholders.
    Kitty(bool),
    Ghostty,
    Konsole,
    /// WezTerm, iTerm2, mintty: they show iTerm2's pictures, whatever else they answer.
    Iterm2,
    VsCode,
    Other,
}

/// Decides. `answers` is everything the terminal sent in reply to [`super::query::ask`], `choice` the user's own choice if there is one.
pub fn detect(
    environment: &Environment,
    answers: &[u8],
    window: Option<WindowSize>,
    client: Option<&TmuxClient>,
    choice: Option<Protocol>,
) -> Detected {
    let replies = parse(answers);
    let versions: Vec<&str> =
        replies.iter().filter_map(|reply| if let Reply::Version(name) = reply { Some(name.as_str()) } else { None }).collect();
    let is_tmux = |name: &&str| name.starts_with("tmux");
    let tmux = environment.tmux || versions.iter().any(is_tmux);
    let outer = versions
        .iter()
        .copied()
        .find(|name| !is_tmux(name))
        .or(client.map(|client| client.terminal.as_str()).filter(|name| !name.is_empty()));
    let kitty_ok = |wanted: u32| replies.iter().any(|reply| matches!(reply, Reply::Kitty { id, ok: true } if *id == wanted));
    let sixel = replies.iter().any(|reply| matches!(reply, Reply::Attributes(list) if list.iter().skip(1).any(|one| *one == 4)));
    let registers = replies.iter().find_map(|reply| if let Reply::Registers(count) = reply { Some((*count).min(256)) } else { None });
    let kind = kind(outer, environment, tmux);

    let mut notes = Vec::new();
    let protocol = if replies.is_empty() {
        notes.push(Note::Silent);
        Protocol::HalfBlocks
    } else if tmux {
        let through = kitty_ok(OUTER_ID);
        match kind {
            Kind::Kitty(true) | Kind::Ghostty if through => Protocol::KittyPlaceholders,
            Kind::Kitty(false) if through => {
                notes.push(Note::OldKittyInTmux);
                Protocol::HalfBlocks
            }
            Kind::Konsole | Kind::Iterm2 | Kind::VsCode => {
                notes.push(Note::NotThroughMultiplexer);
                Protocol::HalfBlocks
            }
            Kind::Other if through => {
                notes.push(Note::NotThroughMultiplexer);
                Protocol::HalfBlocks
            }
            kind => {
                if kind != Kind::Other || client.is_none_or(|client| !client.passthrough) {
                    notes.push(Note::PassthroughOff);
                }
                Protocol::HalfBlocks
            }
        }
    } else if environment.multiplexer {
        notes.push(Note::NotThroughMultiplexer);
        Protocol::HalfBlocks
    } else {
        match kind {
            Kind::Kitty(true) | Kind::Ghostty if kitty_ok(INNER_ID) => Protocol::KittyPlaceholders,
            Kind::Iterm2 => Protocol::Iterm2,
            Kind::VsCode if sixel => Protocol::Iterm2,
            Kind::VsCode => {
                notes.push(Note::VsCodeSetting);
                Protocol::HalfBlocks
            }
            _ if kitty_ok(INNER_ID) => Protocol::KittyDirect,
            _ if sixel => Protocol::Sixel,
            _ => Protocol::HalfBlocks,
        }
    };
    let protocol = choice.unwrap_or(protocol);
    if choice.is_some() {
        notes.clear();
    }
    let registers = registers.filter(|count| *count >= 2).unwrap_or(256);
    if protocol == Protocol::Sixel && registers < 256 {
        notes.push(Note::FewRegisters(registers));
    }
    let told =
        replies.iter().find_map(|reply| if let Reply::CellSize { width, height } = reply { CellSize::new(*width, *height) } else { None });
    let cell = window.and_then(WindowSize::cell).or(told).or(client.and_then(|client| client.cell));
    if cell.is_none() && protocol != Protocol::HalfBlocks {
        notes.push(Note::CellSizeGuessed);
    }
    Detected {
        protocol,
        cell: cell.unwrap_or(CellSize::USUAL),
        tmux,
        depth: depth(environment, client, tmux, &replies),
        background: replies.iter().find_map(|reply| if let Reply::Background(colour) = reply { Some(*colour) } else { None }),
        registers,
        terminal: outer.map(|name| name.chars().filter(|c| !c.is_control()).collect()),
        notes,
    }
}

/// By the terminal's own word first; by the environment, which may be inherited from another terminal, only without it.
fn kind(version: Option<&str>, environment: &Environment, tmux: bool) -> Kind {
    if let Some(version) = version {
        let (name, number) = version.split_once(['(', ' ']).unwrap_or((version, ""));
        return match name.to_ascii_lowercase().as_str() {
            "kitty" => Kind::Kitty(at_least(number, (0, 28))),
            "ghostty" => Kind::Ghostty,
            "konsole" => Kind::Konsole,
            "wezterm" | "iterm2" | "mintty" => Kind::Iterm2,
            "xterm.js" => Kind::VsCode,
            _ => Kind::Other,
        };
    }
    match (environment.program.as_str(), environment.term.as_str(), environment.lc_terminal.as_str()) {
        _ if tmux => Kind::Other,
        (_, "xterm-ghostty", _) | ("ghostty", ..) => Kind::Ghostty,
        ("iTerm.app" | "WezTerm" | "mintty", ..) | (_, _, "iTerm2") => Kind::Iterm2,
        ("vscode", ..) => Kind::VsCode,
        _ => Kind::Other,
    }
}

/// Whether `0.41.1)` is at least a version.
fn at_least(number: &str, least: (u32, u32)) -> bool {
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= least
}

fn depth(environment: &Environment, client: Option<&TmuxClient>, tmux: bool, replies: &[Reply]) -> Depth {
    let term = environment.term.as_str();
    let says_so = matches!(environment.colorterm.as_str(), "truecolor" | "24bit");
    if tmux {
        // tmux reduces 24-bit colours by itself where the terminal outside has none, and worse than we do.
        return match client {
            Some(client) if client.features.split(',').any(|feature| feature == "RGB") => Depth::True,
            None if says_so => Depth::True,
            _ => Depth::Palette,
        };
    }
    let direct = ["kitty", "ghostty", "foot", "alacritty", "wezterm", "contour", "-direct"];
    if says_so || replies.contains(&Reply::TrueColour(true)) || direct.iter().any(|part| term.contains(part)) {
        Depth::True
    } else if term == "linux" || term.starts_with("vt") || term == "ansi" || term == "xterm" && replies.is_empty() {
        Depth::Sixteen
    } else {
        Depth::Palette
    }
}

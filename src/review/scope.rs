//! Where keys mean something, and what may be typed there.

/// A place in which a keymap gives keys a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everywhere but where something is typed, read or confirmed.
    Global,
    /// One sample, its pictures and its form.
    Sample,
    /// A choice field that has the focus.
    Choice,
    /// A field of several choices that has the focus.
    MultiChoice,
    /// A whole number that has the focus.
    Integer,
    /// A text field that has the focus and is not being edited.
    Text,
    /// An address that has the focus.
    Address,
    /// A box that has the focus.
    Box,
    /// The contact sheet.
    Sheet,
    /// The list of samples.
    Queue,
    /// The statistics.
    Stats,
    /// The tasks.
    Tasks,
    /// A line of text being typed: no verdict key acts here.
    Input,
    /// A list to pick from, with a line to narrow it.
    Picker,
    /// Help and other pages to read.
    Help,
    /// A question to answer before something large happens.
    Confirm,
}

impl Scope {
    /// Every scope, outermost first.
    pub const ALL: [Self; 16] = [
        Self::Global,
        Self::Sample,
        Self::Choice,
        Self::MultiChoice,
        Self::Integer,
        Self::Text,
        Self::Address,
        Self::Box,
        Self::Sheet,
        Self::Queue,
        Self::Stats,
        Self::Tasks,
        Self::Input,
        Self::Picker,
        Self::Help,
        Self::Confirm,
    ];

    /// The scope's name in keymap files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Sample => "sample",
            Self::Choice => "choice",
            Self::MultiChoice => "multi-choice",
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Address => "address",
            Self::Box => "box",
            Self::Sheet => "sheet",
            Self::Queue => "queue",
            Self::Stats => "stats",
            Self::Tasks => "tasks",
            Self::Input => "input",
            Self::Picker => "picker",
            Self::Help => "help",
            Self::Confirm => "confirm",
        }
    }

    /// The scope with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// The scope whose keys hold here too, where this one says nothing.
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::Choice | Self::MultiChoice | Self::Integer | Self::Text | Self::Address | Self::Box => Some(Self::Sample),
            Self::Sample | Self::Sheet | Self::Queue | Self::Stats | Self::Tasks => Some(Self::Global),
            Self::Picker => Some(Self::Input),
            Self::Global | Self::Input | Self::Help | Self::Confirm => None,
        }
    }

    /// The scope and those around it, innermost first.
    pub fn chain(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |scope| scope.parent())
    }
}

/// Which characters are text just now, before any binding is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typing {
    /// None: every key is looked up.
    Nothing,
    /// Every printable character.
    Anything,
    /// These, as for the rows of an address.
    These(Vec<char>),
}

impl Typing {
    /// Whether the character is text.
    pub fn takes(&self, c: char) -> bool {
        match self {
            Self::Nothing => false,
            Self::Anything => !c.is_control(),
            Self::These(characters) => characters.contains(&c),
        }
    }
}

/// What a key press means depends on this and on the keymap, on nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The innermost scope; the others follow from it.
    pub scope: Scope,
    /// What is text.
    pub typing: Typing,
}

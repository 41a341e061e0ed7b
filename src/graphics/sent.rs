//! What the terminal holds and shows, so that nothing is sent twice and nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};

use lru::LruCache;

use super::placement::{PictureId, blank, go};
use super::{Encoded, Key, Protocol, kitty};

/// The most that the terminal is asked to hold, in decoded bytes. kitty and Ghostty drop pictures by themselves above 320 MB,
/// all programs together.
const MOST_HELD: usize = 128 << 20;

/// A picture in a pane of the screen.
#[derive(Debug, Clone, Copy)]
pub struct Pane<'a> {
    /// The pane, 1 to 255: the same from frame to frame.
    pub pane: u8,
    /// Column and row of the picture's top left cell, from 0. Its cells are the picture's own.
    pub at: (u16, u16),
    /// What it shows.
    pub picture: &'a Encoded,
    /// Whether something is drawn over a part of it: what would be painted over that waits.
    pub covered: bool,
}

/// What a frame needs besides its text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Written before the text.
    pub before: Vec<u8>,
    /// Written after the text.
    pub after: Vec<u8>,
    /// For each pane in order, the id for [`Encoded::cells_at`]; `None` where the protocol needs none or the terminal can hold no more.
    pub ids: Vec<Option<PictureId>>,
}

/// The books on one terminal's pictures.
#[derive(Debug)]
pub struct Sent {
    session: u8,
    most_ids: u8,
    most_bytes: usize,
    held: LruCache<Key, Held>,
    bytes: usize,
    free: BTreeSet<u8>,
    panes: BTreeMap<u8, Shown>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    index: u8,
    bytes: usize,
    tmux: bool,
}

/// A picture as a pane shows it now.
#[derive(Debug, Clone, Copy)]
struct Shown {
    key: Key,
    at: (u16, u16),
    cells: (u16, u16),
    protocol: Protocol,
    tmux: bool,
    id: Option<PictureId>,
    /// Whether it is on the screen whole.
    whole: bool,
}

impl Sent {
    /// Books on a terminal that holds nothing of ours. `session` keeps the ids of several programs in one terminal apart:
    /// take something like the low byte of the process number.
    pub fn new(session: u8) -> Self {
        Self::with_limits(session, u8::MAX, MOST_HELD)
    }

    /// The same with smaller limits: how many pictures, and how many decoded bytes the terminal may hold.
    pub fn with_limits(session: u8, most_ids: u8, most_bytes: usize) -> Self {
        Self {
            session,
            most_ids,
            most_bytes,
            held: LruCache::unbounded(),
            bytes: 0,
            free: (1..=most_ids).collect(),
            panes: BTreeMap::new(),
        }
    }

    /// Goes from what the last frame showed to these panes. Panes that do not change cost nothing.
    pub fn show(&mut self, panes: &[Pane<'_>]) -> Drawn {
        let mut drawn = Drawn::default();
        let gone: Vec<u8> = self.panes.keys().copied().filter(|old| !panes.iter().any(|pane| pane.pane == *old)).collect();
        for pane in gone {
            if let Some(old) = self.panes.remove(&pane) {
                take_away(&mut drawn.before, pane, &old);
            }
        }
        for pane in panes {
            let differs = |old: &Shown| old.key != pane.picture.key() || old.at != pane.at;
            if let Some(old) = self.panes.get(&pane.pane).copied().filter(differs) {
                self.panes.remove(&pane.pane);
                take_away(&mut drawn.before, pane.pane, &old);
            }
        }
        let pinned: BTreeSet<Key> = panes.iter().map(|pane| pane.picture.key()).collect();
        for pane in panes {
            let id = self.hold(pane.picture, &pinned, &mut drawn.before);
            drawn.ids.push(id);
            self.put(pane, id, &mut drawn.after);
        }
        drawn
    }

    /// Sends a picture that no pane shows yet, so that showing it later costs a few bytes. Empty when the terminal has it, keeps
    /// no pictures, or could take it only in exchange for one in sight.
    pub fn send_ahead(&mut self, picture: &Encoded) -> Vec<u8> {
        let mut out = Vec::new();
        let pinned: BTreeSet<Key> = self.panes.values().map(|shown| shown.key).chain([picture.key()]).collect();
        self.hold(picture, &pinned, &mut out);
        out
    }

    /// Whether showing a picture needs no transmission.
    pub fn has(&self, picture: &Encoded) -> bool {
        !picture.protocol().keeps_pictures() || self.held.contains(&picture.key())
    }

    /// Whether a pane shows this picture there, whole, so that showing it again costs nothing.
    pub fn shows(&self, pane: u8, at: (u16, u16), picture: &Encoded) -> bool {
        self.panes.get(&pane).is_some_and(|shown| shown.whole && shown.at == at && shown.key == picture.key())
    }

    /// Something else was drawn over these cells (a popup, now closed): pictures there are painted again.
    pub fn damage(&mut self, at: (u16, u16), cells: (u16, u16)) {
        let meets = |a: u16, length: u16, b: u16, other: u16| a < b.saturating_add(other) && b < a.saturating_add(length);
        for shown in self.panes.values_mut() {
            if meets(shown.at.0, shown.cells.0, at.0, cells.0) && meets(shown.at.1, shown.cells.1, at.1, cells.1) {
                shown.whole = false;
            }
        }
    }

    /// The screen was cleared or is another terminal's now: everything is sent again when it is shown next. The bytes delete
    /// what may still be there; write them before the next frame.
    pub fn forget_all(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for (_, held) in &self.held {
            kitty::delete(&mut out, PictureId { index: held.index, session: self.session }, held.tmux);
        }
        self.held.clear();
        self.panes.clear();
        self.bytes = 0;
        self.free = (1..=self.most_ids).collect();
        out
    }

    /// Takes everything of ours off the terminal: painted pictures, placements, and what it holds.
    pub fn clear(&mut self) -> Vec<u8> {
        let mut out = self.show(&[]).before;
        out.extend(self.forget_all());
        out
    }

    /// The numbers of the pictures that the terminal is believed to hold, in order.
    pub fn held(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> =
            self.held.iter().map(|(_, held)| PictureId { index: held.index, session: self.session }.number()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Makes the terminal hold a picture; the least recently used that is not pinned goes where there is no room.
    fn hold(&mut self, picture: &Encoded, pinned: &BTreeSet<Key>, out: &mut Vec<u8>) -> Option<PictureId> {
        if !picture.protocol().keeps_pictures() {
            return None;
        }
        let (key, session) = (picture.key(), self.session);
        if let Some(held) = self.held.get(&key) {
            return Some(PictureId { index: held.index, session });
        }
        let bytes = picture.held();
        if bytes > self.most_bytes {
            return None;
        }
        while self.free.is_empty() || self.bytes + bytes > self.most_bytes {
            let oldest = self.held.iter().rev().map(|(key, _)| *key).find(|key| !pinned.contains(key))?;
            let held = self.held.pop(&oldest)?;
            self.bytes -= held.bytes;
            self.free.insert(held.index);
            kitty::delete(out, PictureId { index: held.index, session }, held.tmux);
        }
        let index = self.free.pop_first()?;
        let id = PictureId { index, session };
        picture.transmit(out, id);
        self.bytes += bytes;
        self.held.put(key, Held { index, bytes, tmux: picture.tmux() });
        Some(id)
    }

    fn put(&mut self, pane: &Pane<'_>, id: Option<PictureId>, out: &mut Vec<u8>) {
        let picture = pane.picture;
        let protocol = picture.protocol();
        if self.panes.get(&pane.pane).is_some_and(|old| old.whole && old.id == id) {
            return;
        }
        let waits = protocol.paints() && pane.covered;
        if !waits {
            match (protocol, id) {
                (Protocol::KittyDirect, Some(id)) => {
                    at_cursor(out, pane.at, |out| kitty::place(out, id, pane.pane, picture.cells(), picture.tmux()));
                }
                (Protocol::Iterm2 | Protocol::Sixel, _) => at_cursor(out, pane.at, |out| picture.paint(out)),
                _ => {}
            }
        }
        let shown = Shown { key: picture.key(), at: pane.at, cells: picture.cells(), protocol, tmux: picture.tmux(), id, whole: !waits };
        self.panes.insert(pane.pane, shown);
    }
}

/// Writes something at a cell and brings the cursor back.
fn at_cursor(out: &mut Vec<u8>, at: (u16, u16), write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"\x1b7");
    go(out, at);
    write(out);
    out.extend_from_slice(b"\x1b8");
}

fn take_away(out: &mut Vec<u8>, pane: u8, old: &Shown) {
    match (old.protocol, old.id) {
        (Protocol::KittyDirect, Some(id)) => kitty::unplace(out, id, pane, old.tmux),
        (Protocol::Iterm2 | Protocol::Sixel, _) => {
            out.extend_from_slice(b"\x1b7");
            blank(out, old.at, old.cells);
            out.extend_from_slice(b"\x1b8");
        }
        _ => {}
    }
}

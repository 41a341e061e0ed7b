//! The event loop: everything that waits is handled, then one frame is drawn.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossterm::event::{Event, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;

use super::frame::{Screen, Shown};
use super::gallery::{Gallery, Wanted};
use super::guard::Guard;
use super::theme::Theme;
use super::view::{self, Hit, Paint};
use super::{Inbox, Incoming, Options, Orders, Wires, input};
use crate::conversation::ImageRole;
use crate::domain::{self, SampleId};
use crate::graphics::{Colours, Detected, Environment, detect, query};
use crate::keys::{Fed, Hint, Keymap, Pending};
use crate::review::{self, Action, Effect, Entry, Form, Input, InputKind, Message, Picture, Point, State, update};

/// Between two frames.
const FRAME: Duration = Duration::from_millis(10);
/// Silence after which a picture is sent ahead.
const IDLE: Duration = Duration::from_millis(5);
/// Silence of the keyboard after which a picture is sent that the terminal does not keep.
const SETTLED: Duration = Duration::from_millis(80);
/// Between two ticks.
const TICK: Duration = Duration::from_secs(1);

/// Reviews until the reviewer quits or the program is told to end; everything is handed over to be saved by then.
pub fn run(options: Options, inbox: &Inbox, incoming: Receiver<Incoming>, wires: Wires) -> io::Result<()> {
    let guard = Guard::take()?;
    // What the theme leaves out is left out there; pictures need their colours.
    crossterm::style::force_color_output(true);
    let environment = Environment::of_process();
    let answers = query::ask(guard.tty(), &environment, query::LIMIT)?;
    let detected = detect(&environment, &answers.bytes, answers.window, answers.client.as_ref(), options.images);
    let name = detected.terminal.as_deref().unwrap_or("unnamed");
    let (protocol, forced) = (detected.protocol, options.images.is_some());
    tracing::info!(name, %protocol, forced, tmux = detected.tmux, depth = ?detected.depth, "terminal detected");
    guard.listen()?;
    let orders = (wires.pictures)(detected.target(Colours::Palette))?;
    listen(inbox)?;

    let (state, effects) = State::new(options.setup);
    let mut app = App {
        state,
        keymap: options.keymap,
        colours: options.colours,
        title: options.title,
        detected,
        pending: Pending::default(),
        hints: Vec::new(),
        gallery: Gallery::new(),
        neighbours: Vec::new(),
        effects: wires.effects,
        orders,
        screen: Screen::new()?,
        guard,
        shown: None,
        key_at: None,
        dirty: true,
        over: false,
    };
    app.carry_out(effects)?;
    let ended = app.go_on(&incoming);
    // From here on nobody waits to be heard.
    drop(incoming);
    let App { mut screen, guard, .. } = app;
    // The terminal may be gone by now.
    let _ = screen.leave(guard.tty());
    ended
}

/// Hands in what happens at the terminal, and the signals that end the program.
fn listen(inbox: &Inbox) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    let ends = inbox.clone();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if ends.send(Incoming::End).is_err() {
                return;
            }
        }
    });
    let events = inbox.clone();
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            if events.send(Incoming::Terminal(event)).is_err() {
                return;
            }
        }
        // The terminal is gone.
        let _ = events.send(Incoming::End);
    });
    Ok(())
}

struct App {
    state: State,
    keymap: Keymap,
    colours: bool,
    title: String,
    detected: Detected,
    pending: Pending,
    hints: Vec<Hint>,
    gallery: Gallery,
    /// The samples that are probably wanted next.
    neighbours: Vec<SampleId>,
    effects: Box<dyn FnMut(Effect)>,
    orders: Orders,
    screen: Screen,
    guard: Guard,
    shown: Option<Shown>,
    /// When a key was pressed last.
    key_at: Option<Instant>,
    dirty: bool,
    over: bool,
}

impl App {
    fn go_on(&mut self, incoming: &Receiver<Incoming>) -> io::Result<()> {
        let (mut drawn, mut ticked) = (Instant::now(), Instant::now());
        let mut more_to_send = true;
        self.draw()?;
        while !self.over {
            let now = Instant::now();
            let tick = (ticked + TICK).saturating_duration_since(now);
            let tick = if more_to_send { tick.min(IDLE) } else { tick };
            let held_back = self.shown.as_ref().is_some_and(|shown| shown.held_back);
            let tick = if held_back { tick.min(self.unsettled()) } else { tick };
            let wait = if self.dirty { (drawn + FRAME).saturating_duration_since(now).min(tick) } else { tick };
            match incoming.recv_timeout(wait) {
                Ok(first) => {
                    self.take(first)?;
                    while let Some(next) = incoming.try_recv().ok().filter(|_| !self.over) {
                        self.take(next)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.dirty |= held_back && self.unsettled().is_zero();
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.tell(InputKind::Tick)?;
            }
            if self.dirty && !self.over && drawn.elapsed() >= FRAME {
                self.draw()?;
                drawn = Instant::now();
                more_to_send = true;
            } else if !self.dirty && more_to_send {
                more_to_send = self.send_ahead()?;
            }
        }
        Ok(())
    }

    fn take(&mut self, incoming: Incoming) -> io::Result<()> {
        match incoming {
            Incoming::Terminal(event) => self.event(event),
            Incoming::Message(message) => self.tell(InputKind::Message(message)),
            Incoming::Picture(arrived) => {
                self.dirty |= self.gallery.take(arrived);
                Ok(())
            }
            Incoming::End => {
                // What is typed is handed over to be saved; whoever holds the store finishes it.
                self.tell(InputKind::Action { action: Action::Quit, count: None })?;
                self.over = true;
                Ok(())
            }
        }
    }

    fn event(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Key(key) => {
                let Some(chord) = input::chord(key) else { return Ok(()) };
                self.key_at = Some(Instant::now());
                if self.state.wants_a_frame() {
                    self.draw()?;
                }
                let fed = self.pending.feed(&self.keymap, &self.state.context(), chord);
                self.dirty = true;
                self.hints.clear();
                match fed {
                    Fed::Action(action, count) => self.tell(InputKind::Action { action, count }),
                    Fed::Text(c) => self.tell(InputKind::Text(c.to_string())),
                    Fed::Pending(hints) => {
                        self.hints = hints;
                        Ok(())
                    }
                    Fed::Nothing => Ok(()),
                }
            }
            Event::Paste(text) => {
                let anything = self.state.context().typing == review::Typing::Anything;
                if anything { self.tell(InputKind::Text(domain::printable(&text).into_owned())) } else { Ok(()) }
            }
            Event::Mouse(mouse) => match self.pointed(mouse) {
                Some(point) => self.tell(InputKind::Point(point)),
                None => Ok(()),
            },
            Event::Resize(..) => {
                self.dirty = true;
                self.screen.anew()
            }
            Event::FocusGained | Event::FocusLost => Ok(()),
        }
    }

    /// How long the keyboard must still be silent before pictures are sent that the terminal does not keep.
    fn unsettled(&self) -> Duration {
        self.key_at.map_or(Duration::ZERO, |at| SETTLED.saturating_sub(at.elapsed()))
    }

    /// What a mouse points at in the last frame.
    fn pointed(&self, mouse: MouseEvent) -> Option<Point> {
        let shown = self.shown.as_ref()?;
        let at = Position { x: mouse.column, y: mouse.row };
        let hit = shown.scene.hits.iter().rev().find(|(area, _)| area.contains(at)).map(|(_, hit)| *hit)?;
        match (mouse.kind, hit) {
            (MouseEventKind::ScrollUp, Hit::Picture(_)) => Some(Point::Wheel { closer: true }),
            (MouseEventKind::ScrollDown, Hit::Picture(_)) => Some(Point::Wheel { closer: false }),
            (MouseEventKind::Down(MouseButton::Left), Hit::At(point)) => Some(point),
            (MouseEventKind::Down(MouseButton::Left), Hit::Picture(slot)) => {
                let (_, corner, arrived) = shown.pictures.iter().find(|(index, ..)| *index == slot)?;
                let cell = |pointed: u16, corner: u16| f64::from(pointed) - f64::from(corner) + 0.5;
                let share = arrived.outcome.as_ref().ok()?.share_at((cell(at.x, corner.0), cell(at.y, corner.1)))?;
                arrived.grid.as_ref()?.nearest(share).map(Point::Cell)
            }
            _ => None,
        }
    }

    /// One step of the state.
    fn tell(&mut self, kind: InputKind) -> io::Result<()> {
        self.dirty |= !matches!(kind, InputKind::Drawn { .. });
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let input = Input { time_ms: since.as_millis() as i64, seed: since.as_nanos() as u64, kind };
        let effects = update(&mut self.state, input);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> io::Result<()> {
        for effect in effects {
            match effect {
                Effect::Pictures { samples, .. } => self.neighbours = samples,
                Effect::Suspend => {
                    self.screen.leave(self.guard.tty())?;
                    self.guard.suspend()?;
                    self.screen.anew()?;
                    self.dirty = true;
                }
                Effect::Quit => self.over = true,
                other => (self.effects)(other),
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        self.dirty = false;
        let hold_back = !self.unsettled().is_zero();
        let paint = Paint {
            state: &self.state,
            keymap: &self.keymap,
            hints: &self.hints,
            pending: &self.pending,
            theme: Theme::new(self.state.theme, self.colours),
            title: &self.title,
            detected: Some(&self.detected),
        };
        let shown = self.screen.draw(self.guard.tty(), &paint, &mut self.gallery, hold_back)?;
        let wanted = self.wanted(&shown);
        if let Some(orders) = self.gallery.orders(wanted) {
            (self.orders)(orders);
        }
        if shown.scene.layout != self.state.layout {
            let layout = shown.scene.layout;
            self.shown = Some(shown);
            self.tell(InputKind::Resize(layout))?;
            return Ok(());
        }
        let zoom = self.hand_over_pictures(&shown)?;
        self.shown = Some(shown);
        let shown = match (self.state.screen, zoom) {
            (review::Screen::Sample, Some(zoom)) => domain::Shown::Sample { protocol: self.detected.protocol.to_string(), zoom },
            (review::Screen::Sheet, _) => domain::Shown::Thumbnail,
            _ => domain::Shown::NotShown,
        };
        self.tell(InputKind::Drawn { shown })
    }

    /// Tells the desk which of its pictures this frame has shown; at how many percent the query picture was.
    fn hand_over_pictures(&mut self, shown: &Shown) -> io::Result<Option<u32>> {
        let mut zoom = None;
        for (slot, _, arrived) in &shown.pictures {
            let wanted = &shown.scene.slots[*slot].wanted;
            let Some(desk) =
                self.state.desk.as_ref().filter(|desk| desk.entry().id == wanted.sample && !wanted.thumbnail && !wanted.close_up)
            else {
                continue;
            };
            let known = match wanted.role {
                ImageRole::Query => &desk.query,
                ImageRole::Reference => &desk.reference,
                ImageRole::Exemplar => &desk.exemplar,
                ImageRole::Difference => continue,
            };
            let outcome = arrived.outcome.as_ref().map(|made| made.content).map_err(Clone::clone);
            if let (ImageRole::Query, Ok(made)) = (wanted.role, &arrived.outcome) {
                zoom = Some((100 * made.frame.size.0 / made.frame.part.2.max(1)).max(1));
            }
            let same = match (&outcome, known) {
                (Ok(content), Picture::Ready(hash)) => content == hash,
                (Err(problem), Picture::Failed(told)) => problem == told,
                _ => false,
            };
            if !same {
                let (generation, sample, role) = (desk.generation, wanted.sample.clone(), wanted.role);
                self.tell(InputKind::Message(Message::Picture { generation, sample, role, outcome }))?;
            }
        }
        Ok(zoom)
    }

    /// Everything that is in sight, then what will be next.
    fn wanted(&self, shown: &Shown) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = shown.scene.slots.iter().map(|slot| slot.wanted.clone()).collect();
        if self.state.screen == review::Screen::Sample {
            for sample in self.neighbours.iter().skip(1) {
                let Some(entry) = self.known(sample) else { continue };
                let form = Form::new(self.state.schema.clone(), entry.clone());
                wanted.extend(view::ahead(&self.state, &shown.scene, &form));
            }
        }
        wanted
    }

    fn known(&self, sample: &SampleId) -> Option<&std::sync::Arc<Entry>> {
        self.state.queue.row(self.state.queue.place_of(sample)?)
    }

    /// A terminal that keeps pictures gets the next ones while nothing else is to do, one at a time; `false` when it has them.
    fn send_ahead(&mut self) -> io::Result<bool> {
        if !self.detected.protocol.keeps_pictures() {
            return Ok(false);
        }
        let Some(shown) = &self.shown else { return Ok(false) };
        for wanted in self.wanted(shown) {
            let picture = self.gallery.get(&wanted).and_then(|arrived| arrived.outcome.ok());
            if let Some(made) = picture
                && self.screen.send_ahead(self.guard.tty(), &made.picture)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

//! A run on a terminal: its curves below the lines that stay.

use std::io::{self, IsTerminal, Stdout};

use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph, Widget};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use crate::train::{Event, StepReport};

/// Rows that the view takes.
const HEIGHT: u16 = 16;
/// The most points of a curve; more are thinned out.
const MOST_POINTS: usize = 2000;

/// Points of a curve: share of the run, and value.
type Curve = Vec<(f64, f64)>;

/// Curves of a run.
#[derive(Debug, Default)]
pub(super) struct Curves {
    last: Option<StepReport>,
    /// Shares of the run with the logarithms (to 10) of losses.
    answer: Curve,
    dense: Curve,
    /// Shares of the run with shares of right answers.
    zero_shot: Curve,
    one_shot: Curve,
}

impl Curves {
    /// Takes what has happened.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Step(step) => {
                push(&mut self.answer, step.progress, log(step.answer_loss));
                if let Some(loss) = step.dense_loss {
                    push(&mut self.dense, step.progress, log(loss));
                }
                self.last = Some(*step);
            }
            Event::Evaluation(found) => {
                let progress = self.last.map_or(0.0, |step| step.progress);
                for (curve, share) in [(&mut self.zero_shot, found.zero_shot), (&mut self.one_shot, found.one_shot)] {
                    if let Some(share) = share {
                        push(curve, progress, share);
                    }
                }
            }
            Event::Planned { .. } | Event::Checkpoint { .. } | Event::Again | Event::Smaller { .. } | Event::Resumed { .. } => {}
        }
    }

    /// Draws them.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let [head, charts] = Layout::vertical([Constraint::Length(1), Constraint::Min(4)]).areas(frame.area());
        let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(charts);
        frame.render_widget(Paragraph::new(self.head()), head);
        let all = self.answer.iter().chain(&self.dense).map(|(_, loss)| *loss);
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), loss| (low.min(loss), high.max(loss)));
        let (low, high) = if low < high { (low.floor(), high.ceil()) } else { (-1.0, 1.0) };
        let losses = [("answer", Color::Cyan, &self.answer), ("vision tokens", Color::Magenta, &self.dense)];
        let labels = [low, f64::midpoint(low, high), high].map(|power| format!("{:.2e}", 10_f64.powf(power)));
        chart(frame, left, "loss", &losses, ([low, high], labels));
        let shares = [("zero-shot", Color::Green, &self.zero_shot), ("one-shot", Color::Yellow, &self.one_shot)];
        chart(frame, right, "held out: whole answers right", &shares, ([0.0, 1.0], ["0", "0.5", "1"].map(str::to_owned)));
    }

    fn head(&self) -> Line<'static> {
        let Some(step) = self.last else { return Line::from("the first examples are drawn") };
        let left = step.seconds * (1.0 - step.progress) / step.progress.max(1e-9);
        let memory = step.memory.map(|bytes| format!("  memory {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
        let strong = Style::new().bold();
        Line::from(vec![
            Span::styled(format!("step {}  {:.1} %", step.step, step.progress * 100.0), strong),
            Span::raw(format!("  {} so far, {} left  {:.0} samples/s{memory}", time(step.seconds), time(left), step.samples_per_second)),
            Span::raw(format!("  rate {:.1e}  gradient {:.2}", step.learning_rate, step.gradient)),
        ])
    }
}

fn log(loss: f64) -> f64 {
    loss.max(1e-6).log10()
}

/// Hours, minutes and seconds.
fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn push(curve: &mut Curve, x: f64, y: f64) {
    if curve.len() >= MOST_POINTS {
        let mut nth = 0_usize;
        curve.retain(|_| {
            nth += 1;
            nth.is_multiple_of(2)
        });
    }
    curve.push((x, y));
}

fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &'static str,
    curves: &[(&'static str, Color, &Curve)],
    (bounds, labels): ([f64; 2], [String; 3]),
) {
    let datasets = curves.iter().filter(|(.., points)| !points.is_empty()).map(|(name, colour, points)| {
        Dataset::default().name(*name).marker(Marker::Braille).graph_type(GraphType::Line).style(Style::new().fg(*colour)).data(points)
    });
    Chart::new(datasets.collect())
        .hidden_legend_constraints((Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)))
        .block(Block::bordered().title(title))
        .x_axis(Axis::default().bounds([0.0, 1.0]).labels(["0 %", "50 %", "100 %"]))
        .y_axis(Axis::default().bounds(bounds).labels(labels))
        .render(area, frame.buffer_mut());
}

/// The view on the terminal.
pub(super) struct View {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    curves: Curves,
}

impl View {
    /// A view where standard output is a terminal that can be drawn on.
    pub(super) fn new() -> Option<Self> {
        if !io::stdout().is_terminal() {
            return None;
        }
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        let terminal = Terminal::with_options(CrosstermBackend::new(io::stdout()), options).ok()?;
        Some(Self { terminal, curves: Curves::default() })
    }

    /// Takes what has happened; a line that is to stay goes above the curves.
    pub(super) fn take(&mut self, event: &Event, line: Option<&str>) -> io::Result<()> {
        self.curves.take(event);
        if let Some(line) = line {
            self.terminal.insert_before(1, |buffer| Paragraph::new(line).render(buffer.area, buffer))?;
        }
        self.terminal.draw(|frame| self.curves.draw(frame))?;
        Ok(())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // What is printed next stands where the curves were. A terminal that has gone away needs nothing.
        let top = self.terminal.get_frame().area().y;
        let _ = self.terminal.clear().and_then(|()| self.terminal.set_cursor_position((0, top))).and_then(|()| self.terminal.show_cursor());
    }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::train::EvaluationReport;

    #[test]
    fn curves_and_figures_are_shown() {
        let mut curves = Curves::default();
        for nth in 1..=5000_u64 {
            let progress = nth as f64 / 10_000.0;
            let step = StepReport {
                step: nth,
                progress,
                answer_loss: 6.0 / nth as f64,
                dense_loss: Some(2.0),
                learning_rate: 1e-3,
                gradient: 0.5,
                samples_per_second: 2048.0,
                seconds: nth as f64,
                memory: Some(12_300_000_000),
                peak_memory: None,
            };
            curves.take(&Event::Step(step));
        }
        let found = EvaluationReport { step: 5000, zero_shot: Some(0.5), one_shot: None, loss: 0.1, best: true };
        curves.take(&Event::Evaluation(found));
        assert!(curves.answer.len() <= MOST_POINTS && curves.one_shot.is_empty());
        let mut terminal = Terminal::new(TestBackend::new(110, 16)).unwrap();
        terminal.draw(|frame| curves.draw(frame)).unwrap();
        let text = terminal.backend().to_string();
        for shown in ["step 5000  50.0 %", "1:23:20 left", "2048 samples/s", "12.3 GB", "loss", "vision tokens", "whole answers right"] {
            assert!(text.contains(shown), "{shown}\n{text}");
        }
    }
}

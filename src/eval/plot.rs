//! Figures as pictures: reliability diagrams, confusion matrices, bars with intervals; as SVG, and as PNG.

mod bars;
mod matrix;
mod reliability;

use std::sync::OnceLock;

use image::{ExtendedColorType, ImageEncoder};
use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, Color, DrawingArea, DrawingBackend, IntoDrawingArea, RGBColor, SVGBackend, TextStyle, WHITE};
use plotters::style::{FontStyle, IntoFont, register_font};

use super::{Bin, Confusion};
use crate::domain::printable;

/// A picture of figures. Text is written as it is given, but for control characters; its author knows the language. In
/// PNG files, letters that DejaVu Sans lacks (Chinese, Japanese) are boxes; SVG files leave letters to whoever shows them.
#[derive(Debug, Clone, PartialEq)]
pub enum Plot {
    /// How often a model is right where it is how sure.
    Reliability {
        /// What is measured.
        title: String,
        /// Bins of confidence from 0 to 1.
        bins: Vec<Bin>,
        /// The expected calibration error, 0 to 1.
        ece: f64,
    },
    /// What is taken for what.
    Matrix {
        /// What is measured.
        title: String,
        /// The counts.
        confusion: Confusion,
    },
    /// Shares side by side, with their intervals.
    Bars {
        /// What is measured.
        title: String,
        /// What each bar of a group stands for.
        series: Vec<String>,
        /// The groups, from left to right.
        groups: Vec<BarGroup>,
    },
}

/// Bars that stand together.
#[derive(Debug, Clone, PartialEq)]
pub struct BarGroup {
    /// What they are about.
    pub name: String,
    /// For each series a share from 0 to 1 with both ends of its interval; none where it was not measured.
    pub bars: Vec<Option<(f64, (f64, f64))>>,
}

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot could not be drawn: {0}")]
pub struct PlotError(String);

/// The family under which letters are known here, and which any viewer of an SVG file has.
const FAMILY: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(205, 209, 216);
/// Colours that people with any common colour vision can tell apart.
const SERIES: [RGBColor; 4] = [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

type Outcome = Result<(), String>;

impl Plot {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32) {
        match self {
            Self::Reliability { .. } => (480, 520),
            Self::Matrix { confusion, .. } => matrix::size(confusion),
            Self::Bars { groups, .. } => bars::size(groups.len()),
        }
    }

    /// The picture as SVG text.
    pub fn svg(&self) -> Result<String, PlotError> {
        letters()?;
        let mut text = String::new();
        let root = SVGBackend::with_string(&mut text, self.size()).into_drawing_area();
        self.draw(&root).map_err(PlotError)?;
        drop(root);
        Ok(text)
    }

    /// The picture as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        letters()?;
        let (width, height) = self.size();
        let mut pixels = vec![0; width as usize * height as usize * 3];
        let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        self.draw(&root).map_err(PlotError)?;
        drop(root);
        let mut file = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut file);
        encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).map_err(|error| PlotError(error.to_string()))?;
        Ok(file)
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>) -> Outcome {
        root.fill(&WHITE).map_err(told)?;
        match self {
            Self::Reliability { title, bins, ece } => reliability::draw(root, &clean(title), bins, *ece),
            Self::Matrix { title, confusion } => matrix::draw(root, &clean(title), confusion),
            Self::Bars { title, series, groups } => bars::draw(root, &clean(title), series, groups),
        }?;
        root.present().map_err(told)
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn clean(text: &str) -> String {
    printable(text).into_owned()
}

/// The first letters of a text that is too long for its place.
fn cut(text: &str, most: usize) -> String {
    let text = clean(text);
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

fn ink(size: u32) -> TextStyle<'static> {
    (FAMILY, size).into_font().color(&INK.mix(1.0))
}

/// Makes the letters known, once.
fn letters() -> Result<(), PlotError> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    let known = *KNOWN.get_or_init(|| {
        let faces = [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())];
        faces.into_iter().all(|(style, face)| register_font(FAMILY, style, face).is_ok())
    });
    if known { Ok(()) } else { Err(PlotError("its letters cannot be read".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_plot(word: &str) -> Vec<Plot> {
        let bin = |n: u64| Bin { count: n, confidence: (n as f64 + 0.5) / 15.0, accuracy: n as f64 / 15.0 };
        let confusion = Confusion { values: vec![word.to_owned(), "b".repeat(80)], counts: vec![vec![3, 1], vec![0, 12_345]] };
        let bars = vec![Some((0.5, (0.4, 0.6))), None];
        vec![
            Plot::Reliability { title: word.to_owned(), bins: (0..15).map(bin).collect(), ece: 0.1 },
            Plot::Reliability { title: String::new(), bins: vec![], ece: 0.0 },
            Plot::Matrix { title: word.to_owned(), confusion },
            Plot::Matrix { title: word.to_owned(), confusion: Confusion { values: vec![], counts: vec![] } },
            Plot::Bars {
                title: word.to_owned(),
                series: vec![word.to_owned(), "b".into()],
                groups: vec![BarGroup { name: word.to_owned(), bars }],
            },
            Plot::Bars { title: word.to_owned(), series: vec![], groups: vec![] },
        ]
    }

    #[test]
    fn words_of_any_language_are_drawn() {
        for plot in every_plot("不良 <&> \u{1b}[31m 🎉") {
            let svg = plot.svg().unwrap();
            assert!(!svg.contains('\u{1b}') && !svg.contains("<&>") && svg.ends_with("</svg>\n"), "{svg}");
            assert!(matches!(plot, Plot::Reliability { ref bins, .. } if bins.is_empty()) || svg.contains("不良 &lt;&amp;&gt;"), "{svg}");
            let png = plot.png().unwrap();
            let size = image::load_from_memory(&png).unwrap();
            assert_eq!((size.width(), size.height()), plot.size());
        }
    }
}

//! How the picture is looked at.

use super::Action;

/// The picture in the large place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Face {
    /// The picture that is asked about.
    #[default]
    Query,
    /// The good product, flipped to and back.
    Reference,
    /// The difference of both.
    Difference,
}

impl Face {
    /// The other face, or back to the query.
    fn flipped(self, to: Self) -> Self {
        if self == to { Self::Query } else { to }
    }
}

/// Zoom, place and appearance of the picture. It stays from sample to sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Percent of real pixels; `None` shows the whole picture.
    pub zoom: Option<u32>,
    /// At how many percent the whole picture was last shown: where zooming in starts from. A small picture on a large
    /// screen is shown larger than its pixels already.
    pub fitted: u32,
    /// The middle of what is seen, as a share of the width and of the height.
    pub centre: (f64, f64),
    /// Which picture stands in the large place.
    pub face: Face,
    /// The address grid is drawn.
    pub grid: bool,
    /// Boxes are drawn.
    pub overlay: bool,
    /// The picture fills the screen.
    pub full_screen: bool,
    /// Contrast, -5 to 5.
    pub contrast: i8,
    /// Brightness, -5 to 5.
    pub brightness: i8,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            zoom: None,
            fitted: 0,
            centre: (0.5, 0.5),
            face: Face::Query,
            grid: false,
            overlay: true,
            full_screen: false,
            contrast: 0,
            brightness: 0,
        }
    }
}

/// Steps of the zoom, in percent of real pixels.
const ZOOMS: [u32; 8] = [25, 50, 100, 200, 400, 800, 1600, 3200];
/// The least first step in from the whole picture: on half-blocks, everything below shows less than a pixel a dot.
const FIRST_ZOOM: u32 = 100;

impl Look {
    /// Does what the action means to the look; `false` when it means nothing.
    pub fn act(&mut self, action: Action) -> bool {
        let pan = |share: f64, by: f64| (share + by).clamp(0.0, 1.0);
        let reach = 25.0 / f64::from(self.zoom.unwrap_or(FIRST_ZOOM)).max(25.0);
        let nudge = |value: i8, by: i8| (value + by).clamp(-5, 5);
        match action {
            Action::ZoomIn => {
                let now = self.zoom.unwrap_or_else(|| self.fitted.max(FIRST_ZOOM - 1));
                self.zoom = ZOOMS.into_iter().find(|step| *step > now).or(self.zoom);
            }
            Action::ZoomOut => {
                let fitted = self.fitted;
                self.zoom = self.zoom.and_then(|now| ZOOMS.into_iter().rev().find(|step| *step < now && *step > fitted));
            }
            Action::ZoomPixels => self.zoom = if self.zoom.is_none() { Some(FIRST_ZOOM) } else { None },
            Action::PanLeft => self.centre.0 = pan(self.centre.0, -reach),
            Action::PanRight => self.centre.0 = pan(self.centre.0, reach),
            Action::PanUp => self.centre.1 = pan(self.centre.1, -reach),
            Action::PanDown => self.centre.1 = pan(self.centre.1, reach),
            Action::Blink => self.face = self.face.flipped(Face::Reference),
            Action::Difference => self.face = self.face.flipped(Face::Difference),
            Action::Grid => self.grid = !self.grid,
            Action::Overlay => self.overlay = !self.overlay,
            Action::FullScreen => self.full_screen = !self.full_screen,
            Action::ContrastUp => self.contrast = nudge(self.contrast, 1),
            Action::ContrastDown => self.contrast = nudge(self.contrast, -1),
            Action::BrightnessUp => self.brightness = nudge(self.brightness, 1),
            Action::BrightnessDown => self.brightness = nudge(self.brightness, -1),
            Action::ResetLook => *self = Self { full_screen: self.full_screen, fitted: self.fitted, ..Self::default() },
            _ => return false,
        }
        true
    }
}

//! Sixel: bands of six rows, one pass per colour.

use image::RgbaImage;

use super::palette::Indexed;
use super::placement::push;

/// The whole escape for a picture of at most `registers` colours. Transparent dots are left as they are on the screen.
pub(super) fn escape(picture: &RgbaImage, registers: u16) -> Vec<u8> {
    let few = Indexed::new(picture, registers);
    let width = picture.width() as usize;
    let mut out = Vec::with_capacity(few.indices.len() * 3 / 2);
    // Dots are square, and what is not painted stays.
    push(&mut out, format_args!("\x1bP0;1;0q\"1;1;{};{}", picture.width(), picture.height()));
    for (register, colour) in few.palette.iter().enumerate() {
        let [r, g, b] = colour.map(|v| (u32::from(v) * 100 + 127) / 255);
        push(&mut out, format_args!("#{register};2;{r};{g};{b}"));
    }
    for (number, band) in few.indices.chunks(width * 6).enumerate() {
        if number > 0 {
            out.push(b'-');
        }
        paint(&mut out, band, width, few.palette.len());
    }
    out.extend_from_slice(b"\x1b\\");
    out
}

/// One band. Colours whose columns do not overlap share a pass, which saves going back to the left.
fn paint(out: &mut Vec<u8>, band: &[u8], width: usize, colours: usize) {
    let mut columns = vec![0_u8; colours * width];
    let mut spans = vec![(usize::MAX, 0_usize); colours];
    for (row, line) in band.chunks(width).enumerate() {
        for (x, index) in line.iter().enumerate() {
            let index = usize::from(*index);
            if index < colours {
                columns[index * width + x] |= 1 << row;
                let span = &mut spans[index];
                *span = (span.0.min(x), span.1.max(x + 1));
            }
        }
    }
    let mut waiting: Vec<usize> = (0..colours).filter(|colour| spans[*colour].1 > 0).collect();
    waiting.sort_by_key(|colour| spans[*colour]);
    let mut first = true;
    while !waiting.is_empty() {
        if !std::mem::take(&mut first) {
            out.push(b'$');
        }
        let mut at = 0;
        waiting.retain(|colour| {
            let (start, end) = spans[*colour];
            if start < at {
                return true;
            }
            push(out, format_args!("#{colour}"));
            run(out, 0, start - at);
            let line = &columns[colour * width + start..colour * width + end];
            for same in line.chunk_by(|a, b| a == b) {
                run(out, same[0], same.len());
            }
            at = end;
            false
        });
    }
}

/// The same six dots so many times.
fn run(out: &mut Vec<u8>, dots: u8, times: usize) {
    let letter = b'?' + dots;
    if times > 3 {
        push(out, format_args!("!{times}{}", char::from(letter)));
    } else {
        out.resize(out.len() + times, letter);
    }
}

//! The mel filters Whisper was trained with: librosa's slaney scale at 16 kHz, 400-point transform, 0 to 8 kHz.

/// Filters.
pub(super) const BANDS: usize = 80;
/// Bins of a 400-point transform of real sound, 40 Hz apart.
pub(super) const BINS: usize = 201;

/// Row-major `BANDS` × `BINS`; row `i` is a triangle whose area is one in hertz.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small indices; f32 is the file's")]
pub(super) fn filters() -> Vec<f32> {
    let top = mel(8000.0);
    let corners: Vec<f64> = (0..BANDS + 2).map(|index| hertz(top * index as f64 / (BANDS + 1) as f64)).collect();
    let mut filters = Vec::with_capacity(BANDS * BINS);
    for corner in corners.windows(3) {
        for bin in 0..BINS {
            let frequency = 40.0 * bin as f64;
            let rising = (frequency - corner[0]) / (corner[1] - corner[0]);
            let falling = (corner[2] - frequency) / (corner[2] - corner[1]);
            filters.push((rising.min(falling).max(0.0) * 2.0 / (corner[2] - corner[0])) as f32);
        }
    }
    filters
}

fn mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + 27.0 * (hertz / 1000.0).ln() / 6.4_f64.ln() }
}

fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_have_librosas_figures() {
        let filters = filters();
        let sum: f64 = filters.iter().map(|value| f64::from(*value)).sum();
        assert!((sum - 1.999_024).abs() < 1e-6, "sum {sum}");
        assert_eq!(filters.iter().filter(|value| **value != 0.0).count(), 391);
        assert!((filters[1] - 0.024_862_59).abs() < 1e-8);
        assert!((filters[40 * BINS + 43] - 0.014_735_57).abs() < 1e-8);
    }
}

//! A recording's outline for a waveform, read in pieces: memory does not grow with the call.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Archive, RATE, RecordingError, spool};

/// A recording's outline.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Peaks {
    /// `[caller_min, caller_max, operator_min, operator_max]`, each -1 to 1, in order of time.
    pub points: Vec<[f32; 4]>,
    pub duration_ms: u64,
}

impl Peaks {
    /// Bytes read at once; whole frames.
    const PIECE: u64 = 1024 * 1024;

    /// * `points` — 1 to 10,000 (clamped); fewer come back if the recording has fewer samples.
    pub(super) async fn of(archive: &Archive, key: &str, points: usize) -> Result<Self, RecordingError> {
        let frames = archive.size(key).await?.saturating_sub(spool::HEADER) / spool::FRAME;
        let wanted = frames.min(u64::try_from(points.clamp(1, 10_000)).unwrap_or(1));
        let mut outline =
            Outline { frames, wanted, next: 0, points: vec![[0; 4]; usize::try_from(wanted).unwrap_or(0)] };
        let end = spool::HEADER + frames * spool::FRAME;
        let mut from = spool::HEADER;
        while from < end {
            let to = end.min(from + Self::PIECE);
            outline.take(&archive.read(key, from..to).await?);
            from = to;
        }
        let scale = |[a, b, c, d]: [i16; 4]| [a, b, c, d].map(|value| f32::from(value) / 32_768.0);
        let points = outline.points.into_iter().map(scale).collect();
        Ok(Self { points, duration_ms: frames * 1000 / u64::from(RATE) })
    }
}

struct Outline {
    frames: u64,
    wanted: u64,
    next: u64,
    points: Vec<[i16; 4]>,
}

impl Outline {
    fn take(&mut self, bytes: &[u8]) {
        for frame in bytes.chunks_exact(4) {
            let (left, right) = (i16::from_le_bytes([frame[0], frame[1]]), i16::from_le_bytes([frame[2], frame[3]]));
            let index = usize::try_from(self.next * self.wanted / self.frames.max(1)).unwrap_or(0);
            if let Some([left_min, left_max, right_min, right_max]) = self.points.get_mut(index) {
                (*left_min, *left_max) = ((*left_min).min(left), (*left_max).max(left));
                (*right_min, *right_max) = ((*right_min).min(right), (*right_max).max(right));
            }
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_covers_its_share_of_the_frames() {
        let mut outline = Outline { frames: 6, wanted: 3, next: 0, points: vec![[0; 4]; 3] };
        let frames = [[1, 9], [-4, 9], [5, -9], [6, 0], [0, 0], [0, 7]];
        let bytes: Vec<u8> = frames.iter().flatten().flat_map(|sample: &i16| sample.to_le_bytes()).collect();
        // Pieces need not end where points do.
        outline.take(&bytes[..12]);
        outline.take(&bytes[12..]);
        assert_eq!(outline.points, [[-4, 1, 0, 9], [0, 6, -9, 0], [0, 0, 0, 7]]);
    }
}

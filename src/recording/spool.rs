//! One growing WAV file.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::RATE;
use crate::domain::transcript::Channel;

/// Bytes before the first sample.
pub const HEADER: u64 = 44;
/// Bytes of a frame: two channels of 16 bits.
pub const FRAME: u64 = 4;

const SPEC: WavSpec = WavSpec { channels: 2, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };

/// A stereo WAV that grows; its header is right after every append. It is locked while it is open, so that another
/// process (`hotline recover`) does not take it for a dead one's.
pub struct SpoolFile {
    path: PathBuf,
    /// `None` after trouble; opened again by the next append.
    open: Option<Open>,
}

struct Open {
    writer: WavWriter<BufWriter<File>>,
    /// The same file, for patches in its middle.
    file: File,
}

impl SpoolFile {
    /// Creates the file; it must not exist.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).read(true).create_new(true).open(&path)?;
        file.try_lock()?;
        let mut writer = WavWriter::new(BufWriter::new(file.try_clone()?), SPEC).map_err(to_io)?;
        writer.flush().map_err(to_io)?;
        Ok(Self { path, open: Some(Open { writer, file }) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends frames that belong at frame `at`; fills a hole before them with silence.
    pub fn append(&mut self, at: u64, pcm: &[i16]) -> io::Result<()> {
        let result = self.try_append(at, pcm);
        if result.is_err() {
            self.open = None;
        }
        result
    }

    /// Replaces one channel of frames that were written before.
    pub fn patch(&mut self, at: u64, channel: Channel, pcm: &[i16]) -> io::Result<()> {
        let Open { writer, file } = self.opened()?;
        let there = u64::from(writer.duration());
        let keep = usize::try_from(there.saturating_sub(at)).unwrap_or(usize::MAX).min(pcm.len());
        if keep == 0 {
            return Ok(());
        }
        let mut bytes = vec![0; keep * usize::try_from(FRAME).unwrap_or(4)];
        let offset = HEADER + at * FRAME;
        file.read_exact_at(&mut bytes, offset)?;
        let side = if channel == Channel::Caller { 0 } else { 2 };
        for (frame, sample) in bytes.chunks_exact_mut(4).zip(pcm) {
            frame[side..side + 2].copy_from_slice(&sample.to_le_bytes());
        }
        file.write_all_at(&bytes, offset)
    }

    /// Brings the file to its full length and lets it go.
    pub fn close(&mut self, frames: u64) -> io::Result<()> {
        self.append(frames, &[])?;
        self.open.take().map_or(Ok(()), |open| open.writer.finalize().map_err(to_io))
    }

    fn try_append(&mut self, at: u64, pcm: &[i16]) -> io::Result<()> {
        let Open { writer, .. } = self.opened()?;
        let mut hole = at.saturating_sub(u64::from(writer.duration()));
        while hole > 0 {
            let frames = u32::try_from(hole.min(16_384)).unwrap_or(16_384);
            let mut samples = writer.get_i16_writer(frames * 2);
            for _ in 0..frames * 2 {
                samples.write_sample(0);
            }
            samples.flush().map_err(to_io)?;
            hole -= u64::from(frames);
        }
        let mut samples = writer.get_i16_writer(u32::try_from(pcm.len()).unwrap_or(0));
        for sample in pcm {
            samples.write_sample(*sample);
        }
        samples.flush().map_err(to_io)?;
        writer.flush().map_err(to_io)
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            repair(&self.path)?;
            let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            file.try_lock()?;
            let writer = WavWriter::append(&self.path).map_err(to_io)?;
            self.open = Some(Open { writer, file });
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("not open"))
    }
}

/// Makes the header of a recording fit the file's length, which a crash or a full disk may have left otherwise; a half
/// frame at the end is cut off. A file shorter than a header becomes an empty recording.
///
/// * returns — frames in the file.
pub fn repair(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let frames = length.saturating_sub(HEADER) / FRAME;
    let data = u32::try_from(frames * FRAME).map_err(io::Error::other)?;
    let mut head = io::Cursor::new(Vec::new());
    WavWriter::new(&mut head, SPEC).and_then(WavWriter::finalize).map_err(to_io)?;
    let mut head = head.into_inner();
    head[4..8].copy_from_slice(&(data + 36).to_le_bytes());
    head[40..44].copy_from_slice(&data.to_le_bytes());
    let mut now = vec![0; head.len()];
    let same = file.read_exact_at(&mut now, 0).is_ok() && now == head;
    if !same {
        file.write_all_at(&head, 0)?;
    }
    if length != HEADER + u64::from(data) {
        file.set_len(HEADER + u64::from(data))?;
    }
    if !same || length != HEADER + u64::from(data) {
        (&file).flush()?;
        file.sync_all()?;
    }
    Ok(frames)
}

fn to_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::wav::read_channel;

    #[test]
    fn the_header_is_right_after_every_append_and_holes_are_silence() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        let mut file = SpoolFile::create(path.clone()).expect("a new file");
        file.append(0, &[1, -1, 2, -2]).expect("room");
        assert_eq!(read_channel(&path, Channel::Operator).expect("readable while it grows"), [-1, -2]);
        file.append(20_000, &[3, -3]).expect("room");
        file.patch(1, Channel::Caller, &[7, 8]).expect("room");
        file.close(20_010).expect("room");
        let caller = read_channel(&path, Channel::Caller).expect("readable");
        assert_eq!(caller.len(), 20_010);
        assert_eq!((&caller[..4], caller[20_000]), (&[1, 7, 8, 0][..], 3));
        assert_eq!(read_channel(&path, Channel::Operator).expect("readable")[1], -2, "the other side is untouched");
    }

    #[test]
    fn a_torn_file_is_repaired_from_its_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        let mut file = SpoolFile::create(path.clone()).expect("a new file");
        file.append(0, &[5; 200]).expect("room");
        // As after kill -9 in the middle of a write: samples on disk which the header does not know, half a frame.
        std::mem::forget(file);
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes.extend_from_slice(&[6, 0, 6, 0, 6]);
        std::fs::write(&path, bytes).expect("room");
        assert_eq!(repair(&path).expect("repaired"), 101);
        assert_eq!(read_channel(&path, Channel::Caller).expect("readable").len(), 101);
        std::fs::write(&path, b"RIF").expect("room");
        assert_eq!(repair(&path).expect("repaired"), 0);
        assert!(read_channel(&path, Channel::Caller).expect("readable").is_empty());
    }

    #[test]
    fn after_trouble_the_next_block_is_written_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        let mut file = SpoolFile::create(path.clone()).expect("a new file");
        file.append(0, &[1; 20]).expect("room");
        file.open = None;
        let away = folder.path().join("b.wav");
        std::fs::rename(&path, &away).expect("moved");
        file.append(10, &[2; 20]).expect_err("the disk is away");
        std::fs::rename(&away, &path).expect("moved");
        file.append(20, &[3; 20]).expect("the disk is back");
        let caller = read_channel(&path, Channel::Caller).expect("readable");
        assert_eq!((caller.len(), caller[9], caller[10], caller[19], caller[20]), (30, 1, 0, 0, 3));
    }
}

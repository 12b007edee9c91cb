//! `hotline openapi`.

use crate::http;

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run() -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(&http::openapi())?);
    Ok(())
}

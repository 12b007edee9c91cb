//! `hotline lifecycle`: the states and moves of a case as the code has them.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::domain::case::{State, TRANSITIONS};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&document())?);
        return Ok(());
    }
    for state in State::ALL {
        let end = if state.is_terminal() { "  (end)" } else { "" };
        println!("{:<13} {}{end}", state.as_str(), state.zh());
    }
    for row in &TRANSITIONS {
        println!("{:<4} {:<13} -> {:<13} {:<32} {}", row.id, row.from.as_str(), row.to.as_str(), row.action, row.who);
    }
    Ok(())
}

fn document() -> Value {
    let states: Map<String, Value> = State::ALL
        .iter()
        .map(|state| (state.as_str().to_owned(), json!({ "zh": state.zh(), "terminal": state.is_terminal() })))
        .collect();
    json!({ "states": states, "transitions": TRANSITIONS.as_slice() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_table_has_every_state_and_every_move_in_the_trades_words() {
        let document = document();
        assert_eq!(document["states"].as_object().map(Map::len), Some(13));
        assert_eq!(document["states"]["need_info"], json!({ "zh": "待补充", "terminal": false }));
        let rows = document["transitions"].as_array().expect("a list");
        assert_eq!(rows.len(), 36);
        assert_eq!(
            rows[17],
            json!({ "id": "T18", "from": "handling", "to": "handling", "action": "extend_approve",
                "who": "reviewer(≤10wd)|supervisor(再次)" })
        );
    }
}

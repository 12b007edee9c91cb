//! `hotline user list`: one line a person.

use crate::{
    store::UserRow,
    users::{Owed, UserError, Users},
};

/// People asked for at once.
const PAGE: u32 = 500;

/// What a line tells.
pub(super) struct Line {
    row: UserRow,
    state: &'static str,
}

/// All people, in the order they were added.
pub(super) async fn all(users: &Users) -> Result<Vec<Line>, UserError> {
    let mut lines: Vec<Line> = Vec::new();
    loop {
        let page = users.list(lines.last().map(|line| line.row.id), PAGE).await?;
        let last = page.len() < PAGE as usize;
        for row in page {
            let state = match (row.disabled, users.locked_until(&row).await?, users.owes(&row)) {
                (true, ..) => "locked",
                (_, Some(_), _) => "locked by wrong passwords",
                (.., Some(Owed::Password)) => "has to change the password",
                _ if row.password.is_none() => "no password",
                _ => "active",
            };
            lines.push(Line { row, state });
        }
        if last {
            return Ok(lines);
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn print(lines: &[Line]) {
    for Line { row, state } in lines {
        let roles = row.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",");
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let roles = if roles.is_empty() { "-" } else { &roles };
        println!("{}\t{roles}\t{}\t{}\t{state}", row.name, or_none(&row.unit), or_none(&row.extension));
    }
}

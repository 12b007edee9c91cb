//! `hotline user …` and `hotline init`: people with a log-in.

use std::io::Read;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Cli, WrongUse};
use crate::{
    config::Settings,
    domain::role::Role,
    telemetry::Private,
    users::{FirstAdministrator, NewUser, UserError, Users},
};

/// Bytes read from standard input; a password is shorter.
const LONGEST_INPUT: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a person.
    Add(Person),
    /// Prints a new API token of a person, once; only its hash is kept.
    Token { name: String },
}

#[derive(Debug, Args)]
pub(super) struct Person {
    name: String,
    /// One of the city's roles; may be given several times.
    #[arg(long = "role", required = true, value_delimiter = ',')]
    roles: Vec<Role>,
    /// The unit they work for: WATER, or 371526-ZJ for an area's own.
    #[arg(long)]
    unit: Option<String>,
    /// Their seat.
    #[arg(long)]
    extension: Option<String>,
    /// Reads their password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    match command {
        Command::Add(person) => {
            let new = read(&settings, person)?;
            let row = super::on_store(&settings, async |store| Users::new(store).add(new).await.map_err(usage))?;
            let roles = row.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
            println!("{}: added as {roles}", row.name);
        }
        Command::Token { name } => {
            let token =
                super::on_store(&settings, async |store| Users::new(store).issue_token(name).await.map_err(usage))?;
            println!("{}", token.reveal());
        }
    }
    Ok(())
}

/// `hotline init`.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn init(cli: &Cli) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    match super::on_store(&settings, async |store| Ok(Users::new(store).init().await?))? {
        Some(first) => tell_first(&first),
        None => println!("there are users already; nothing was changed"),
    }
    Ok(())
}

/// The one time that the first administrator's password is shown.
#[expect(clippy::print_stdout, reason = "for the person who starts the line for the first time")]
pub(super) fn tell_first(first: &FirstAdministrator) {
    println!("user: {}", first.name);
    println!("one-time password: {}", first.password.reveal());
}

fn read(settings: &Settings, person: &Person) -> anyhow::Result<NewUser> {
    if let Some(unit) = &person.unit
        && settings.load_city()?.unit(unit).is_none()
    {
        let file = settings.city.file.display();
        return Err(
            WrongUse(format!("--unit: `{unit}` is not in {file}; units are named as WATER or 371526-ZJ")).into()
        );
    }
    let password = if person.password_stdin {
        let mut text = String::new();
        std::io::stdin().take(LONGEST_INPUT).read_to_string(&mut text).context("reading the password")?;
        Some(Private(text.lines().next().unwrap_or_default().to_owned()))
    } else {
        None
    };
    Ok(NewUser {
        name: person.name.clone(),
        roles: person.roles.clone(),
        unit: person.unit.clone(),
        extension: person.extension.clone(),
        password,
    })
}

/// What the person at the keyboard can mend is wrong use; the rest is a failure.
fn usage(error: UserError) -> anyhow::Error {
    match error {
        UserError::Store(_) | UserError::Hash(_) | UserError::Taken(_) | UserError::Unknown(_) => error.into(),
        error => WrongUse(error.to_string()).into(),
    }
}

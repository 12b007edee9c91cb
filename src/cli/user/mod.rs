//! `hotline user …` and `hotline init`: people with a log-in, as the operator of a machine needs it.

mod list;

use std::io::Read;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Cli, WrongUse};
use crate::{
    app,
    config::Settings,
    domain::role::Role,
    http::Right,
    store::UserRow,
    telemetry::Private,
    users::{By, FirstAdministrator, NewToken, NewUser, Seats, UserError, Users},
    vault::Vault,
};

/// Bytes read from standard input; a password is shorter.
const LONGEST_INPUT: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a person.
    Add(Person),
    /// Lists all people: name, roles, unit, extension, state.
    List,
    /// Closes an account: its log-ins end, no log-in and no token is taken any more.
    Lock { name: String },
    /// Opens an account again, also one that wrong passwords have locked.
    Unlock { name: String },
    /// Prints a new one-time password of a person, once; their log-ins end.
    Password(NewPassword),
    /// Prints a new SIP secret for a person's telephone, once; the one before is no longer taken.
    SipSecret { name: String },
    /// Prints a new API token of a person, once; only its hash is kept.
    Token(Token),
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
    /// Their seat; its SIP secret is printed once.
    #[arg(long)]
    extension: Option<String>,
    /// What they are good at, as desks ask for it; may be given several times.
    #[arg(long = "skill", value_delimiter = ',')]
    skills: Vec<String>,
    /// Reads their password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct NewPassword {
    name: String,
    /// Reads a lasting password from the first line of standard input instead.
    #[arg(long)]
    password_stdin: bool,
    /// Takes their second factor away as well, where no two administrators are left who could.
    #[arg(long)]
    without_totp: bool,
}

#[derive(Debug, Args)]
pub(super) struct Token {
    name: String,
    /// A right it may use; may be given several times. Without it: all that the person has.
    #[arg(long = "scope", value_delimiter = ',')]
    scope: Vec<Right>,
    /// How long it lives; without it as the settings say.
    #[arg(long)]
    days: Option<u32>,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    match command {
        Command::Add(person) => {
            let (row, secret) = add(&settings, read(&settings, person)?)?;
            let roles = row.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
            println!("{}: added as {roles}", row.name);
            if let (Some(extension), Some(secret)) = (&row.extension, secret) {
                tell_secret(extension, &secret);
            }
        }
        Command::List => list::print(&on_users(&settings, list::all)?),
        Command::Lock { name } => {
            on_users(&settings, async |users| users.disable(&By::machine(), users.named(name).await?.id).await)?;
            println!("{name}: locked");
        }
        Command::Unlock { name } => {
            on_users(&settings, async |users| {
                let user = users.named(name).await?.id;
                users.unlock(&By::machine(), user).await?;
                users.enable(&By::machine(), user).await
            })?;
            println!("{name}: unlocked");
        }
        Command::Password(new) => password(&settings, new)?,
        Command::SipSecret { name } => {
            let (extension, secret) = on_seats(&settings, async |users, seats| {
                let user = users.named(name).await?;
                let secret = seats.renew(&By::machine(), user.id).await?;
                Ok((user.extension.unwrap_or_default(), secret))
            })?;
            tell_secret(&extension, &secret);
        }
        Command::Token(Token { name, scope, days }) => {
            let scope = Some(scope.iter().map(ToString::to_string).collect()).filter(|it: &Vec<_>| !it.is_empty());
            let new = NewToken { name: String::new(), scope, days: *days };
            let (token, _) = on_users(&settings, async |users| {
                users.make_token(&By::machine(), &users.named(name).await?, new, None).await
            })?;
            println!("{}", token.reveal());
        }
    }
    Ok(())
}

/// `hotline init`.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn init(cli: &Cli) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    match on_users(&settings, async |users| users.init().await)? {
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

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn password(settings: &Settings, new: &NewPassword) -> anyhow::Result<()> {
    let lasting = if new.password_stdin { Some(first_line()?) } else { None };
    let one_time = on_users(settings, async |users| {
        let user: UserRow = users.named(&new.name).await?;
        if new.without_totp {
            users.remove_totp(&user).await?;
        }
        match lasting {
            Some(password) => users.set_password(&user, password).await.map(|()| None),
            None => users.reset_password(&By::machine(), user.id).await.map(Some),
        }
    })?;
    match one_time {
        Some(password) => println!("one-time password: {}", password.reveal()),
        None => println!("{}: password set", new.name),
    }
    Ok(())
}

/// Adds a person; one with an extension gets a SIP secret.
fn add(settings: &Settings, new: NewUser) -> anyhow::Result<(UserRow, Option<Private<String>>)> {
    let Some(extension) = new.extension.clone() else {
        return Ok((on_users(settings, async |users| users.add(new).await)?, None));
    };
    on_seats(settings, async |users, seats| {
        let seat = seats.make(&extension)?;
        let secret = seat.secret.clone();
        Ok((users.add(NewUser { seat: Some(seat), ..new }).await?, Some(secret)))
    })
}

/// The one time that a telephone's secret is shown.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn tell_secret(extension: &str, secret: &Private<String>) {
    println!("SIP secret of {extension}: {}", secret.reveal());
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
    Ok(NewUser {
        name: person.name.clone(),
        roles: person.roles.clone(),
        unit: person.unit.clone(),
        extension: person.extension.clone(),
        skills: person.skills.clone(),
        seat: None,
        password: if person.password_stdin { Some(first_line()?) } else { None },
    })
}

fn first_line() -> anyhow::Result<Private<String>> {
    let mut text = String::new();
    std::io::stdin().take(LONGEST_INPUT).read_to_string(&mut text).context("reading the password")?;
    Ok(Private(text.lines().next().unwrap_or_default().to_owned()))
}

fn on_users<T>(settings: &Settings, work: impl AsyncFnOnce(&Users) -> Result<T, UserError>) -> anyhow::Result<T> {
    super::on_store(settings, async |store| work(&Users::new(store, &settings.people)).await.map_err(usage))
}

/// The same with the keys that secrets are sealed with.
fn on_seats<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&Users, &Seats) -> Result<T, UserError>,
) -> anyhow::Result<T> {
    super::on_store(settings, async |store| {
        let vault = Vault::open(&settings.vault, store.clock().clone())?;
        app::check_keys(&store, &vault, settings).await?;
        let seats = Seats::new(store.clone(), vault, &settings.sip.realm)?;
        work(&Users::new(store, &settings.people), &seats).await.map_err(usage)
    })
}

/// What the person at the keyboard can mend is wrong use; the rest is a failure.
fn usage(error: UserError) -> anyhow::Error {
    match error {
        UserError::Name(_)
        | UserError::Extension(_)
        | UserError::Weak(_)
        | UserError::Role(_)
        | UserError::Token(_) => WrongUse(error.to_string()).into(),
        error => error.into(),
    }
}

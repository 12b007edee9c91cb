//! `hotline serve`: runs the line until it is asked to stop.

use anyhow::Context;
use clap::Args;

use super::{Cli, user};
use crate::{
    app::{App, Role},
    clock::Clock,
    telemetry::Telemetry,
};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// What of the house runs in this process.
    #[arg(long, value_enum, default_value = "all")]
    role: Role,
}

#[expect(clippy::print_stdout, reason = "for those who start it: its ports")]
pub(super) fn run(cli: &Cli, serve: &Serve) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    let telemetry = Telemetry::with_traces(&settings.log, &settings.telemetry)?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let start = App::start(settings, cli.file(), telemetry.clone(), serve.role, Clock::system());
        let app = Box::pin(start).await?;
        if let Some(first) = &app.first {
            user::tell_first(first);
        }
        let address = |it: Option<std::net::SocketAddr>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
        println!("ready http={} sip={}", address(app.http), address(app.sip));
        app.run().await
    });
    telemetry.finish();
    ended
}

//! Stories of single rules, a model under random events, and whole afternoons.

mod afternoon;
mod ledger;
mod model;
mod script;
mod stories;

use std::time::{Duration, Instant};

use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
};
use uuid::Uuid;

use super::*;
use crate::{
    clock::Clock,
    config,
    domain::{
        ids::CallId,
        seat::{DeskId, Skill},
    },
};

fn now() -> Instant {
    Clock::system().instant()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(number: usize) -> CallId {
    CallId::new(Uuid::from_u128(number as u128))
}

/// A plan as settings write it; what they leave out is off, or has its default.
fn plan(settings: &str) -> Plan {
    let quiet = "position_every_seconds = 0\ncallback_after_seconds = 0\ngive_up_after_seconds = 0";
    let figment = Figment::from(Serialized::defaults(config::Acd::default()));
    let acd: config::Acd =
        figment.merge(Toml::string(quiet)).merge(Toml::string(settings)).extract().expect("settings of a plan");
    Plan::of(&acd, &["12345".into()])
}

fn skills(names: &str) -> Skills {
    names.split(',').filter(|name| !name.is_empty()).map(Skill::from).collect()
}

fn drain(acd: &mut Distributor) -> Vec<Order> {
    std::iter::from_fn(|| acd.poll_order()).collect()
}

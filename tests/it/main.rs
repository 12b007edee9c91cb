//! The system as its users meet it: booted on port 0, dialled by `sip-test`, read through the public API.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tests tell what they saw")]

mod backup;
mod browser;
mod collector;
mod crash;
mod databases;
mod exposition;
mod house;
mod layers;
mod live;
mod load;
mod media;
mod misbehaviour;
mod mutants;
mod noise;
mod outage;
mod package;
mod people;
mod power;
mod privacy;
mod proxy;
mod queue;
mod reload;
mod s3;
mod samples;
mod seats;
mod sipp;
mod siprec;
mod softphones;
mod speech;
mod stalls;
mod stepped;
mod telemetry;
mod torture;
mod trouble;
mod vault;
mod walk;
mod zone;

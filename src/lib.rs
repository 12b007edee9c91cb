//! `hotline`: a city's 12345 line in one program. The rooms follow the walk of a call.
//!
//! * [`sip`] takes the INVITE and keeps the dialog; [`media`] moves the sound; [`call`] joins the two.
//! * [`acd`] decides at which operator's seat a call rings, and who is next; [`switchboard`] carries that to the calls.
//! * [`recording`] writes both sides to a file, seals it and gives slices of it back; [`vault`] has the keys.
//! * [`speech`] installs and checks the models, and hears: voice detection, utterances, Whisper in a process of its own.
//! * [`drafting`] turns words into the fields of a case, each with the seconds that prove it.
//! * [`cases`] are the services over [`domain`]'s case state machine; [`jobs`] is the durable work between the rooms.
//! * [`audit`] signs and checks the chain of who read, revealed, exported, logged in and changed rights.
//! * [`backup`] copies all of it into one file, and puts it back.
//! * [`tls`] greets those who come by TLS, on the HTTP and on the SIP port.
//! * [`websocket`] carries the words of browsers from the HTTP listener to [`sip`].
//! * [`store`] keeps rows; [`http`] is the door for people and other systems; [`cli`] for administrators.
//! * [`app`] is the only one that knows everybody.
//!
//! `docs/ARCHITECTURE.md` has the map; `tests/it/layers.rs` holds which room may know which.

pub mod acd;
pub mod app;
pub mod audit;
pub mod backup;
pub mod call;
pub mod cases;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod drafting;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod media;
pub mod recording;
pub mod sip;
pub mod speech;
pub mod store;
pub mod switchboard;
pub mod telemetry;
pub mod tls;
pub mod users;
pub mod vault;
pub mod websocket;

//! Telephones that register here (RFC 3261 §10): who they are, and where they can be rung.
//!
//! Pure, all of it: [`digest`] judges what a telephone answers to our challenge (RFC 7616), [`lockout`] counts who
//! guesses, [`bindings`] remembers the contacts. Whoever feeds them brings the time, the randomness and the secrets.
#![cfg_attr(not(test), expect(dead_code, reason = "its runner comes next"))]

mod bindings;
mod contact;
mod credentials;
mod digest;
mod lockout;
mod nonce;

//! The words of the hotline, and nothing else: no async, SQL, sockets, files, clock, randomness or logging.
//!
//! Everything here is a value or a pure function, so the rules of the trade can be read and tested on their own.

pub mod announcement;
pub mod audit;
pub mod calendar;
pub mod call;
pub mod case;
pub mod city;
pub mod clocks;
pub mod draft;
pub mod ha1;
pub mod hours;
pub mod ids;
pub mod mask;
pub mod number;
pub mod quality;
pub mod retention;
pub mod role;
pub mod rota;
pub mod seat;
pub mod time;
pub mod transcript;
pub mod words;
pub mod year;

//! Tests of the commands, on values and against canned nodes.

mod doctor;
mod reading;
mod sending;
mod server;
mod watching;

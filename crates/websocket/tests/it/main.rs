//! The codec from outside: against another implementation, by the cases of Autobahn's suite, and at its limits.

mod cases;
mod differential;
mod frames;
mod limits;
mod oracle;

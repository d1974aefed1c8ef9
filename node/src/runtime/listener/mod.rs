//! The door for clients: TLS over TCP, QUIC, and plaintext TCP for development.
//!
//! All three carry the same frames, so all end in one [`session`]: a greeting that agrees on version and features, then
//! requests in any number and answers in any order. A client has shown a certificate of our authority in the handshake, or
//! shows an access token in its greeting, of which no more than a few KiB are taken in; only a process started for
//! development lets in anybody, and only from this machine.
//!
//! Until its greeting a connection is a stranger ([`Strangers`](crate::runtime::strangers::Strangers)): many may begin at
//! once, each for a few seconds, and none of them takes a client's place.
//!
//! Overload goes back to where it comes from: requests for data are let in by the [`Gate`](crate::runtime::gate::Gate), or
//! answered as overloaded at once, and so is what one connection asks beyond
//! [`limits::REQUESTS_PER_CLIENT`](crate::runtime::limits::REQUESTS_PER_CLIENT) requests at work. Whoever was let in has a
//! place in the driver's queue, so a session goes on reading and refusing whatever the node is busy with; only while answers
//! wait that its client does not read, it stops, and the client waits in its own socket.
//! What is large is counted by its bytes besides, against bounds of all clients together (`account`); without room the
//! answer is Overloaded at once. Who sends a frame byte by byte or never reads is cut off.

mod account;
mod door;
mod intake;
mod quic;
mod session;
mod tcp;
#[cfg(test)]
mod tests;

pub(crate) use account::Account;
pub(crate) use door::{ClientEvent, ClientNumber, Door, Guard};
pub(crate) use quic::accept_quic;
pub(crate) use session::push_answer;
pub(crate) use tcp::{TcpSecurity, accept_tcp, bind_tcp};

//! An async client of a Kvorum cluster.
//!
//! It connects to any node it is told of, learns the others and the layout from that one, and sends each request straight
//! to the node that should coordinate it. Requests share one connection to each node and may be answered in any order.
//! What fails is tried again where that is safe, under the same operation id and within the request's deadline; what is
//! not certain is never reported as failed.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kvorum_client::{Client, Config, Endpoint};
//!
//! let client = Client::connect(Config::new([Endpoint::loopback(7401)])).await?;
//! let carts = client.bucket("default")?;
//! carts.put("cart/17", "milk").send().await?;
//!
//! let read = carts.get("cart/17").send().await?;
//! for sibling in &read.values {
//!     println!("{:?}", sibling.value);
//! }
//! if let Some(context) = read.context.clone() {
//!     // Replaces exactly what was read; what was written meanwhile stays as a sibling.
//!     carts.put("cart/17", "milk, eggs").context(context).send().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Code map: [`endpoint`] where to knock; `transport` opens streams; `connection` carries requests over one of them;
//! `nodes` keeps one connection to each node; [`topology`] and `route` choose the node; `attempts` decides what happens
//! after a failure; `call` puts these together; [`bucket`], [`merged`], [`repair`] and [`admin`] are what a program calls.
#![allow(clippy::disallowed_methods)] // A client has deadlines and starts tasks; it is used outside the simulator only.

pub mod admin;
mod attempts;
mod backoff;
pub mod bucket;
mod call;
mod client;
mod config;
mod connection;
pub mod endpoint;
pub mod error;
mod identity;
pub mod limits;
pub mod merged;
mod nodes;
pub mod repair;
mod route;
pub mod topology;
mod transport;
mod why;

pub use bucket::Bucket;
pub use client::Client;
pub use config::Config;
pub use endpoint::{Endpoint, Transport};
pub use error::{ConnectError, ErrorKind, OpenError, OperationError, TopologyError};
pub use identity::{ALPN, Identity, IdentityError};
pub use topology::{Place, Topology};

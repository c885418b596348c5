// SPDX-License-Identifier: GPL-2.0
//! Arguments of a load.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Where a load runs and how much of it.
pub struct Args {
    /// File of the network namespace that connects or sends.
    pub from: String,
    /// File of the network namespace that listens.
    pub to: String,
    /// Source address.
    pub src: IpAddr,
    /// Destination address and port.
    pub dst: SocketAddr,
    /// Bytes of one datagram, request or write.
    pub size: usize,
    /// UDP: connect the socket first.
    pub connected: bool,
    /// Measure the load's own share too.
    pub own: bool,
    /// Stream: the listener sends.
    pub reverse: bool,
}

/// One run of a load.
pub struct Run {
    /// Operations (bytes of a stream) before the measured ones.
    pub warm: u64,
    /// Operations to measure.
    pub count: u64,
}

impl FromStr for Run {
    type Err = Error;

    /// Reads `WARM COUNT`.
    fn from_str(line: &str) -> Result<Self> {
        let (warm, count) = line
            .split_once(' ')
            .ok_or_else(|| invalid(format!("{line}: not WARM COUNT")))?;
        Ok(Run {
            warm: number("warm", warm)?,
            count: number("count", count)?,
        })
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

fn number<T: FromStr>(key: &str, value: &str) -> Result<T> {
    value
        .parse()
        .map_err(|_| invalid(format!("{key}={value}: not understood")))
}

impl Args {
    /// Reads `KEY=VALUE` words; what is not named keeps a default.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut args = Args {
            from: "/proc/self/ns/net".into(),
            to: "/proc/self/ns/net".into(),
            src: IpAddr::from([127, 0, 0, 1]),
            dst: SocketAddr::from(([127, 0, 0, 1], 5000)),
            size: 1,
            connected: false,
            own: true,
            reverse: false,
        };
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| invalid(format!("{word}: not KEY=VALUE")))?;
            match key {
                "from" => args.from = value.into(),
                "to" => args.to = value.into(),
                "src" => args.src = number(key, value)?,
                "dst" => args.dst.set_ip(number(key, value)?),
                "port" => args.dst.set_port(number(key, value)?),
                "size" => args.size = number(key, value)?,
                "connected" => args.connected = number(key, value)?,
                "own" => args.own = number(key, value)?,
                "reverse" => args.reverse = number(key, value)?,
                _ => return Err(invalid(format!("{key}: no such argument"))),
            }
        }
        Ok(args)
    }
}

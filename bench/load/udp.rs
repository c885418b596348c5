// SPDX-License-Identifier: GPL-2.0
//! UDP from a child to whatever lies behind the uplink.

use std::io::Result;
use std::net::{SocketAddr, UdpSocket};

use crate::args::{Args, Run};
use crate::clock::timed;
use crate::{own, sys, Outcome};

fn send_all(socket: &UdpSocket, args: &Args, count: u64, data: &[u8]) -> Result<u64> {
    for _ in 0..count {
        if args.connected {
            socket.send(data)?;
        } else {
            socket.send_to(data, args.dst)?;
        }
    }
    Ok(count)
}

/// Sends datagrams as fast as it can; the caller counts them on the uplink.
pub fn transmit(args: &Args) -> Result<impl FnMut(&Run) -> Result<Outcome> + '_> {
    sys::enter(&args.from)?;
    let socket = UdpSocket::bind(SocketAddr::new(args.src, 0))?;
    if args.connected {
        socket.connect(args.dst)?;
    }
    let data = vec![0u8; args.size];
    Ok(move |run: &Run| {
        send_all(&socket, args, run.warm, &data)?;
        let (sent, ns) = timed(|| send_all(&socket, args, run.count, &data))?;
        let own_ns = own::share(args, run.count, &data)?;
        Ok(Outcome {
            ns,
            own_ns,
            sent,
            delivered: sent,
            slept: 0,
        })
    })
}

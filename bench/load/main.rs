// SPDX-License-Identifier: GPL-2.0
//! Load for the benchmarks: both ends of a connection in one thread.
//!
//! Packaged tools run each end as a process of its own, so that their figures
//! hold scheduling and polling as well as packets. Here every packet has
//! arrived when the system call that sent it returns, the other end's turn
//! follows at once, and the count of instructions is the same at every run.
//!
//! Arguments are `KEY=VALUE`; see [`args::Args`]. Each line of standard input,
//! `WARM COUNT`, is a run over the same sockets, and is answered by one of JSON:
//! what it measured, or what went wrong.

mod args;
mod clock;
mod marker;
mod own;
mod sys;
mod tcp;
mod udp;

use std::io;

use args::{Args, Run};

/// What one run measured, after its warm-up.
pub struct Outcome {
    /// Time of the measured part in nanoseconds (instructions under `-icount`).
    pub ns: u64,
    /// The load's own share: its loop and its system calls' entry and exit.
    pub own_ns: u64,
    /// Operations, or bytes of a stream, that were sent.
    pub sent: u64,
    /// Those that were seen to arrive; a sender alone reports what it sent.
    pub delivered: u64,
    /// How often it slept for want of progress in the measured part.
    pub slept: u64,
}

/// Runs a load as often as standard input says.
fn serve(mut load: impl FnMut(&Run) -> io::Result<Outcome>) -> io::Result<()> {
    for line in io::stdin().lines() {
        let o = load(&line?.parse()?)?;
        println!(
            "{{\"ns\":{},\"own_ns\":{},\"sent\":{},\"delivered\":{},\"slept\":{}}}",
            o.ns, o.own_ns, o.sent, o.delivered, o.slept
        );
    }
    Ok(())
}

fn run(name: &str, args: &Args) -> io::Result<()> {
    sys::take_the_cpu()?;
    match name {
        "tx-udp" => serve(udp::transmit(args)?),
        "tcp-rr" => serve(tcp::request_response(args)?),
        "tcp-crr" => serve(tcp::connect_request_response(args)?),
        "tcp-stream" => serve(tcp::stream(args)?),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "unknown load")),
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    if name == "mark" {
        marker::mark();
        return;
    }
    if let Err(error) = Args::parse(words).and_then(|args| run(&name, &args)) {
        println!("{{\"error\":\"{error}\"}}");
        std::process::exit(1);
    }
}

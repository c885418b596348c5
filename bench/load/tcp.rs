// SPDX-License-Identifier: GPL-2.0
//! TCP with both ends in this thread.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::args::{Args, Run};
use crate::clock::timed;
use crate::{own, sys, Outcome};

/// Without progress for so long, the path lost something for good.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often this program has slept.
static SLEPT: AtomicU64 = AtomicU64::new(0);

/// Waits for what is not there yet: a little while busily, for a softirq that
/// runs elsewhere, then asleep, so that ordinary threads get to run.
///
/// A sleep counts like work, also where instructions are counted: the guest's
/// clock goes on by what is slept. So [`Outcome::slept`] tells of it.
struct Patience {
    since: Instant,
    turns: u32,
}

impl Patience {
    fn new() -> Self {
        Patience {
            since: Instant::now(),
            turns: 0,
        }
    }

    fn wait(&mut self) -> Result<()> {
        if self.since.elapsed() > PATIENCE {
            return Err(Error::new(ErrorKind::TimedOut, "nothing arrives"));
        }
        self.turns += 1;
        if self.turns < 100 {
            sys::give_way();
        } else {
            SLEPT.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Repeats `step` while it would block.
fn until_done<T>(mut step: impl FnMut() -> Result<T>) -> Result<T> {
    let mut patience = None;
    loop {
        match step() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            done => return done,
        }
        patience.get_or_insert_with(Patience::new).wait()?;
    }
}

/// The namespaces and addresses of the two ends.
struct Ends<'a> {
    args: &'a Args,
    listener: TcpListener,
}

impl<'a> Ends<'a> {
    /// Listens in `to` and leaves the thread in `from`.
    fn new(args: &'a Args) -> Result<Self> {
        sys::enter(&args.to)?;
        let listener = TcpListener::from(sys::tcp_listen(args.dst)?);
        sys::enter(&args.from)?;
        Ok(Ends { args, listener })
    }

    /// Makes a connection: the connecting and the accepting side.
    fn connect(&self) -> Result<(TcpStream, TcpStream)> {
        let source = SocketAddr::new(self.args.src, 0);
        let near = TcpStream::from(sys::tcp_connect(source, self.args.dst)?);
        let (far, _) = until_done(|| self.listener.accept())?;
        far.set_nonblocking(true)?;
        Ok((near, far))
    }
}

fn write_whole(stream: &mut TcpStream, mut data: &[u8]) -> Result<()> {
    while !data.is_empty() {
        let n = until_done(|| stream.write(data))?;
        data = &data[n..];
    }
    Ok(())
}

fn read_whole(stream: &mut TcpStream, data: &mut [u8]) -> Result<()> {
    let mut have = 0;
    while have < data.len() {
        let n = until_done(|| stream.read(&mut data[have..]))?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        have += n;
    }
    Ok(())
}

/// One request and its response, each as long as `data`.
fn transact(near: &mut TcpStream, far: &mut TcpStream, data: &mut [u8]) -> Result<()> {
    write_whole(near, data)?;
    read_whole(far, data)?;
    write_whole(far, data)?;
    read_whole(near, data)
}

/// Runs a window: `body`, and how often it slept.
fn window<T>(body: impl FnOnce() -> Result<T>) -> Result<(T, u64, u64)> {
    let before = SLEPT.load(Ordering::Relaxed);
    let (value, ns) = timed(body)?;
    Ok((value, ns, SLEPT.load(Ordering::Relaxed) - before))
}

/// Runs `once` as often as told: first unmeasured, then measured.
fn transactions(
    args: &Args,
    run: &Run,
    calls: u64,
    mut once: impl FnMut() -> Result<()>,
) -> Result<Outcome> {
    (0..run.warm).try_for_each(|_| once())?;
    let (done, ns, slept) =
        window(|| (0..run.count).try_fold(0, |done, _| once().map(|()| done + 1)))?;
    let own_ns = own::share(args, calls * run.count, &[0])?;
    Ok(Outcome {
        ns,
        own_ns,
        sent: run.count,
        delivered: done,
        slept,
    })
}

/// Requests and responses over one connection.
pub fn request_response(args: &Args) -> Result<impl FnMut(&Run) -> Result<Outcome> + '_> {
    let (mut near, mut far) = Ends::new(args)?.connect()?;
    sys::no_delay(near.as_raw_fd())?;
    sys::no_delay(far.as_raw_fd())?;
    let mut data = vec![0u8; args.size];
    Ok(move |run: &Run| transactions(args, run, 4, || transact(&mut near, &mut far, &mut data)))
}

/// A connection for each request and response.
pub fn connect_request_response(args: &Args) -> Result<impl FnMut(&Run) -> Result<Outcome> + '_> {
    let ends = Ends::new(args)?;
    let mut data = vec![0u8; args.size];
    // socket, bind, connect, accept, fcntl, four transfers, two closes
    Ok(move |run: &Run| {
        transactions(args, run, 11, || {
            let (mut near, mut far) = ends.connect()?;
            transact(&mut near, &mut far, &mut data)
        })
    })
}

/// Fills the path, then empties it: returns bytes written and bytes read.
fn turn(
    from: &mut TcpStream,
    to: &mut TcpStream,
    data: &mut [u8],
    most: u64,
) -> Result<(u64, u64)> {
    let (mut sent, mut seen) = (0, 0);
    while sent < most {
        match from.write(data) {
            Ok(n) => sent += n as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    loop {
        match to.read(data) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => seen += n as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((sent, seen)),
            Err(error) => return Err(error),
        }
    }
}

/// Moves `total` bytes and returns bytes written, bytes read and turns taken.
fn pump(
    from: &mut TcpStream,
    to: &mut TcpStream,
    data: &mut [u8],
    total: u64,
) -> Result<(u64, u64, u64)> {
    let (mut sent, mut seen, mut turns) = (0, 0, 0);
    let mut patience = Patience::new();
    while sent < total || seen < sent {
        let (more_sent, more_seen) = turn(from, to, data, total - sent)?;
        sent += more_sent;
        seen += more_seen;
        turns += 1;
        if more_sent + more_seen > 0 {
            patience = Patience::new();
        } else {
            patience.wait()?;
        }
    }
    Ok((sent, seen, turns))
}

/// A stream of bytes in writes of `size`.
pub fn stream(args: &Args) -> Result<impl FnMut(&Run) -> Result<Outcome> + '_> {
    let (near, far) = Ends::new(args)?.connect()?;
    let (mut from, mut to) = if args.reverse {
        (far, near)
    } else {
        (near, far)
    };
    let mut data = vec![0u8; args.size];
    Ok(move |run: &Run| {
        pump(&mut from, &mut to, &mut data, run.warm)?;
        let ((sent, delivered, turns), ns, slept) =
            window(|| pump(&mut from, &mut to, &mut data, run.count))?;
        let calls = (sent + delivered) / args.size as u64 + 2 * turns;
        let own_ns = own::share(args, calls, &data)?;
        Ok(Outcome {
            ns,
            own_ns,
            sent,
            delivered,
            slept,
        })
    })
}

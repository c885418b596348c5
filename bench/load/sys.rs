// SPDX-License-Identifier: GPL-2.0
//! The system calls that the standard library does not wrap.

use std::fs::File;
use std::io::{Error, Result};
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::raw::{c_int, c_void};

extern "C" {
    fn setns(fd: c_int, kind: c_int) -> c_int;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(fd: c_int, address: *const c_void, length: u32) -> c_int;
    fn connect(fd: c_int, address: *const c_void, length: u32) -> c_int;
    fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn setsockopt(
        fd: c_int,
        level: c_int,
        option: c_int,
        value: *const c_void,
        length: u32,
    ) -> c_int;
    fn send(fd: c_int, data: *const c_void, length: usize, flags: c_int) -> isize;
    fn sched_yield() -> c_int;
    fn sched_setscheduler(pid: c_int, policy: c_int, priority: *const c_int) -> c_int;
}

const CLONE_NEWNET: c_int = 0x4000_0000;
const AF_INET: c_int = 2;
const AF_INET6: c_int = 10;
const SOCK_STREAM: c_int = 1;
const SOCK_NONBLOCK: c_int = 0o4000;
const IPPROTO_TCP: c_int = 6;
const TCP_NODELAY: c_int = 1;
const SOL_SOCKET: c_int = 1;
const SO_REUSEADDR: c_int = 2;
const SO_SNDBUFFORCE: c_int = 32;
const SO_RCVBUFFORCE: c_int = 33;
/// Bytes that a TCP socket may queue in each direction.
const BUFFER: c_int = 1 << 20;
const EINPROGRESS: i32 = 115;
const SCHED_FIFO: c_int = 1;

/// `struct sockaddr_in` and `struct sockaddr_in6` as one block of bytes.
struct Address {
    bytes: [u8; 28],
    length: u32,
    family: c_int,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; 28];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, length) = match address {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                (AF_INET, 16)
            }
            SocketAddr::V6(v6) => {
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                (AF_INET6, 28)
            }
        };
        bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        Address {
            bytes,
            length,
            family,
        }
    }
}

fn check(result: c_int) -> Result<c_int> {
    if result < 0 {
        return Err(Error::last_os_error());
    }
    Ok(result)
}

/// Moves the calling thread into the network namespace behind `path`.
///
/// Sockets stay in the namespace where they were made.
pub fn enter(path: &str) -> Result<()> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open for the whole call.
    check(unsafe { setns(file.as_raw_fd(), CLONE_NEWNET) })?;
    Ok(())
}

fn tcp_socket(family: c_int) -> Result<OwnedFd> {
    // SAFETY: takes plain integers.
    let fd = check(unsafe { socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0) })?;
    // SAFETY: `fd` is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_option(fd: RawFd, level: c_int, option: c_int, value: c_int) -> Result<()> {
    let length = size_of::<c_int>() as u32;
    // SAFETY: `value` is a live c_int and `length` is its size.
    check(unsafe { setsockopt(fd, level, option, (&raw const value).cast(), length) })?;
    Ok(())
}

/// Fixes the buffers: left alone they grow by the path's timing.
///
/// To be set before the connection is made, and inherited from a listener.
fn fix_buffers(fd: RawFd, bytes: c_int) -> Result<()> {
    set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes)?;
    set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes)
}

/// Sends each small write at once, as request/response programs do.
pub fn no_delay(fd: RawFd) -> Result<()> {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1)
}

fn bind_to(fd: RawFd, address: SocketAddr) -> Result<()> {
    let address = Address::from(address);
    // SAFETY: `bytes` holds at least `length` bytes of a socket address.
    check(unsafe { bind(fd, address.bytes.as_ptr().cast(), address.length) })?;
    Ok(())
}

/// Opens a listening TCP socket that never blocks.
pub fn tcp_listen(address: SocketAddr) -> Result<OwnedFd> {
    let fd = tcp_socket(Address::from(address).family)?;
    set_option(fd.as_raw_fd(), SOL_SOCKET, SO_REUSEADDR, 1)?;
    fix_buffers(fd.as_raw_fd(), BUFFER)?;
    bind_to(fd.as_raw_fd(), address)?;
    // SAFETY: takes plain integers.
    check(unsafe { listen(fd.as_raw_fd(), 128) })?;
    Ok(fd)
}

/// Starts a TCP connection from `source` and does not wait for it.
pub fn tcp_connect(source: SocketAddr, target: SocketAddr) -> Result<OwnedFd> {
    let target = Address::from(target);
    let fd = tcp_socket(target.family)?;
    fix_buffers(fd.as_raw_fd(), BUFFER)?;
    bind_to(fd.as_raw_fd(), source)?;
    // SAFETY: `bytes` holds at least `length` bytes of a socket address.
    let result = unsafe { connect(fd.as_raw_fd(), target.bytes.as_ptr().cast(), target.length) };
    match check(result) {
        Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
        _ => Ok(fd),
    }
}

/// Calls send() on a descriptor that is not open: a system call's bare cost.
pub fn send_nowhere(data: &[u8]) {
    // SAFETY: `data` is valid for its length, and the kernel refuses the
    // descriptor before it looks at it.
    unsafe { send(-1, data.as_ptr().cast(), data.len(), 0) };
}

/// Lets other threads run.
pub fn give_way() {
    // SAFETY: takes nothing.
    unsafe { sched_yield() };
}

/// Lets no ordinary thread interrupt this one.
pub fn take_the_cpu() -> Result<()> {
    let priority: c_int = 10;
    // SAFETY: `struct sched_param` is one int, and `priority` is live.
    check(unsafe { sched_setscheduler(0, SCHED_FIFO, &raw const priority) })?;
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! What the load itself costs.

use std::io::Result;

use crate::args::Args;
use crate::clock::timed;
use crate::sys;

/// The time of as many system calls that do nothing.
///
/// A profile leaves them out: they would be counted as the path's.
pub fn share(args: &Args, calls: u64, data: &[u8]) -> Result<u64> {
    if !args.own {
        return Ok(0);
    }
    let ((), ns) = timed(|| {
        (0..calls).for_each(|_| sys::send_nowhere(data));
        Ok(())
    })?;
    Ok(ns)
}

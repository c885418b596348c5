// SPDX-License-Identifier: GPL-2.0
//! Time of a measured part.

use std::io::Result;
use std::time::Instant;

/// Runs `body` and returns its result and its duration in nanoseconds.
pub fn timed<T>(body: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let start = Instant::now();
    let value = body()?;
    let ns = start.elapsed().as_nanos();
    Ok((value, u64::try_from(ns).unwrap_or(u64::MAX)))
}

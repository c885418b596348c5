// SPDX-License-Identifier: GPL-2.0
//! The guest's mark between two windows.

/// The no-op that `load mark` executes; `load/marker.rs` holds the same bytes.
pub const MARK: [u8; 8] = [0x0f, 0x1f, 0x84, 0x00, 0x70, 0x61, 0x73, 0x73];

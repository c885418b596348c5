// SPDX-License-Identifier: GPL-2.0

//! What the user gets to see.

use super::c::{
    duparg, fputs, incomplete_command, invarg, print_color_string, print_color_uint, stderr,
    COLOR_NONE, PRINT_ANY, PRINT_FP,
};
use crate::print::Output;
use core::ffi::{c_void, CStr};
use core::ptr;

/// A stream of the C library.
pub struct File(*mut c_void);

impl File {
    /// # Safety
    ///
    /// `stream` must be a `FILE` that stays open as long as the answer lives.
    pub(super) unsafe fn new(stream: *mut c_void) -> Self {
        Self(stream)
    }

    /// The standard error stream.
    pub fn stderr() -> Self {
        // SAFETY: the C library sets it before anything runs.
        Self(unsafe { stderr })
    }

    /// Writes a text. Like all of `ip`, it does not look whether that works.
    pub fn put(&mut self, text: &CStr) {
        // SAFETY: by `new`, and standard error stays open.
        unsafe { fputs(text.as_ptr(), self.0) };
    }
}

/// What `ip` prints to: text or JSON, as its options say.
pub struct Console;

impl Output for Console {
    fn label(&mut self, label: &CStr) {
        // SAFETY: the format takes one string.
        unsafe {
            print_color_string(
                PRINT_FP,
                COLOR_NONE,
                ptr::null(),
                c"%s ".as_ptr(),
                label.as_ptr(),
            )
        };
    }

    fn word(&mut self, key: &CStr, value: &CStr) {
        // SAFETY: the format takes one string.
        unsafe {
            print_color_string(
                PRINT_ANY,
                COLOR_NONE,
                key.as_ptr(),
                c"%s ".as_ptr(),
                value.as_ptr(),
            )
        };
    }

    fn number(&mut self, key: &CStr, value: u32) {
        // SAFETY: the format takes one unsigned int.
        unsafe { print_color_uint(PRINT_ANY, COLOR_NONE, key.as_ptr(), c"%u ".as_ptr(), value) };
    }
}

/// Says that the line ends too early, and exits.
pub fn incomplete() -> ! {
    // SAFETY: it has no conditions.
    unsafe { incomplete_command() }
}

/// Says that an option was given twice, and exits.
pub fn duplicate(option: &CStr, value: &CStr) -> ! {
    // SAFETY: both are strings.
    unsafe { duparg(option.as_ptr(), value.as_ptr()) }
}

/// Says that a value is wrong, and exits.
pub fn invalid(message: &CStr, value: &CStr) -> ! {
    // SAFETY: both are strings.
    unsafe { invarg(message.as_ptr(), value.as_ptr()) }
}

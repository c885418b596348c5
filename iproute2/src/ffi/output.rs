// SPDX-License-Identifier: GPL-2.0

//! What the user gets to see.

use super::c::{
    close_json_array, duparg, fputs, incomplete_command, invarg, open_json_array,
    print_color_string, print_color_uint, stderr, COLOR_NONE, PRINT_ANY, PRINT_FP, PRINT_JSON,
};
use crate::print::Output;
use core::ffi::{c_int, c_void, CStr};
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

impl Console {
    /// Prints a text without a key: as it is, or as a member of a JSON array.
    fn bare(&mut self, target: c_int, text: &CStr) {
        // SAFETY: the format takes one string. `ip` takes a missing key for that of a member.
        unsafe {
            print_color_string(
                target,
                COLOR_NONE,
                ptr::null(),
                c"%s".as_ptr(),
                text.as_ptr(),
            )
        };
    }
}

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

    fn list(&mut self, key: &CStr, values: impl Iterator<Item = (Option<&'static CStr>, u32)>) {
        let mut values = values.peekable();
        // SAFETY: `key` is a string. As asked for, this does nothing to text.
        unsafe { open_json_array(PRINT_JSON, key.as_ptr()) };
        if values.peek().is_none() {
            self.bare(PRINT_FP, c"none");
        }
        while let Some((word, number)) = values.next() {
            match word {
                Some(word) => self.bare(PRINT_ANY, word),
                // SAFETY: the format takes one unsigned int.
                None => unsafe {
                    print_color_uint(PRINT_ANY, COLOR_NONE, ptr::null(), c"%u".as_ptr(), number);
                },
            }
            if values.peek().is_some() {
                self.bare(PRINT_FP, c",");
            }
        }
        // SAFETY: it closes what was opened above.
        unsafe { close_json_array(PRINT_JSON, ptr::null()) };
        self.bare(PRINT_FP, c" ");
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

// SPDX-License-Identifier: GPL-2.0

//! The words of the command line for the numbers of the netlink interface.

use crate::uapi::{PASSTHRU_MODE_L2, PASSTHRU_MODE_L3, PASSTHRU_ROLE_CHILD, PASSTHRU_ROLE_PORT};
use core::ffi::CStr;

/// A word and the number that it stands for.
pub type Word = (&'static CStr, u32);

/// What a pair carries, the default first: `enum passthru_mode`.
pub const MODES: &[Word] = &[(c"l3", PASSTHRU_MODE_L3), (c"l2", PASSTHRU_MODE_L2)];

/// Which end of its pair a device is: `enum passthru_role`.
pub const ROLES: &[Word] = &[
    (c"port", PASSTHRU_ROLE_PORT),
    (c"child", PASSTHRU_ROLE_CHILD),
];

/// The number of a word; `None` for a word that is not in the table.
pub fn number(words: &[Word], word: &CStr) -> Option<u32> {
    words
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, number)| *number)
}

/// The word for a number; `None` for a number that a newer kernel may have brought.
pub fn name(words: &[Word], number: u32) -> Option<&'static CStr> {
    words
        .iter()
        .find(|(_, value)| *value == number)
        .map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::PASSTHRU_MODE_L3;
    use crate::uapi::__PASSTHRU_MODE_MAX;

    #[test]
    fn every_mode_of_the_header_has_a_word() {
        for mode in PASSTHRU_MODE_L3..__PASSTHRU_MODE_MAX {
            let word = name(MODES, mode).expect("a mode without a word");
            assert_eq!(number(MODES, word), Some(mode));
        }
    }

    #[test]
    fn what_is_not_in_a_table_has_no_answer() {
        assert_eq!(name(MODES, __PASSTHRU_MODE_MAX), None);
        assert_eq!(number(MODES, c"l"), None);
        assert_eq!(number(MODES, c"l33"), None);
        assert_eq!(number(MODES, c"port"), None);
    }
}

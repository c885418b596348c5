// SPDX-License-Identifier: GPL-2.0

//! The words of the command line for the numbers of the netlink interface.

use crate::uapi::{
    PASSTHRU_MODE_L2, PASSTHRU_MODE_L3, PASSTHRU_ROLE_CHILD, PASSTHRU_ROLE_PORT,
    PASSTHRU_SHORTCUT_DEVICE, PASSTHRU_SHORTCUT_NETFILTER, PASSTHRU_SHORTCUT_OUTPUT,
    PASSTHRU_SHORTCUT_ROUTE, PASSTHRU_SHORTCUT_SOCKET,
};
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

/// Where a packet may leave the full path: `enum passthru_shortcut`, each a bit of a set.
pub const SHORTCUTS: &[Word] = &[
    (c"device", PASSTHRU_SHORTCUT_DEVICE),
    (c"route", PASSTHRU_SHORTCUT_ROUTE),
    (c"netfilter", PASSTHRU_SHORTCUT_NETFILTER),
    (c"socket", PASSTHRU_SHORTCUT_SOCKET),
    (c"output", PASSTHRU_SHORTCUT_OUTPUT),
];

/// Whether something is done, the default last: attributes of 0 and 1.
pub const SWITCH: &[Word] = &[(c"off", 0), (c"on", 1)];

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

/// Why a list of words makes no set.
#[derive(Debug, PartialEq)]
pub enum WrongSet {
    /// One of them is not in the table.
    Unknown,
    /// One of them is there twice.
    Twice,
}

/// The set that a list with commas means; `none` and `all` stand for themselves.
pub fn set(words: &[Word], list: &CStr) -> Result<u32, WrongSet> {
    match list.to_bytes() {
        b"none" => return Ok(0),
        b"all" => return Ok(words.iter().fold(0, |set, (_, bit)| set | bit)),
        _ => {}
    }
    let mut set = 0;
    for word in list.to_bytes().split(|byte| *byte == b',') {
        let known = words.iter().find(|(name, _)| name.to_bytes() == word);
        let (_, bit) = known.ok_or(WrongSet::Unknown)?;
        if set & bit != 0 {
            return Err(WrongSet::Twice);
        }
        set |= bit;
    }
    Ok(set)
}

/// What a set holds, bit by bit: the word, or `None` and the bit that a newer kernel may have
/// brought.
pub fn members(
    words: &[Word],
    set: u32,
) -> impl Iterator<Item = (Option<&'static CStr>, u32)> + '_ {
    (0..u32::BITS)
        .map(|shift| 1 << shift)
        .filter(move |bit| set & bit != 0)
        .map(|bit| (name(words, bit), bit))
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

    const ALL: u32 = PASSTHRU_SHORTCUT_DEVICE
        | PASSTHRU_SHORTCUT_ROUTE
        | PASSTHRU_SHORTCUT_NETFILTER
        | PASSTHRU_SHORTCUT_SOCKET
        | PASSTHRU_SHORTCUT_OUTPUT;

    #[test]
    fn sets_are_lists_in_any_order() {
        assert_eq!(set(SHORTCUTS, c"none"), Ok(0));
        assert_eq!(set(SHORTCUTS, c"all"), Ok(ALL));
        assert_eq!(set(SHORTCUTS, c"route"), Ok(PASSTHRU_SHORTCUT_ROUTE));
        assert_eq!(
            set(SHORTCUTS, c"socket,device"),
            Ok(PASSTHRU_SHORTCUT_DEVICE | PASSTHRU_SHORTCUT_SOCKET)
        );
        for (name, bit) in SHORTCUTS {
            assert_eq!(set(SHORTCUTS, name), Ok(*bit));
        }
    }

    #[test]
    fn wrong_lists_are_told_from_each_other() {
        for list in [
            c"",
            c",",
            c"route,",
            c",route",
            c"route,,socket",
            c"routes",
            c"Route",
            c"route socket",
        ] {
            assert_eq!(set(SHORTCUTS, list), Err(WrongSet::Unknown), "{list:?}");
        }
        assert_eq!(set(SHORTCUTS, c"none,route"), Err(WrongSet::Unknown));
        assert_eq!(set(SHORTCUTS, c"route,all"), Err(WrongSet::Unknown));
        assert_eq!(set(SHORTCUTS, c"route,socket,route"), Err(WrongSet::Twice));
    }

    #[test]
    fn members_have_words_or_at_least_bits() {
        assert_eq!(members(SHORTCUTS, 0).count(), 0);
        let known: Vec<_> = members(SHORTCUTS, ALL).collect();
        let table: Vec<_> = SHORTCUTS
            .iter()
            .map(|(name, bit)| (Some(*name), *bit))
            .collect();
        assert_eq!(known, table);
        let unknown = [(Some(c"route"), PASSTHRU_SHORTCUT_ROUTE), (None, 1 << 31)];
        let both: Vec<_> = members(SHORTCUTS, PASSTHRU_SHORTCUT_ROUTE | (1 << 31)).collect();
        assert_eq!(both, unknown);
    }

    #[test]
    fn what_is_not_in_a_table_has_no_answer() {
        assert_eq!(name(MODES, __PASSTHRU_MODE_MAX), None);
        assert_eq!(number(MODES, c"l"), None);
        assert_eq!(number(MODES, c"l33"), None);
        assert_eq!(number(MODES, c"port"), None);
    }
}

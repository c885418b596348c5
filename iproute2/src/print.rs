// SPDX-License-Identifier: GPL-2.0

//! What `ip -d link show` says of a device.

use crate::uapi::{
    passthru_attr, IFLA_PASSTHRU_MODE, IFLA_PASSTHRU_ROLE, IFLA_PASSTHRU_SHORTCUTS,
    IFLA_PASSTHRU_SPOOFCHK,
};
use crate::words::{self, MODES, ROLES, SHORTCUTS, SWITCH};
use core::ffi::CStr;

/// Where the answer goes: a line of text, or members of a JSON object.
pub trait Output {
    /// A word of the text only, before the value that it explains.
    fn label(&mut self, label: &CStr);
    /// A value that has a word.
    fn word(&mut self, key: &CStr, value: &CStr);
    /// A value that is known by its number only.
    fn number(&mut self, key: &CStr, value: u32);
    /// Values that have words, or are known by their numbers only: a list with commas, `none` if
    /// there is nothing to list, or a JSON array.
    fn list(&mut self, key: &CStr, values: impl Iterator<Item = (Option<&'static CStr>, u32)>);
}

/// Prints the attributes that are there, such as `mode l3 port`; `get` finds one.
pub fn print(get: impl Fn(passthru_attr) -> Option<u32>, out: &mut impl Output) {
    if let Some(mode) = get(IFLA_PASSTHRU_MODE) {
        out.label(c"mode");
        match words::name(MODES, mode) {
            Some(name) => out.word(c"mode", name),
            None => out.number(c"mode", mode),
        }
    }
    if let Some(role) = get(IFLA_PASSTHRU_ROLE) {
        // The word says enough without a label; a number would not.
        match words::name(ROLES, role) {
            Some(name) => out.word(c"role", name),
            None => {
                out.label(c"role");
                out.number(c"role", role);
            }
        }
    }
    if let Some(set) = get(IFLA_PASSTHRU_SHORTCUTS) {
        out.label(c"shortcut");
        out.list(c"shortcut", words::members(SHORTCUTS, set));
    }
    if let Some(switch) = get(IFLA_PASSTHRU_SPOOFCHK) {
        out.label(c"spoofchk");
        match words::name(SWITCH, switch) {
            Some(name) => out.word(c"spoofchk", name),
            None => out.number(c"spoofchk", switch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::{
        PASSTHRU_MODE_L2, PASSTHRU_MODE_L3, PASSTHRU_ROLE_CHILD, PASSTHRU_ROLE_PORT,
        PASSTHRU_SHORTCUT_ROUTE, PASSTHRU_SHORTCUT_SOCKET,
    };

    #[derive(Default)]
    struct Both {
        text: String,
        json: String,
    }

    impl Output for Both {
        fn label(&mut self, label: &CStr) {
            self.text += &format!("{} ", label.to_str().unwrap());
        }
        fn word(&mut self, key: &CStr, value: &CStr) {
            self.text += &format!("{} ", value.to_str().unwrap());
            self.json += &format!("{key:?}:{value:?},");
        }
        fn number(&mut self, key: &CStr, value: u32) {
            self.text += &format!("{value} ");
            self.json += &format!("{key:?}:{value},");
        }
        fn list(&mut self, key: &CStr, values: impl Iterator<Item = (Option<&'static CStr>, u32)>) {
            let (mut text, mut json) = (Vec::new(), Vec::new());
            for (name, number) in values {
                match name {
                    Some(name) => {
                        text.push(name.to_str().unwrap().to_string());
                        json.push(format!("{name:?}"));
                    }
                    None => {
                        text.push(number.to_string());
                        json.push(number.to_string());
                    }
                }
            }
            self.text += &if text.is_empty() {
                "none ".into()
            } else {
                text.join(",") + " "
            };
            self.json += &format!("{key:?}:[{}],", json.join(","));
        }
    }

    fn printed(mode: Option<u32>, role: Option<u32>) -> (String, String) {
        let mut out = Both::default();
        let get = |attribute| match attribute {
            IFLA_PASSTHRU_MODE => mode,
            IFLA_PASSTHRU_ROLE => role,
            _ => None,
        };
        print(get, &mut out);
        (out.text, out.json)
    }

    fn answer(text: &str, json: &str) -> (String, String) {
        (text.into(), json.into())
    }

    #[test]
    fn known_values_are_words() {
        assert_eq!(
            printed(Some(PASSTHRU_MODE_L3), Some(PASSTHRU_ROLE_PORT)),
            answer("mode l3 port ", r#""mode":"l3","role":"port","#)
        );
        assert_eq!(
            printed(Some(PASSTHRU_MODE_L2), Some(PASSTHRU_ROLE_CHILD)),
            answer("mode l2 child ", r#""mode":"l2","role":"child","#)
        );
    }

    #[test]
    fn unknown_values_are_numbers() {
        assert_eq!(
            printed(Some(7), Some(9)),
            answer("mode 7 role 9 ", r#""mode":7,"role":9,"#)
        );
    }

    #[test]
    fn shortcuts_are_a_list() {
        let with = |set| {
            let mut out = Both::default();
            print(
                |kind| (kind == IFLA_PASSTHRU_SHORTCUTS).then_some(set),
                &mut out,
            );
            (out.text, out.json)
        };
        assert_eq!(with(0), answer("shortcut none ", r#""shortcut":[],"#));
        assert_eq!(
            with(PASSTHRU_SHORTCUT_ROUTE),
            answer("shortcut route ", r#""shortcut":["route"],"#)
        );
        assert_eq!(
            with(PASSTHRU_SHORTCUT_SOCKET | PASSTHRU_SHORTCUT_ROUTE | (1 << 20)),
            answer(
                "shortcut route,socket,1048576 ",
                r#""shortcut":["route","socket",1048576],"#
            )
        );
    }

    #[test]
    fn the_check_of_sources_is_a_word() {
        let with = |switch| {
            let mut out = Both::default();
            print(
                |kind| (kind == IFLA_PASSTHRU_SPOOFCHK).then_some(switch),
                &mut out,
            );
            (out.text, out.json)
        };
        assert_eq!(with(1), answer("spoofchk on ", r#""spoofchk":"on","#));
        assert_eq!(with(0), answer("spoofchk off ", r#""spoofchk":"off","#));
    }

    #[test]
    fn what_the_kernel_did_not_say_is_left_out() {
        assert_eq!(printed(None, None), answer("", ""));
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The words after `type passthru`.

use crate::words::{self, MODES};
use core::ffi::CStr;

/// The answer to `help`, and to what cannot be understood.
pub const USAGE: &CStr = c"\
Usage: ip link add [ PORT ] type passthru [ mode MODE ] [ peer [ CHILD ] [ OPTIONS ] ]

MODE: l3 | l2
    l3  IPv4 and IPv6 packets, no link layer (the default)
    l2  Ethernet frames

PORT is the parent's end of the pair, CHILD the child's. All that follows 'peer'
is about the child: its name, 'netns NAME', 'address', 'mtu' and what else
'ip link add help' lists. So 'mode', which is the pair's, goes before it.
";

/// Says what a mode may be.
pub const MODE_CHOICES: &CStr = c"mode must be one of: l3, l2";

/// What was asked for. `peer` stands last: the words after it are the child's.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// A value of `enum passthru_mode`; the kernel chooses where none was given.
    pub mode: Option<u32>,
    /// Whether the child is described.
    pub peer: bool,
}

/// Says where the pair's mode belongs.
pub const MODE_FIRST: &CStr = c"the pair's mode goes before 'peer'";

/// Why the words make no request.
#[derive(Debug, PartialEq)]
pub enum Error<'a> {
    /// The usage was asked for.
    Help,
    /// No option has this name.
    Unknown(&'a CStr),
    /// The line ends where the option's value should be.
    Incomplete,
    /// The option was given before; its name and the second value.
    Duplicate(&'static CStr, &'a CStr),
    /// The value is none that the option takes; what it takes and the value.
    Invalid(&'static CStr, &'a CStr),
}

/// Reads options up to the end, or to `peer`: then `args` is left at the first of the words that
/// describe the child, which are for the parser of `ip link add`.
pub fn parse<'a, T>(args: &mut T) -> Result<Options, Error<'a>>
where
    T: Iterator<Item = &'a CStr> + Clone,
{
    let mut options = Options::default();
    while let Some(word) = args.next() {
        match word.to_bytes() {
            b"mode" => {
                let value = args.next().ok_or(Error::Incomplete)?;
                set_mode(&mut options, value)?;
            }
            b"peer" => {
                refuse_mode(args.clone())?;
                options.peer = true;
                break;
            }
            b"help" => return Err(Error::Help),
            _ => return Err(Error::Unknown(word)),
        }
    }
    Ok(options)
}

fn set_mode<'a>(options: &mut Options, value: &'a CStr) -> Result<(), Error<'a>> {
    if options.mode.is_some() {
        return Err(Error::Duplicate(c"mode", value));
    }
    let mode = words::number(MODES, value).ok_or(Error::Invalid(MODE_CHOICES, value))?;
    options.mode = Some(mode);
    Ok(())
}

/// Refuses the pair's mode among the words that describe the child.
///
/// The parser of `ip link add` takes `mode` there for the link mode, which has other values, and
/// would complain of one that nobody meant.
fn refuse_mode<'a>(child: impl Iterator<Item = &'a CStr> + Clone) -> Result<(), Error<'a>> {
    let mut pairs = child.clone().zip(child.skip(1));
    match pairs.find(|(word, value)| *word == c"mode" && words::number(MODES, value).is_some()) {
        Some((_, value)) => Err(Error::Invalid(MODE_FIRST, value)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::{PASSTHRU_MODE_L2, PASSTHRU_MODE_L3};

    /// The answer for these words, and how many of them are left for the child.
    fn parsed<'a>(words: &[&'a CStr]) -> (Result<Options, Error<'a>>, usize) {
        let mut args = words.iter().copied();
        let answer = parse(&mut args);
        (answer, args.count())
    }

    fn options(mode: Option<u32>, peer: bool) -> Result<Options, Error<'static>> {
        Ok(Options { mode, peer })
    }

    #[test]
    fn mode_is_optional() {
        assert_eq!(parsed(&[]), (options(None, false), 0));
        assert_eq!(
            parsed(&[c"mode", c"l3"]),
            (options(Some(PASSTHRU_MODE_L3), false), 0)
        );
        assert_eq!(
            parsed(&[c"mode", c"l2"]),
            (options(Some(PASSTHRU_MODE_L2), false), 0)
        );
    }

    #[test]
    fn all_after_peer_is_the_childs() {
        assert_eq!(parsed(&[c"peer"]), (options(None, true), 0));
        let words = [
            c"mode", c"l2", c"peer", c"name", c"help", c"mode", c"default",
        ];
        assert_eq!(parsed(&words), (options(Some(PASSTHRU_MODE_L2), true), 4));
    }

    #[test]
    fn mode_after_peer_is_told_where_it_belongs() {
        let words = [c"peer", c"name", c"c0", c"mode", c"l2", c"netns", c"blue"];
        assert_eq!(parsed(&words).0, Err(Error::Invalid(MODE_FIRST, c"l2")));
    }

    #[test]
    fn a_link_mode_and_a_device_called_mode_are_the_childs() {
        assert_eq!(
            parsed(&[c"peer", c"name", c"mode"]),
            (options(None, true), 2)
        );
        let dormant = [c"peer", c"mode", c"dormant"];
        assert_eq!(parsed(&dormant), (options(None, true), 2));
    }

    #[test]
    fn mode_wants_one_known_value() {
        assert_eq!(parsed(&[c"mode"]).0, Err(Error::Incomplete));
        assert_eq!(
            parsed(&[c"mode", c"peer"]).0,
            Err(Error::Invalid(MODE_CHOICES, c"peer"))
        );
        let twice = [c"mode", c"l3", c"mode", c"l2"];
        assert_eq!(parsed(&twice).0, Err(Error::Duplicate(c"mode", c"l2")));
    }

    #[test]
    fn other_words_are_refused() {
        assert_eq!(parsed(&[c"help"]).0, Err(Error::Help));
        assert_eq!(parsed(&[c"mode", c"l3", c"help"]).0, Err(Error::Help));
        assert_eq!(
            parsed(&[c"pee", c"name", c"c0"]).0,
            Err(Error::Unknown(c"pee"))
        );
        assert_eq!(parsed(&[c""]).0, Err(Error::Unknown(c"")));
    }

    #[test]
    fn texts_name_every_mode() {
        for (name, _) in MODES {
            let name = name.to_str().unwrap();
            assert!(MODE_CHOICES.to_str().unwrap().contains(name));
            assert!(USAGE.to_str().unwrap().contains(&format!("\n    {name}  ")));
        }
    }
}

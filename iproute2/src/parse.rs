// SPDX-License-Identifier: GPL-2.0

//! The words after `type passthru`.

use crate::words::{self, WrongSet, MODES, SHORTCUTS, SWITCH};
use core::ffi::CStr;

/// The answer to `help`, and to what cannot be understood.
pub const USAGE: &CStr = c"\
Usage: ip link add [ PORT ] type passthru [ mode MODE ] [ shortcut LIST ]
                                          [ spoofchk { on | off } ]
                                          [ peer [ CHILD ] [ OPTIONS ] ]
       ip link set PORT type passthru [ shortcut LIST ] [ spoofchk { on | off } ]

MODE: l3 | l2
    l3  IPv4 and IPv6 packets, no link layer (the default)
    l2  Ethernet frames

LIST: none | all | SHORTCUT[,SHORTCUT]...
SHORTCUT: device | route | netfilter | socket | output
    Where a packet for the child may leave the parent early, and skip the rest
    of the parent's path, FORWARD rules among it (man passthru, SECURITY):
    device     before the parent's IP layer
    route      at the parent's routing decision
    netfilter  after the parent's INPUT rules, for local routes on the port
    socket     as route, for connections of the child, whose sockets it finds
    and what the child sends, skip the parent's input path:
    output     on by the parent's output path, or to the child of another port

spoofchk: drop what the child sends unless the parent's routes lead to the port
for its source (on, the default); off for children that route for others.

PORT is the parent's end of the pair, CHILD the child's. All that follows 'peer'
is about the child: its name, 'netns NAME', 'address', 'mtu', queues and what
else a device can be made with (not 'master' or 'alias'). So 'mode', 'shortcut'
and 'spoofchk', which are not the child's, go before it.
";

/// Says what a mode may be.
pub const MODE_CHOICES: &CStr = c"mode must be one of: l3, l2";

/// Says what a list of shortcuts may be.
pub const SHORTCUT_CHOICES: &CStr =
    c"shortcut must be none, all, or a list with commas of: device, route, netfilter, socket, output";

/// Says what is wrong with a list that is not one.
pub const SHORTCUT_TWICE: &CStr = c"a shortcut is named twice";

/// Says what the check of sources may be.
pub const SPOOFCHK_CHOICES: &CStr = c"spoofchk must be on or off";

/// What was asked for. `peer` stands last: the words after it are the child's.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// A value of `enum passthru_mode`; the kernel chooses where none was given.
    pub mode: Option<u32>,
    /// A set of `enum passthru_shortcut`; the kernel keeps its own where none was given.
    pub shortcuts: Option<u32>,
    /// Whether the child's sources are checked; the kernel keeps its own where none was given.
    pub spoofchk: Option<u32>,
    /// Whether the child is described.
    pub peer: bool,
}

/// Says where the pair's mode belongs.
pub const MODE_FIRST: &CStr = c"the pair's mode goes before 'peer'";

/// Says where the shortcuts belong.
pub const SHORTCUT_FIRST: &CStr = c"the port's shortcuts go before 'peer'";

/// Says where the check of sources belongs.
pub const SPOOFCHK_FIRST: &CStr = c"the port's spoofchk goes before 'peer'";

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
            b"shortcut" => {
                let list = args.next().ok_or(Error::Incomplete)?;
                set_shortcuts(&mut options, list)?;
            }
            b"spoofchk" => {
                let value = args.next().ok_or(Error::Incomplete)?;
                set_spoofchk(&mut options, value)?;
            }
            b"peer" => {
                refuse_mode(args.clone())?;
                refuse_shortcuts(args.clone())?;
                refuse_spoofchk(args.clone())?;
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

fn set_shortcuts<'a>(options: &mut Options, list: &'a CStr) -> Result<(), Error<'a>> {
    if options.shortcuts.is_some() {
        return Err(Error::Duplicate(c"shortcut", list));
    }
    let set = words::set(SHORTCUTS, list).map_err(|wrong| match wrong {
        WrongSet::Unknown => Error::Invalid(SHORTCUT_CHOICES, list),
        WrongSet::Twice => Error::Invalid(SHORTCUT_TWICE, list),
    })?;
    options.shortcuts = Some(set);
    Ok(())
}

fn set_spoofchk<'a>(options: &mut Options, value: &'a CStr) -> Result<(), Error<'a>> {
    if options.spoofchk.is_some() {
        return Err(Error::Duplicate(c"spoofchk", value));
    }
    let switch = words::number(SWITCH, value).ok_or(Error::Invalid(SPOOFCHK_CHOICES, value))?;
    options.spoofchk = Some(switch);
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

/// Refuses the port's shortcuts among the words that describe the child, which the parser of
/// `ip link add` would take for a second name.
fn refuse_shortcuts<'a>(child: impl Iterator<Item = &'a CStr> + Clone) -> Result<(), Error<'a>> {
    let mut pairs = child.clone().zip(child.skip(1));
    match pairs.find(|(word, list)| {
        *word == c"shortcut" && words::set(SHORTCUTS, list) != Err(WrongSet::Unknown)
    }) {
        Some((_, list)) => Err(Error::Invalid(SHORTCUT_FIRST, list)),
        None => Ok(()),
    }
}

/// Refuses the port's check of sources among the words that describe the child, likewise.
fn refuse_spoofchk<'a>(child: impl Iterator<Item = &'a CStr> + Clone) -> Result<(), Error<'a>> {
    let mut pairs = child.clone().zip(child.skip(1));
    match pairs.find(|(word, value)| *word == c"spoofchk" && words::number(SWITCH, value).is_some())
    {
        Some((_, value)) => Err(Error::Invalid(SPOOFCHK_FIRST, value)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::{
        PASSTHRU_MODE_L2, PASSTHRU_MODE_L3, PASSTHRU_SHORTCUT_DEVICE, PASSTHRU_SHORTCUT_ROUTE,
    };

    /// The answer for these words, and how many of them are left for the child.
    fn parsed<'a>(words: &[&'a CStr]) -> (Result<Options, Error<'a>>, usize) {
        let mut args = words.iter().copied();
        let answer = parse(&mut args);
        (answer, args.count())
    }

    fn options(mode: Option<u32>, peer: bool) -> Result<Options, Error<'static>> {
        Ok(Options {
            mode,
            peer,
            ..Options::default()
        })
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

    fn shortcuts(set: u32) -> Result<Options, Error<'static>> {
        Ok(Options {
            shortcuts: Some(set),
            ..Options::default()
        })
    }

    #[test]
    fn shortcuts_are_one_list() {
        assert_eq!(parsed(&[c"shortcut", c"none"]).0, shortcuts(0));
        assert_eq!(
            parsed(&[c"shortcut", c"route,device"]).0,
            shortcuts(PASSTHRU_SHORTCUT_DEVICE | PASSTHRU_SHORTCUT_ROUTE)
        );
        assert_eq!(
            parsed(&[c"shortcut", c"route", c"mode", c"l2", c"peer", c"c0"]),
            (
                Ok(Options {
                    mode: Some(PASSTHRU_MODE_L2),
                    shortcuts: Some(PASSTHRU_SHORTCUT_ROUTE),
                    spoofchk: None,
                    peer: true,
                }),
                1
            )
        );
    }

    #[test]
    fn wrong_shortcuts_are_refused() {
        assert_eq!(parsed(&[c"shortcut"]).0, Err(Error::Incomplete));
        let twice = [c"shortcut", c"route", c"shortcut", c"socket"];
        assert_eq!(
            parsed(&twice).0,
            Err(Error::Duplicate(c"shortcut", c"socket"))
        );
        assert_eq!(
            parsed(&[c"shortcut", c"route,route"]).0,
            Err(Error::Invalid(SHORTCUT_TWICE, c"route,route"))
        );
        assert_eq!(
            parsed(&[c"shortcut", c"peer"]).0,
            Err(Error::Invalid(SHORTCUT_CHOICES, c"peer"))
        );
    }

    #[test]
    fn the_check_of_sources_is_on_or_off() {
        let with = |switch| {
            Ok(Options {
                spoofchk: Some(switch),
                ..Options::default()
            })
        };
        assert_eq!(parsed(&[c"spoofchk", c"on"]).0, with(1));
        assert_eq!(parsed(&[c"spoofchk", c"off"]).0, with(0));
        assert_eq!(parsed(&[c"spoofchk"]).0, Err(Error::Incomplete));
        assert_eq!(
            parsed(&[c"spoofchk", c"1"]).0,
            Err(Error::Invalid(SPOOFCHK_CHOICES, c"1"))
        );
        assert_eq!(
            parsed(&[c"spoofchk", c"on", c"spoofchk", c"off"]).0,
            Err(Error::Duplicate(c"spoofchk", c"off"))
        );
        assert_eq!(
            parsed(&[c"peer", c"name", c"c0", c"spoofchk", c"off"]).0,
            Err(Error::Invalid(SPOOFCHK_FIRST, c"off"))
        );
    }

    #[test]
    fn shortcuts_after_peer_are_told_where_they_belong() {
        let words = [c"peer", c"name", c"c0", c"shortcut", c"route"];
        assert_eq!(
            parsed(&words).0,
            Err(Error::Invalid(SHORTCUT_FIRST, c"route"))
        );
        let name = [c"peer", c"name", c"shortcut", c"netns", c"blue"];
        assert_eq!(parsed(&name), (options(None, true), 4));
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
        for (name, _) in SHORTCUTS {
            let name = name.to_str().unwrap();
            assert!(SHORTCUT_CHOICES.to_str().unwrap().contains(name));
            assert!(USAGE.to_str().unwrap().contains(&format!("\n    {name} ")));
        }
    }
}

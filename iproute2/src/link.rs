// SPDX-License-Identifier: GPL-2.0

//! What `ip` asks the plugin for, each function one entry of its `struct link_util`.

use crate::ffi::{self, Args, Attributes, Console, File, Request};
use crate::parse::{self, Error, Options, USAGE};
use crate::print;
use crate::uapi::{
    IFLA_PASSTHRU_MODE, IFLA_PASSTHRU_PEER_INFO, IFLA_PASSTHRU_SHORTCUTS, IFLA_PASSTHRU_SPOOFCHK,
};

/// Nothing can be sent to the kernel; the user has been told why.
pub struct Refused;

/// Adds what the words after `type passthru` ask for to the request.
///
/// Some mistakes end the process, as they do in the types that `ip` itself knows.
pub fn parse_opt(mut args: Args<'_>, request: &mut Request<'_>) -> Result<(), Refused> {
    match parse::parse(&mut args) {
        Ok(options) => fill(request, &options, args),
        Err(error) => Err(report(error)),
    }
}

/// Prints what the kernel says of a device.
pub fn print_opt(attributes: &Attributes<'_>) {
    print::print(|attribute| attributes.u32(attribute), &mut Console);
}

/// Prints the usage.
pub fn print_help(file: &mut File) {
    file.put(USAGE);
}

fn fill(request: &mut Request<'_>, options: &Options, child: Args<'_>) -> Result<(), Refused> {
    if let Some(mode) = options.mode {
        request.put_u32(IFLA_PASSTHRU_MODE, mode)?;
    }
    if let Some(set) = options.shortcuts {
        request.put_u32(IFLA_PASSTHRU_SHORTCUTS, set)?;
    }
    if let Some(switch) = options.spoofchk {
        request.put_u32(IFLA_PASSTHRU_SPOOFCHK, switch)?;
    }
    if !options.peer {
        return Ok(());
    }
    if !request.creates() {
        // The words would be read as those of a device that is there.
        File::stderr().put(c"Error: \"peer\" can only be given when a pair is created.\n");
        return Err(Refused);
    }
    request.put_link(IFLA_PASSTHRU_PEER_INFO, child)
}

fn report(error: Error<'_>) -> Refused {
    let mut stderr = File::stderr();
    match error {
        Error::Help => print_help(&mut stderr),
        Error::Unknown(word) => {
            stderr.put(c"Error: passthru: unknown option \"");
            stderr.put(word);
            stderr.put(c"\".\n");
            print_help(&mut stderr);
        }
        Error::Incomplete => ffi::incomplete(),
        Error::Duplicate(option, value) => ffi::duplicate(option, value),
        Error::Invalid(message, value) => ffi::invalid(message, value),
    }
    Refused
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Build the module for a lab's kernel, and what runs beside it.

# need_build [DIR] - build/, and DIR in it, can be written: after a sudo it may be root's.
need_build() {
	local bad
	[ -e "$TOP/build" ] || [ -w "$TOP" ] || die "cannot write to $TOP: who owns it builds"
	bad=$(find "$TOP/build" "$TOP/build/iproute2" "${1:-$TOP/build}" -maxdepth 1 ! -type l ! -writable -print -quit 2>/dev/null) || true
	[ -z "$bad" ] || die "${bad#"$TOP/"} belongs to $(stat -c %U "$bad"): sudo rm -rf build"
}

# A build leaves the time when it was begun in DIR/.built: what has changed since is
# not in it.
begin_build() {
	mkdir -p "$1"
	touch "$1/.begun"
}
end_build() { mv "$1/.begun" "$1/.built"; }

# newer_source DIR [MORE...] - a source of the module (and of MORE) that is newer
# than the build in DIR, if one is.
newer_source() {
	local built=$1/.built newer
	shift
	[ -e "$built" ] || built=${built%.built}passthru.ko
	newer=$(cd "$TOP" && find src include Kbuild "$@" -type f -newer "$built" -print -quit)
	echo "$newer"
}

# module_vars LAB - what a module for TREE is built with, one NAME=VALUE a line. Warnings are
# gcc's to tell, of all that is C.
module_vars() {
	in_toolchain "$TOP/scripts/kernel/vars" "$1" "$TREE"
	[ "$1" != stock ] || [ -n "${W:-}" ] || in_toolchain "$TOP/scripts/kernel/inline"
}

# build_into DIR LAB - the module for that lab's kernel, in DIR.
build_into() {
	local out=$1 lab=$2 vars
	tree "$lab"
	mapfile -t vars < <(module_vars "$lab")
	begin_build "$out"
	in_toolchain make -s -C "$TREE" M="$TOP" MO="$out" "${vars[@]}" ${CLIPPY:+CLIPPY=1} ${W:+W=$W} -j"$(nproc)" modules
	end_build "$out"
}

# build_module LAB - module and plugin into build/, nothing beside sources.
build_module() {
	need_build "$TOP/build/$1"
	mkdir -p "$TOP/build"
	(
		flock 9
		build_into "$TOP/build/$1" "$1"
		in_toolchain make -s -C "$TOP/iproute2" O="$TOP/build/iproute2"
	) 9>"$TOP/build/.lock"
}

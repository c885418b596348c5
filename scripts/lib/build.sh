# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Build the module for a lab's kernel, and what runs beside it.

# build_into DIR LAB - the module for that lab's kernel, in DIR.
build_into() {
	local out=$1 lab=$2 vars
	tree "$lab"
	mapfile -t vars < <(in_toolchain "$TOP/scripts/kernel/vars" "$lab" "$TREE")
	mkdir -p "$out"
	in_toolchain make -s -C "$TREE" M="$TOP" MO="$out" "${vars[@]}" ${CLIPPY:+CLIPPY=1} ${W:+W=$W} -j"$(nproc)" modules
}

# build_module LAB - module and plugin into build/, nothing beside sources.
build_module() {
	mkdir -p "$TOP/build"
	(
		flock 9
		build_into "$TOP/build/$1" "$1"
		in_toolchain make -s -C "$TOP/iproute2" O="$TOP/build/iproute2"
	) 9>"$TOP/build/.lock"
}

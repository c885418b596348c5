# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Build the module for a lab's kernel, and what runs beside it.

# make_vars LAB - the make variables of a module build for that kernel.
make_vars() {
	case $1 in
	stock) echo "ARCH=x86 CC=gcc-$(suite_gcc)" ;;
	*) "$TOP/scripts/kernel/vars" "$1" ;;
	esac
}

# build_module LAB [MAKE ARGUMENT...] - into build/LAB, nothing beside sources.
build_module() {
	local lab=$1 out=$TOP/build/$1 vars
	shift
	tree "$lab"
	read -ra vars <<<"$(make_vars "$lab")"
	mkdir -p "$out"
	(
		flock 9
		in_toolchain make -s -C "$TREE" M="$TOP" MO="$out" "${vars[@]}" -j"$(nproc)" "$@" modules
		in_toolchain make -s -C "$TOP/iproute2" O="$TOP/build/iproute2"
	) 9>"$TOP/build/.lock"
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Kernels: which one the suite has today, its source, and a build tree for
# modules of it. Debian's headers package has no rust/ directory, so the tree
# is prepared from the source of the same version with the package's own
# configuration and Module.symvers: its Rust symbols are then those the stock
# kernel exports.

# Set once it is known which kernel; KREL and KDIR the user may have set for another
# purpose (`make KREL=`).
KERNEL_KNOWN=

# query_kernel FLAVOUR SUITE - asks apt in the toolchain root. Debian's package names
# carry the release: linux-image-cloud-amd64 depends on linux-image-<release>.
query_kernel() {
	local record release version
	apt-get -qq update >&2
	record=$(apt-cache show "linux-image-$1/$2")
	release=$(sed -n 's/^Depends:.* linux-image-\([^ ,]*\) .*/\1/p' <<<"$record" | head -n 1)
	version=$(sed -n 's/^Version: //p' <<<"$record" | head -n 1)
	[ -n "$release" ] && [ -n "$version" ] && echo "$release $version"
}

# Sets KREL (uname -r) and KVER (Debian's version). What the suite has is asked
# once a day; without a network the last answer serves.
resolve_kernel() {
	local file=$CACHE/kernel/$KERNEL_SUITE-$KERNEL_FLAVOUR
	[ -z "$KERNEL_KNOWN" ] || return 0
	toolchain
	mkdir -p "$CACHE/kernel"
	if [ -z "$(find "$file" -mmin -1440 2>/dev/null)" ] && ! ask_kernel "$file" && [ ! -e "$file" ]; then
		die "apt found no linux-image-$KERNEL_FLAVOUR in $KERNEL_SUITE; see $CACHE/log/resolve.log"
	fi
	read -r KREL KVER <"$file"
	KDIR=$CACHE/kernel/$KREL
	KERNEL_KNOWN=1
}

# ask_kernel FILE - the answer into FILE, if there is one.
ask_kernel() {
	local answer
	answer=$(in_toolchain bash -c "$(declare -f query_kernel); query_kernel $KERNEL_FLAVOUR $KERNEL_SUITE" 2>"$CACHE/log/resolve.log") || return
	echo "$answer" >"$1.$$" && mv "$1.$$" "$1"
}

# A mirror keeps the newest kernel only: one that could not be fetched may just have
# been replaced. next_kernel ARG... - at the end of scripts/lab ARG...: if that was why
# it failed, it is begun anew.
next_kernel() {
	local status=$? gone=$CACHE/kernel/.gone-$$
	if [ "$status" -ne 0 ] && [ -z "${LAB_GONE:-}" ] && [ -e "$gone" ]; then
		LAB_GONE=$(cat "$gone")
		export LAB_GONE
		exec "$TOP/scripts/lab" "$@"
	fi
	rm -f "$gone"
	exit "$status"
}

# ask_again - and then what the suite has now is asked. All has been said if it is
# what could not be fetched.
ask_again() {
	local file=$CACHE/kernel/$KERNEL_SUITE-$KERNEL_FLAVOUR
	rm -f "$CACHE/kernel/.gone-$$"
	toolchain
	ask_kernel "$file" && [ "$(cat "$file")" != "$LAB_GONE" ] || exit 1
	say "kernel ${LAB_GONE% *} has left the mirror; once more with $(cut -d' ' -f1 "$file")"
}

# fetch_packages DIR NAME... - download and unpack exact versions into DIR.
fetch_packages() {
	local dir=$1 name
	shift
	mkdir -p "$dir/deb"
	for name in "$@"; do
		(cd "$dir/deb" && in_toolchain apt-get -qq -o APT::Sandbox::User=root download "$name=$KVER") || {
			# Only where it is the suite's of today is there another answer.
			! grep -sqxF "$KREL $KVER" "$CACHE/kernel/$KERNEL_SUITE-$KERNEL_FLAVOUR" || echo "$KREL $KVER" >"$CACHE/kernel/.gone-$$"
			exit 1
		}
	done
	# shellcheck disable=SC2016 # the inner shell expands
	in_toolchain bash -ec 'for deb in "$1"/deb/*.deb; do dpkg-deb -x "$deb" "$1"; done' - "$dir"
	rm -rf "$dir/deb"
}

make_source() {
	local series=${KVER%%-*}
	series=$(cut -d. -f1,2 <<<"$series")
	fetch_packages "$1/pkg" "linux-source-$series"
	in_toolchain tar -C "$1" --strip-components=1 -xf "$1/pkg/usr/src/linux-source-$series.tar.xz"
	rm -rf "$1/pkg"
}

make_stock() {
	local dir=$1 headers
	fetch_packages "$dir.pkg" "linux-headers-$KREL"
	headers=$dir.pkg/usr/src/linux-headers-$KREL
	cp "$headers/.config" "$headers/Module.symvers" "$dir/"
	# BTF of the running kernel, for modules' own and for bpftool.
	[ ! -e "$headers/vmlinux" ] || cp "$headers/vmlinux" "$dir/"
	rm -rf "$dir.pkg"
	check_rust "$dir/.config" "$KREL"
	cp "$dir/Module.symvers" "$dir/Module.symvers.debian"
	in_toolchain make -C "$KDIR/source" O="$dir" ARCH=x86 "CC=gcc-$(suite_gcc)" "KERNELRELEASE=$KREL" \
		-j"$(nproc)" olddefconfig modules_prepare
	cmp "$dir/Module.symvers" "$dir/Module.symvers.debian"
	# olddefconfig takes away what it finds no tools for. It was there, so that is why.
	grep -q '^CONFIG_RUST=y' "$dir/.config" || lacks_rust_tools "$dir"
}

# lacks_rust_tools TREE - say which: the kernel's build system knows.
lacks_rust_tools() {
	in_toolchain make -C "$KDIR/source" O="$1" ARCH=x86 "CC=gcc-$(suite_gcc)" rustavailable || true
	die "kernel $KREL has Rust, but of what it takes (rustc, rust-src, bindgen, gcc, pahole) something is missing here, or of no use: see above"
}

# check_rust CONFIG RELEASE - a module needs a kernel with Rust, and its rustc.
check_rust() {
	local want have
	grep -q '^CONFIG_RUST=y' "$1" ||
		die "kernel $2 was built without CONFIG_RUST: passthru cannot be built for it"
	want=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$1")
	have=$(in_toolchain rustc --version)
	[ "$want" = "$have" ] || die "kernel $2 was built by $want, but here is $have: passthru needs the same one (if the suite has that by now: 'make distclean', and all is made anew)"
}

make_lab_kernel() { in_toolchain "$TOP/scripts/kernel/build" "$2" "$KDIR/source" "$1"; }

source_tree() {
	resolve_kernel
	part "source-$KREL" "$KDIR/source" 30 4 make_source
}

# tree LAB - sets TREE to the build tree of the lab's kernel.
tree() {
	local key
	resolve_kernel
	case $1 in
	stock)
		TREE=$KDIR/stock
		[ -e "$TREE/.complete" ] && return
		source_tree
		part "stock-$KREL" "$TREE" 100 2 make_stock
		;;
	uml | debug)
		[ "$1" = uml ] || more_tools llvm
		key=$(recipe_hash "$TOP"/scripts/kernel/{build,vars,base.config,net.config,"$1.config"})
		TREE=$KDIR/$1-$key
		[ -e "$TREE/.complete" ] && return
		source_tree
		part "$1-$KREL" "$TREE" "$([ "$1" = uml ] && echo 400 || echo 800)" 6 make_lab_kernel "$1"
		;;
	*) die "no lab '$1': stock, uml and debug are" ;;
	esac
}

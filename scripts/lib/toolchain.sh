# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The toolchain root: a directory with the suite's compilers, bindgen, QEMU
# and checkers. A kernel module must be built by the very rustc its kernel
# names, and a host of another release cannot install that one.

# Set once it is there; the user's own TOOLCHAIN is not ours.
TOOLCHAIN=

# host_tools TOOL=PACKAGE... - see that the host has the few tools that bring
# up the rest; as root they are installed, else asked for.
host_tools() {
	local pair missing=()
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
	done
	[ ${#missing[@]} -eq 0 ] && return
	[ "$(id -u)" = 0 ] || die "missing here: install ${missing[*]} (apt-get install ${missing[*]})"
	say "installing on this machine: ${missing[*]}"
	make_cache
	# A new machine may just be installing by itself.
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"; } \
		>"$CACHE/log/host.log" 2>&1 || die "apt-get could not install ${missing[*]}; see $CACHE/log/host.log"
}

# Without root the roots are made and entered in a user namespace. Root of a container
# may lack what that takes, too.
need_privilege() {
	local said
	if [ "$(id -u)" = 0 ]; then
		said=$(unshare --mount --pid --fork mount -t proc proc /proc 2>&1) ||
			die "root, but not allowed to mount here, which takes CAP_SYS_ADMIN (in a container: docker run --privileged): ${said%%$'\n'*}"
		return
	fi
	host_tools newuidmap=uidmap
	unshare --user --map-auto --map-root-user true 2>/dev/null ||
		die "not root, and user namespaces with subordinate ids do not work here (see /etc/subuid, user.max_user_namespaces): run as root"
}

# What the lab needs of the machine itself.
lab_tools() {
	[ -z "${PASSTHRU_IN_TOOLCHAIN:-}" ] || return 0
	make_cache
	need_privilege
	host_tools mmdebstrap=mmdebstrap flock=util-linux sha256sum=coreutils
	# What is made first is made of the mirror's: without one, one line is better than a log.
	compgen -G "$CACHE/toolchain/*/.complete" >/dev/null || suite_mirror >/dev/null
}

# packages NAME - the list scripts/packages/NAME, with commas, for this suite.
packages() {
	sed -e '/^#/d' -e "s/@GCC@/$(suite_gcc)/" -e "s/@LLVM@/$(suite_llvm)/" "$TOP/scripts/packages/$1" | paste -sd,
}

# debootstrap_root TARGET PACKAGES [OPTION...] - a minimal root of the suite.
debootstrap_root() {
	local target=$1 list=$2 mode=unshare
	shift 2
	[ "$(id -u)" = 0 ] && mode=root
	# Nobody reads manuals there, and nobody mends it after a power cut. Half of
	# what is left would be static libraries of LLVM and tools beside rustc.
	suite_sources | mmdebstrap --mode=$mode --variant=minbase --skip=cleanup/apt/lists \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/lib/llvm-*/lib/*.a' \
		--dpkgopt='path-exclude=/usr/src/rustc-*/src/tools/*' --dpkgopt='path-exclude=/usr/src/rustc-*/src/doc/*' \
		--include="$list" "$@" "$SUITE" "$target" -
}

make_toolchain() { debootstrap_root "$1/root" "$(packages toolchain)"; }

# Sets TOOLCHAIN to the root, made where it is not there yet.
toolchain() {
	local key
	[ -z "$TOOLCHAIN" ] || return 0
	suite_gcc >/dev/null
	make_cache
	if [ -n "${PASSTHRU_IN_TOOLCHAIN:-}" ]; then
		TOOLCHAIN=/
		return
	fi
	lab_tools
	key=$(recipe_hash make_toolchain debootstrap_root suite_gcc suite_llvm "$TOP/scripts/packages/toolchain")
	part "toolchain-$SUITE" "$CACHE/toolchain/$SUITE-$key" 90 6 make_toolchain
	TOOLCHAIN=$CACHE/toolchain/$SUITE-$key/root
}

# more_tools NAME - what scripts/packages/NAME lists is in the toolchain root too.
# Not all of it at once: who wants to see the module run waits for less.
more_tools() {
	toolchain
	[ "$TOOLCHAIN" != / ] || return 0
	part "toolchain-$SUITE-$1" "${TOOLCHAIN%/root}/$1-$(recipe_hash make_more_tools "$TOP/scripts/packages/$1")" 20 1 \
		add_more_tools "$1"
}

# Into a root that is there already: what a run that was stopped has left half
# installed must be whole before apt installs anything. The key is make_more_tools
# alone, which is what comes to be there.
add_more_tools() {
	mend_packages
	make_more_tools "$@"
}

# Another part may be installing meanwhile: dpkg does not wait for that, apt does.
mend_packages() {
	# shellcheck disable=SC2016 # the inner shell expands
	in_toolchain bash -ec '
		export DEBIAN_FRONTEND=noninteractive
		options=(-qq -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300 --no-install-recommends)
		dpkg --configure -a || true
		apt-get "${options[@]}" -f install -y || { apt-get "${options[@]}" update && apt-get "${options[@]}" -f install -y; }'
}

make_more_tools() {
	local list
	mapfile -t -d, list < <(packages "$2" | tr -d '\n')
	# shellcheck disable=SC2016 # the inner shell expands
	in_toolchain bash -ec '
		export DEBIAN_FRONTEND=noninteractive
		options=(-qq -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300 --no-install-recommends)
		apt-get "${options[@]}" install -y "$@" || { apt-get "${options[@]}" update && apt-get "${options[@]}" install -y "$@"; }' \
		- "${list[@]}"
}

# A work tree of `git worktree` has its repository elsewhere, and who lists the
# sources asks git.
git_elsewhere() {
	local dir
	dir=$(git -c safe.directory='*' -C "$TOP" rev-parse --path-format=absolute --git-common-dir 2>/dev/null) || return 0
	[ "${dir#"$TOP"/}" != "$dir" ] || echo "$dir"
}

# in_toolchain COMMAND... - run it there, in this directory, with the checkout
# and the cache at their own paths. Whatever it starts ends with it. Within the
# root, or on a machine that is as good, it is just run.
in_toolchain() {
	local userns=()
	toolchain
	if [ "$TOOLCHAIN" = / ]; then
		"$@"
		return
	fi
	[ "$(id -u)" = 0 ] || userns=(--user --map-auto --map-root-user)
	LAB_BIND="${LAB_BIND:-} $(git_elsewhere)" unshare "${userns[@]}" --mount --pid --fork --kill-child -- \
		"$TOP/scripts/lib/enter" "$TOOLCHAIN" "$TOP" "$CACHE" "$PWD" "$@"
}

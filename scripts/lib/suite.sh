# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What differs between the Debian suites whose kernels we build for. The one
# place to add a suite; everything else is resolved from its packages.

# The compiler Debian built the suite's kernel with.
suite_gcc() {
	case $SUITE in
	trixie) echo 14 ;;
	forky | sid) echo 16 ;;
	*) die "KERNEL_SUITE=$KERNEL_SUITE is not known here: trixie-backports, forky and sid are (their kernels have CONFIG_RUST)" ;;
	esac
}

# The LLVM whose libclang bindgen uses, and that builds the debug kernel.
suite_llvm() {
	case $SUITE in
	trixie) echo 19 ;;
	*) echo 21 ;;
	esac
}

# What apt here has of a Debian release: the first mirror that ends in /debian, as
# nearly all do, else the first whose release file says that it is Debian's.
apt_mirror() {
	# shellcheck disable=SC2016 # the format is apt's, not the shell's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
		awk '$3 != "main" || $2 ~ /security|updates|backports/ { next }
			$1 ~ /\/debian\/?$/ { usual = usual ? usual : $1 }
			NF == 4 && $4 == "Debian" { other = other ? other : $1 }
			END { print usual ? usual : other }'
}

# Images of containers have no lists of packages, and without them apt tells nothing.
# Of several parts that are made at once one fetches them.
updated_mirror() {
	(
		flock 7
		apt_mirror | grep . && exit
		[ "$(id -u)" = 0 ] || exit
		say 'apt has no lists of packages here: apt-get update'
		# It fails where any source does, and that may be another one.
		apt-get -qq update >&2 || true
		apt_mirror
	) 7<"$CACHE"
}

# first_mirror FILE - a list of mirrors, as images for the cloud have it.
first_mirror() { awk '$1 ~ /^[a-z][a-z0-9+.-]*:\// { print $1; exit }' "$1"; }

# The mirror of this machine's own apt configuration, so that no host is
# written down here and a local mirror or proxy is respected.
suite_mirror() {
	local uri=${PASSTHRU_MIRROR:-} list
	[ -n "$uri" ] || uri=$(apt_mirror | grep . || updated_mirror) || true
	case $uri in
	mirror+file:*)
		list=${uri#mirror+file:}
		uri=$(first_mirror "${list%/}") || true
		;;
	esac
	[ -n "$uri" ] || die "apt on this machine names no Debian mirror (main): run 'apt-get update' as root, or name one by PASSTHRU_MIRROR=URI"
	echo "${uri%/}"
}

# The apt sources of a root of this suite, one a line.
suite_sources() {
	local mirror key=/usr/share/keyrings/debian-archive-keyring.gpg option=''
	mirror=$(suite_mirror) || exit 1
	[ -e "$key" ] && option="[signed-by=$key] "
	echo "deb ${option}$mirror $SUITE main"
	[ "$SUITE" = "$KERNEL_SUITE" ] || echo "deb ${option}$mirror $KERNEL_SUITE main"
}

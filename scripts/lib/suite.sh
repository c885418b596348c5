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

# The mirror of this machine's own apt configuration, so that no host is
# written down here and a local mirror or proxy is respected.
suite_mirror() {
	local uri
	# shellcheck disable=SC2016 # the format is apt's, not the shell's
	uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
		awk '$3 == "main" && $2 !~ /security|updates|backports/ && $1 ~ /\/debian\/?$/ { print $1; exit }')
	[ -n "$uri" ] || die "apt on this machine names no Debian mirror (main): the lab's roots are made from one"
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

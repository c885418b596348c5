/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For clang, where the kernel was configured for gcc: what gcc has and clang has not. Its kconfig says the
 * same where clang is the compiler. It must come before all headers but this one.
 */
#include <linux/kconfig.h>

/* Of a variable by a segment register clang forgets the segment in inline assembly. */
#undef CONFIG_CC_HAS_NAMED_AS
#undef CONFIG_USE_X86_SEG_SUPPORT

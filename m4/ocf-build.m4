# Warnings, sanitizers, hardening and fuzzing, each flag probed before it is used.

# OCF_ADD_CFLAG(variable, flag): add the flag if the compiler takes it.
AC_DEFUN([OCF_ADD_CFLAG], [
	AC_MSG_CHECKING([whether $CC takes $2])
	ocf_saved="$CFLAGS"
	CFLAGS="$CFLAGS -Werror $2"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes])
		$1="[$]$1 $2"],
		[AC_MSG_RESULT([no])])
	CFLAGS="$ocf_saved"
])

# OCF_ADD_LDFLAG(variable, flag): likewise for the linker.
AC_DEFUN([OCF_ADD_LDFLAG], [
	AC_MSG_CHECKING([whether the linker takes $2])
	ocf_saved="$LDFLAGS"
	LDFLAGS="$LDFLAGS $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes])
		$1="[$]$1 $2"],
		[AC_MSG_RESULT([no])])
	LDFLAGS="$ocf_saved"
])

AC_DEFUN([OCF_WARNINGS], [
	WARN_CFLAGS=
	m4_foreach_w([ocf_flag], [-std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes
		-Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2
		-Wimplicit-fallthrough -Wundef -Wconversion -Wdate-time],
		[OCF_ADD_CFLAG([WARN_CFLAGS], m4_defn([ocf_flag]))])
	dnl uthash's macros fall through on purpose; it says so in a way that gcc alone reads,
	dnl and gcc judges our own code.
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
		#ifndef __clang__
		#error
		#endif]])],
		[WARN_CFLAGS="$WARN_CFLAGS -Wno-implicit-fallthrough"])
	AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [make warnings errors])],
		[AS_IF([test "x$enableval" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])])
	AC_SUBST([WARN_CFLAGS])
])

AC_DEFUN([OCF_SANITIZERS], [
	AC_ARG_ENABLE([sanitizers], [AS_HELP_STRING([--enable-sanitizers=LIST],
		[build with these, for instance address,undefined (the default of yes) or thread])],
		[], [enable_sanitizers=no])
	AS_IF([test "x$enable_sanitizers" = xyes], [enable_sanitizers=address,undefined])
	SANITIZE_CFLAGS=
	AS_IF([test "x$enable_sanitizers" != xno], [
		SANITIZE_CFLAGS="-fsanitize=$enable_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1"
		AC_DEFINE([OCF_SANITIZED], [1], [Built with a sanitizer.])])
	AM_CONDITIONAL([SANITIZED], [test "x$enable_sanitizers" != xno])
	AC_SUBST([SANITIZE_CFLAGS])
])

AC_DEFUN([OCF_HARDENING], [
	AC_ARG_ENABLE([hardening], [AS_HELP_STRING([--disable-hardening],
		[leave the compiler's protections out])], [], [enable_hardening=yes])
	HARDEN_CFLAGS=
	HARDEN_LDFLAGS=
	AS_IF([test "x$enable_hardening" = xyes], [
		dnl Without -ftrivial-auto-var-init=zero: with it gcc 12 clears what it takes for
		dnl padding of a struct with arrays in it, and hits its members
		dnl (tests/unit/test-daemon-aside.c has a case).
		m4_foreach_w([ocf_flag], [-fstack-protector-strong -fstack-clash-protection
			-fcf-protection=full -fno-delete-null-pointer-checks -fPIE],
			[OCF_ADD_CFLAG([HARDEN_CFLAGS], m4_defn([ocf_flag]))])
		m4_foreach_w([ocf_flag], [-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
			-Wl,--as-needed], [OCF_ADD_LDFLAG([HARDEN_LDFLAGS], m4_defn([ocf_flag]))])
		dnl FORTIFY needs optimisation and is not for sanitized builds.
		AS_IF([test "x$enable_sanitizers" = xno], [AS_CASE([" $CFLAGS "], [*" -O0 "*], [],
			[HARDEN_CFLAGS="$HARDEN_CFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"])])
	])
	AC_SUBST([HARDEN_CFLAGS])
	AC_SUBST([HARDEN_LDFLAGS])
])

# With --enable-fuzzing (CC=clang) the targets in tests/fuzz are libFuzzer programs; without
# it they replay their corpus in `make check`.
AC_DEFUN([OCF_FUZZING], [
	AC_ARG_ENABLE([fuzzing], [AS_HELP_STRING([--enable-fuzzing],
		[build the fuzz targets with libFuzzer (CC=clang)])], [], [enable_fuzzing=no])
	FUZZ_FLAGS=
	AS_IF([test "x$enable_fuzzing" = xyes], [
		FUZZ_FLAGS="-fsanitize=fuzzer"
		SANITIZE_CFLAGS="$SANITIZE_CFLAGS -fsanitize=fuzzer-no-link"
		AC_DEFINE([OCF_LIBFUZZER], [1], [Fuzz targets are libFuzzer programs.])])
	AM_CONDITIONAL([FUZZING], [test "x$enable_fuzzing" = xyes])
	AC_SUBST([FUZZ_FLAGS])
])

# OCF_DIR(variable, default, what): a folder that --with-VARIABLE names; `no` leaves its files
# out. The defaults are under the prefix, so that an installation never writes beside it;
# a distribution names the real ones.
AC_DEFUN([OCF_DIR], [
	AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [$3 @<:@$2@:>@])],
		[], [with_$1=yes])
	AS_CASE([$with_$1], [yes], [$1='$2'], [no], [$1=], [$1=$with_$1])
	AM_CONDITIONAL([INSTALL_]m4_toupper([$1]), [test "x$$1" != x])
	AC_SUBST([$1])
])

AC_DEFUN([OCF_DIRS], [
	OCF_DIR([systemdsystemunitdir], [${prefix}/lib/systemd/system], [systemd's units])
	OCF_DIR([sysusersdir], [${prefix}/lib/sysusers.d], [systemd's users])
	OCF_DIR([tmpfilesdir], [${prefix}/lib/tmpfiles.d], [systemd's folders])
	OCF_DIR([bashcompletiondir], [${datadir}/bash-completion/completions],
		[completions of bash])
])

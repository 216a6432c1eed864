noinst_LIBRARIES += %D%/libident.a
%C%_libident_a_SOURCES = \
	%D%/audit.c %D%/audit.h \
	%D%/base32.c %D%/base32.h \
	%D%/cert.c %D%/cert.h \
	%D%/checker.c %D%/checker.h \
	%D%/crypto.h \
	%D%/identity.c %D%/identity.h \
	%D%/invites.c %D%/invites.h \
	%D%/key.c %D%/key.h \
	%D%/sha256.c %D%/sha256.h \
	%D%/token.c %D%/token.h \
	%D%/typo.c %D%/typo.h

if HAVE_CUNIT
check_PROGRAMS += tests/unit/test-ident-key tests/unit/test-ident-cert \
	tests/unit/test-ident-token tests/unit/test-ident-checker
TESTS += tests/unit/test-ident-key tests/unit/test-ident-cert tests/unit/test-ident-token \
	tests/unit/test-ident-checker
tests_unit_test_ident_checker_SOURCES = tests/unit/test-ident-checker.c
tests_unit_test_ident_checker_LDADD = $(TEST_LIBS) $(IDENT_LIBS)
tests_unit_test_ident_key_SOURCES = tests/unit/test-ident-key.c
tests_unit_test_ident_key_LDADD = $(TEST_LIBS) $(IDENT_LIBS)
tests_unit_test_ident_cert_SOURCES = tests/unit/test-ident-cert.c
tests_unit_test_ident_cert_LDADD = $(TEST_LIBS) $(IDENT_LIBS)
tests_unit_test_ident_token_SOURCES = tests/unit/test-ident-token.c
tests_unit_test_ident_token_LDADD = $(TEST_LIBS) $(IDENT_LIBS)
endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "net/tls-files.h"

#include <string.h>

#include <openssl/err.h>

#include "base/bytes.h"
#include "base/file.h"

enum { TLS_FILE_BYTES_MAX = 1024 * 1024 };

static const char *
tls_files_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	return text != NULL ? text : "no reason given";
}

/* Nobody is there to type a passphrase. */
static int
tls_files_no_passphrase(char *out, int size, int is_write, void *arg)
{
	(void)out, (void)size, (void)is_write, (void)arg;
	return -1;
}

/* OpenSSL's own words for a file that cannot be read are of no use. */
static int
tls_files_check(const char *cert, const char *key, struct errmsg *err)
{
	struct buf text = BUF_INIT;
	int rc = file_read_secret(key, TLS_FILE_BYTES_MAX, &text, err);

	if (text.len > 0)
		explicit_bzero(text.data, text.len);
	buf_clear(&text);
	if (rc == 0)
		rc = file_read(cert, TLS_FILE_BYTES_MAX, &text, err);
	buf_fini(&text);
	return rc;
}

int
tls_files_load(SSL_CTX *ctx, const char *cert, const char *key, struct errmsg *err)
{
	int rc = tls_files_check(cert, key, err);

	if (rc < 0)
		return rc;
	ERR_clear_error();
	SSL_CTX_set_default_passwd_cb(ctx, tls_files_no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		rc = error_set(err, -OCF_EMALFORMED, "%s holds no certificate: %s", cert,
			       tls_files_reason());
	else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(ctx) != 1)
		rc = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509
			     ? error_set(err, -OCF_EMALFORMED,
					 "the key in %s is not that of the certificate "
					 "in %s",
					 key, cert)
			     : error_set(err, -OCF_EMALFORMED,
					 "%s holds no key that can be read: %s", key,
					 tls_files_reason());
	ERR_clear_error();
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate and its key in files, as a person is given them by an authority. */
#ifndef OCF_NET_TLS_FILES_H
#define OCF_NET_TLS_FILES_H

#include <openssl/ssl.h>

#include "base/error.h"

/* Load a certificate, with those that lead to its authority behind it, and its key, both PEM.
 * The key must not be encrypted, and only its owner may read it. -EPERM when others can,
 * -OCF_EMALFORMED, or as open(2); the reason names the file. */
int tls_files_load(SSL_CTX *ctx, const char *cert, const char *key, struct errmsg *err);

#endif

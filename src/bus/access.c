/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/access.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/percent.h"
#include "bus/protocol.h"

enum { ACCESS_FILE_BYTES_MAX = 1024 * 1024 };

static bool
access_is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* ---- servers ---- */

void
access_place_fini(struct access_place *place)
{
	if (place->password != NULL)
		explicit_bzero(place->password, strlen(place->password));
	if (place->user != NULL) /* it may be a token */
		explicit_bzero(place->user, strlen(place->user));
	free(place->user);
	free(place->password);
	*place = (struct access_place){ 0 };
}

static int
place_scheme(const char **at, bool may_quote, bool *ret_tls, struct errmsg *err)
{
	const char *end = strstr(*at, "://");

	*ret_tls = false;
	if (end == NULL)
		return 0;
	if (strncmp(*at, "tls://", 6) == 0)
		*ret_tls = true;
	else if (strncmp(*at, "nats://", 7) != 0)
		return error_set(err, -EINVAL,
				 "%.*s:// is not spoken here; it must be nats:// or "
				 "tls://",
				 !may_quote	  ? 0
				 : end - *at > 32 ? 32
						  : (int)(end - *at),
				 *at);
	*at = end + 3;
	return 0;
}

/* A user, password or token, as it is meant. */
static int
place_decode(const char *at, size_t len, const char *server, char **ret,
	     struct errmsg *err)
{
	char *text = percent_decode(bytes_of(at, len), false);

	if (text == NULL)
		return error_set(
			err, -EINVAL,
			"in front of the @ of %.100s stands a %% without the two "
			"hex digits of a byte; a %% itself is written %%25",
			server);
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x20 && *p != 0x7f)
			continue;
		explicit_bzero(text, strlen(text));
		free(text);
		return error_set(err, -EINVAL,
				 "in front of the @ of %.100s stands a control character",
				 server);
	}
	*ret = text;
	return 0;
}

/* user:password@ or token@, percent-encoded. What is quoted here is not what stands in front
 * of the @. */
static int
place_user(const char **at, struct access_place *place, struct errmsg *err)
{
	const char *end = strrchr(*at, '@'), *colon;
	int rc;

	if (end == NULL)
		return 0;
	for (const char *p = *at; p < end; p++)
		if ((unsigned char)*p <= 0x20 || *p == 0x7f)
			return error_set(err, -EINVAL,
					 "white space in front of the @ of %.100s: write "
					 "%%20, or use a credentials file",
					 end + 1);
	colon = memchr(*at, ':', (size_t)(end - *at));
	if (end == *at || colon == *at || (colon != NULL && colon + 1 == end))
		return error_set(err, -EINVAL,
				 "in front of the @ of %.100s there must be "
				 "user:password or a token",
				 end + 1);
	rc = place_decode(*at, (size_t)((colon != NULL ? colon : end) - *at), end + 1,
			  &place->user, err);
	if (rc == 0 && colon != NULL)
		rc = place_decode(colon + 1, (size_t)(end - colon - 1), end + 1,
				  &place->password, err);
	*at = end + 1;
	return rc;
}

/* host, host:port, [v6] or [v6]:port; a / behind it means nothing. */
static int
place_host(const char *at, bool may_quote, struct access_place *place, struct errmsg *err)
{
	size_t len = strlen(at), host_len;
	const char *host = at, *port = NULL;
	struct in6_addr v6;
	uint64_t number = ACCESS_PORT;
	bool is_bracketed = at[0] == '[';

	if (len > 0 && at[len - 1] == '/')
		len--;
	if (is_bracketed) {
		host++;
		host_len = strcspn(host, "]");
		port = host[host_len] == ']' ? host + host_len + 1 : host;
	} else {
		host_len = strcspn(host, ":/");
		port = host + host_len;
	}
	if (port < at + len && port[0] == ':') {
		char text[8] = "";

		if (at + len - port < (ptrdiff_t)sizeof(text))
			snprintf(text, sizeof(text), "%.*s", (int)(at + len - port - 1),
				 port + 1);
		if (bus_protocol_number(text, 65535, &number) < 0 || number == 0)
			number = 0;
	} else if (port != at + len) {
		number = 0;
	}
	snprintf(place->host, sizeof(place->host), "%.*s",
		 host_len < sizeof(place->host) ? (int)host_len : 0, host);
	place->port = (int)number;
	if (number == 0 || place->host[0] == '\0' ||
	    strcspn(place->host, " \t\r\n\"\\/@[]<>") != strlen(place->host) ||
	    (is_bracketed && inet_pton(AF_INET6, place->host, &v6) != 1))
		return error_set(err, -EINVAL,
				 may_quote ? "'%.100s' is not host, host:port or "
					     "[IPv6]:port"
					   : "a server is not host, host:port or "
					     "[IPv6]:port; a password with a comma in "
					     "it is written with %%2C, or in a "
					     "credentials file%.0s",
				 at);
	return 0;
}

/* `rest` is what stands behind it. With a @ there this may be the beginning of a password that
 * has a comma in it, and with one here a scheme may be that of one with ://: those are not
 * quoted. */
static int
place_parse(const char *item, const char *rest, struct access_place *place,
	    struct errmsg *err)
{
	bool may_quote = rest == NULL || strchr(rest, '@') == NULL;
	int rc = place_scheme(&item, may_quote && strchr(item, '@') == NULL,
			      &place->is_tls, err);

	if (rc == 0)
		rc = place_user(&item, place, err);
	return rc == 0 ? place_host(item, may_quote, place, err) : rc;
}

static void
places_fini(struct access_place *places, int len)
{
	for (int i = 0; i < len; i++)
		access_place_fini(&places[i]);
}

int
access_places(const struct bus_access *access,
	      struct access_place ret_places[ACCESS_PLACES_MAX], int *ret_len,
	      struct errmsg *err)
{
	char *text, *rest, *item;
	int len = 0, rc = 0;

	if (strlen(access->url) > ACCESS_URL_BYTES_MAX)
		return error_set(err, -OCF_ELIMIT, "longer than %d bytes",
				 ACCESS_URL_BYTES_MAX);
	text = rest = mem_strdup(access->url);
	while (rc == 0 && (item = strsep(&rest, ",")) != NULL) {
		size_t end;

		item += strspn(item, " \t");
		end = strlen(item);
		while (end > 0 && (item[end - 1] == ' ' || item[end - 1] == '\t'))
			item[--end] = '\0';
		if (end == 0)
			continue;
		if (len == ACCESS_PLACES_MAX) {
			rc = error_set(err, -OCF_ELIMIT, "more than %d servers",
				       ACCESS_PLACES_MAX);
			break;
		}
		ret_places[len] = (struct access_place){ 0 };
		rc = place_parse(item, rest, &ret_places[len++], err);
		ret_places[len - 1].is_tls |= access_is_given(access->ca) ||
					      access_is_given(access->cert);
	}
	if (rc == 0 && len == 0)
		rc = error_set(err, -EINVAL, "it names no server");
	explicit_bzero(text, strlen(access->url));
	free(text);
	if (rc < 0)
		places_fini(ret_places, len);
	else
		*ret_len = len;
	return rc;
}

char *
access_place_text(const struct access_place *place, char *out, size_t size)
{
	snprintf(out, size, strchr(place->host, ':') != NULL ? "[%s]:%d" : "%s:%d",
		 place->host, place->port);
	return out;
}

char *
access_text(const struct bus_access *access, char *out, size_t size)
{
	struct access_place places[ACCESS_PLACES_MAX];
	size_t at = 0;
	int len = 0;

	out[0] = '\0';
	if (access_places(access, places, &len, NULL) < 0)
		return out;
	for (int i = 0; i < len && at < size; i++) {
		char one[ACCESS_HOST_SIZE + 16];

		access_place_text(&places[i], one, sizeof(one));
		at += (size_t)snprintf(out + at, size - at, "%s%s%s", i > 0 ? "," : "",
				       places[i].is_tls ? "tls://" : "", one);
	}
	places_fini(places, len);
	return out;
}

/* What stands in front of the @, without what is secret. */
static void
place_put_user(struct buf *out, const struct access_place *place)
{
	if (place->user == NULL)
		return;
	if (place->password == NULL) {
		buf_put_text(out, ACCESS_HIDDEN "@");
		return;
	}
	for (const char *p = place->user; *p != '\0'; p++) {
		if (strchr("%:@,/ ", *p) != NULL)
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*p);
		else
			buf_put_u8(out, (uint8_t)*p);
	}
	buf_put_text(out, ":" ACCESS_HIDDEN "@");
}

char *
access_hide(const char *url)
{
	struct bus_access access = { .url = url };
	struct access_place places[ACCESS_PLACES_MAX];
	struct buf out = BUF_INIT;
	char *text;
	int len = 0;

	/* Of what cannot be taken apart nobody knows what is secret. */
	if (strchr(url, '@') == NULL)
		return mem_strdup(url);
	if (access_places(&access, places, &len, NULL) < 0)
		return mem_strdup(ACCESS_HIDDEN);
	for (int i = 0; i < len; i++) {
		char one[ACCESS_HOST_SIZE + 16];

		buf_put_text(&out, i > 0 ? "," : "");
		buf_put_text(&out, places[i].is_tls ? "tls://" : "nats://");
		place_put_user(&out, &places[i]);
		buf_put_text(&out, access_place_text(&places[i], one, sizeof(one)));
	}
	places_fini(places, len);
	text = mem_strdup(buf_text(&out));
	buf_fini(&out);
	return text;
}

/* ---- TLS ---- */

static const char *
tls_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	return text != NULL ? text : "no reason given";
}

static int
tls_load_own(const struct bus_access *access, SSL_CTX *tls, struct errmsg *err)
{
	struct buf text = BUF_INIT;
	int rc = file_read_secret(access->key, ACCESS_FILE_BYTES_MAX, &text, err);

	if (text.len > 0)
		explicit_bzero(text.data, text.len);
	buf_fini(&text);
	if (rc < 0)
		return rc;
	rc = file_read(access->cert, ACCESS_FILE_BYTES_MAX, &text, err);
	buf_fini(&text);
	if (rc < 0)
		return rc;
	if (SSL_CTX_use_certificate_chain_file(tls, access->cert) != 1)
		return error_set(err, -OCF_EMALFORMED, "%s holds no certificate: %s",
				 access->cert, tls_reason());
	ERR_clear_error();
	if (SSL_CTX_use_PrivateKey_file(tls, access->key, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(tls) == 1)
		return 0;
	if (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509)
		return error_set(err, -OCF_EMALFORMED,
				 "the key in %s is not that of the certificate in %s",
				 access->key, access->cert);
	return error_set(err, -OCF_EMALFORMED, "%s holds no key that can be read: %s",
			 access->key, tls_reason());
}

/* Nobody is there to type a passphrase. */
static int
tls_no_passphrase(char *out, int size, int is_write, void *arg)
{
	(void)out;
	(void)size;
	(void)is_write;
	(void)arg;
	return -1;
}

int
access_tls(const struct bus_access *access, SSL_CTX **ret_tls, struct errmsg *err)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	struct buf text = BUF_INIT;
	int rc = 0;

	if (tls == NULL)
		return error_set(err, -OCF_ECRYPTO, "no TLS: %s", tls_reason());
	ERR_clear_error();
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_default_passwd_cb(tls, tls_no_passphrase);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	if (!access_is_given(access->ca)) {
		SSL_CTX_set_default_verify_paths(tls);
	} else {
		rc = file_read(access->ca, ACCESS_FILE_BYTES_MAX, &text, err);
		buf_fini(&text);
		if (rc == 0 && SSL_CTX_load_verify_file(tls, access->ca) != 1)
			rc = error_set(err, -OCF_EMALFORMED,
				       "%s holds no certificate: %s", access->ca,
				       tls_reason());
	}
	if (rc == 0 && access_is_given(access->cert))
		rc = tls_load_own(access, tls, err);
	if (rc < 0)
		SSL_CTX_free(tls);
	else
		*ret_tls = tls;
	return rc;
}

int
access_tls_expect(SSL *tls, const char *host, struct errmsg *err)
{
	struct in6_addr ip;

	/* foo*.example is a name that no two programs read alike; RFC 6125 (6.4.3) allows to
	 * refuse it. */
	SSL_set_hostflags(tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set1_host(tls, host) != 1)
		return error_set(err, -OCF_ECRYPTO, "no TLS for %s", host);
	if (inet_pton(AF_INET, host, &ip) != 1 && inet_pton(AF_INET6, host, &ip) != 1)
		SSL_set_tlsext_host_name(tls, host);
	return 0;
}

/* ---- all of it ---- */

static const struct access_names access_names_conf = { "bus.url", "bus.credentials",
						       "bus.ca", "bus.cert", "bus.key" };

static int
access_check_url(const struct bus_access *access, const struct access_names *names,
		 struct errmsg *err)
{
	struct access_place places[ACCESS_PLACES_MAX];
	bool has_user = false;
	int len = 0, rc;

	rc = access_places(access, places, &len, err);
	if (rc < 0)
		return error_prefix(err, rc, "%s", names->url);
	for (int i = 0; i < len; i++)
		has_user |= places[i].user != NULL;
	places_fini(places, len);
	if (has_user && access_is_given(access->credentials))
		return error_set(
			err, -EINVAL,
			"%s has a user or token in it, and %s is given, too; one "
			"of them must go",
			names->url, names->credentials);
	return 0;
}

int
access_check(const struct bus_access *access, const struct access_names *names,
	     struct errmsg *err)
{
	struct credentials c = { 0 };
	SSL_CTX *tls = NULL;
	int rc;

	if (names == NULL)
		names = &access_names_conf;
	if (access_is_given(access->cert) != access_is_given(access->key))
		return error_set(err, -EINVAL, "%s and %s belong together: %s is missing",
				 names->cert, names->key,
				 access_is_given(access->cert) ? names->key
							       : names->cert);
	rc = access_check_url(access, names, err);
	if (rc == 0 && access_is_given(access->credentials)) {
		rc = credentials_read(access->credentials, &c, err);
		if (rc < 0)
			error_prefix(err, rc, "%s", names->credentials);
		credentials_fini(&c);
	}
	if (rc < 0)
		return rc;
	rc = access_tls(access, &tls, err);
	if (rc < 0)
		return error_prefix(err, rc, "%s",
				    access_is_given(access->cert) ? "bus TLS"
								  : names->ca);
	SSL_CTX_free(tls);
	return 0;
}

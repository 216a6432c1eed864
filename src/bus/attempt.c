/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "bus/attempt.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bus/dial.h"

enum { ATTEMPT_URL_SIZE = ACCESS_HOST_SIZE + 64 };

static natsStatus
attempt_user_jwt(char **ret_jwt, char **ret_error, void *arg)
{
	const struct credentials *c = arg;

	(void)ret_error;
	*ret_jwt = mem_strdup(c->jwt);
	return NATS_OK;
}

static natsStatus
attempt_sign(char **ret_error, unsigned char **ret_signature, int *ret_len,
	     const char *nonce, void *arg)
{
	const struct credentials *c = arg;

	(void)ret_error;
	/* A server that knows no NKEYs sends no nonce. */
	return nonce != NULL && nonce[0] != '\0'
		       ? nats_Sign(c->secret, nonce, ret_signature, ret_len)
		       : NATS_NOT_PERMITTED;
}

/* For what stands between quotes in JSON, where nats.c puts its texts as they are. */
static char *
attempt_quote(const char *text)
{
	struct buf out = BUF_INIT;
	char *quoted;

	for (; text != NULL && *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			buf_put_u8(&out, '\\');
		buf_put_u8(&out, (uint8_t)((unsigned char)*text < 0x20 ? '?' : *text));
	}
	quoted = text != NULL ? mem_strdup(buf_text(&out)) : NULL;
	if (out.len > 0)
		explicit_bzero(out.data, out.len);
	buf_fini(&out);
	return quoted;
}

static natsStatus
attempt_set_user(natsOptions *o, const char *user, const char *password)
{
	char *quoted_user = attempt_quote(user),
	     *quoted_password = attempt_quote(password);
	natsStatus s;

	if (user == NULL)
		s = natsOptions_SetToken(o, quoted_password);
	else
		s = natsOptions_SetUserInfo(o, quoted_user, quoted_password);
	if (quoted_password != NULL)
		explicit_bzero(quoted_password, strlen(quoted_password));
	free(quoted_user);
	free(quoted_password);
	return s;
}

/* Who we are; `c` must stay while connecting. */
static natsStatus
attempt_set_identity(natsOptions *o, const struct attempt_setup *setup,
		     const struct access_place *place, struct credentials *c)
{
	switch (c->kind) {
	case CREDENTIALS_PASSWORD:
		return attempt_set_user(o, c->user, c->secret);
	case CREDENTIALS_TOKEN:
		return attempt_set_user(o, NULL, c->secret);
	case CREDENTIALS_NKEY:
		return natsOptions_SetNKey(o, c->public_key, attempt_sign, c);
	case CREDENTIALS_JWT:
		return natsOptions_SetUserCredentialsCallbacks(o, attempt_user_jwt, c,
							       attempt_sign, c);
	case CREDENTIALS_NONE:
		break;
	}
	if (place != NULL && place->user != NULL)
		return place->password != NULL
			       ? attempt_set_user(o, place->user, place->password)
			       : attempt_set_user(o, NULL, place->user);
	return setup->user != NULL
		       ? natsOptions_SetUserInfo(o, setup->user, setup->password)
		       : NATS_OK;
}

/* TLS is the tunnel's. nats.c would turn it on by itself with a server whose INFO asks for it
 * only when nats.c comes, a moment after it did not when it was looked at (dial.h). To forbid
 * that by its options makes nats.c use OpenSSL, from threads that outlive main(): it crashes
 * in OPENSSL_cleanup() now and then. */
static natsStatus
attempt_set_options(natsOptions *o, const struct attempt *at, const char *url)
{
	natsStatus s = natsOptions_SetURL(o, url);

	if (s == NATS_OK && at->setup->name != NULL)
		s = natsOptions_SetName(o, at->setup->name);
	if (s == NATS_OK)
		s = natsOptions_SetAllowReconnect(o, false);
	if (s == NATS_OK)
		s = natsOptions_SetIgnoreDiscoveredServers(o, true);
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(o, BUS_CONN_TIMEOUT_MS);
	return s == NATS_OK ? at->set_hooks(at->arg, o) : s;
}

/* nats.c's sentence, without where in its source that was: "(conn.c:1905): ". */
static const char *
attempt_last_error(void)
{
	const char *text = nats_GetLastError(NULL), *end;

	if (text == NULL || text[0] != '(')
		return text;
	end = strstr(text, "): ");
	return end != NULL ? end + 3 : text;
}

/* One server, or the tunnel to it. 0 or an error with its reason. */
static int
attempt_connect(struct attempt *at, const char *url, const struct access_place *place,
		struct credentials *c, struct errmsg *err)
{
	natsOptions *options = NULL;
	natsStatus s = natsOptions_Create(&options);
	const char *text;

	if (s == NATS_OK)
		s = attempt_set_options(options, at, url);
	if (s == NATS_OK)
		s = attempt_set_identity(options, at->setup, place, c);
	if (s == NATS_OK)
		s = natsConnection_Connect(&at->nc, options);
	natsOptions_Destroy(options);
	if (s == NATS_OK)
		return 0;
	at->nc = NULL;
	text = attempt_last_error();
	if (s == NATS_CONNECTION_AUTH_FAILED && c->expires_ms != 0 &&
	    c->expires_ms < clock_wall_ms())
		return error_set(err, -EACCES,
				 "%s: the JWT in the credentials file has "
				 "expired",
				 text);
	if (s == NATS_NOT_PERMITTED)
		return error_set(err, -EACCES,
				 "it asks for no NKEY, and we have nothing else to show");
	return error_set(err, s == NATS_CONNECTION_AUTH_FAILED ? -EACCES : -EPROTO, "%s",
			 text != NULL && text[0] != '\0' ? text : natsStatus_GetText(s));
}

static int
attempt_connect_place(struct attempt *at, const struct access_place *place,
		      struct errmsg *err)
{
	const struct bus_access *access = &at->setup->access;
	struct credentials c = { 0 };
	char url[ATTEMPT_URL_SIZE + 16], where[ATTEMPT_URL_SIZE];
	struct errmsg why = { "" };
	int rc = 0;

	if (access->credentials != NULL && access->credentials[0] != '\0')
		rc = credentials_read(access->credentials, &c, err);
	if (rc == 0)
		rc = bus_dial(access, place, at->cancel_fd, &at->tunnel, err);
	if (rc == 0) {
		if (at->tunnel != NULL)
			snprintf(where, sizeof(where), "127.0.0.1:%d",
				 bus_tunnel_port(at->tunnel));
		else
			access_place_text(place, where, sizeof(where));
		snprintf(url, sizeof(url), "nats://%s", where);
		rc = attempt_connect(at, url, place, &c, err);
	}
	if (rc < 0 && at->tunnel != NULL) {
		bus_tunnel_why(at->tunnel, &why);
		if (why.text[0] != '\0')
			error_set(err, rc, "%s", why.text);
		bus_tunnel_close(at->tunnel, false);
		at->tunnel = NULL;
	}
	credentials_fini(&c);
	return rc;
}

static bool
attempt_is_cancelled(const struct attempt *at)
{
	struct pollfd p = { .fd = at->cancel_fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* The servers in turn, beginning with at->place. */
static void
attempt_connect_any(struct attempt *at)
{
	const struct attempt_setup *setup = at->setup;
	size_t len = 0;

	/* A name server that does not answer holds up each: not when nobody waits any more. */
	for (int i = 0; i < setup->places_len && !attempt_is_cancelled(at); i++) {
		int n = (at->place + i) % setup->places_len;
		char where[ATTEMPT_URL_SIZE];
		struct errmsg err = { "" };
		int rc = attempt_connect_place(at, &setup->places[n], &err);

		if (rc == 0) {
			at->place = n;
			return;
		}
		access_place_text(&setup->places[n], where, sizeof(where));
		if (len < sizeof(at->why.text))
			len += (size_t)snprintf(
				at->why.text + len, sizeof(at->why.text) - len,
				setup->places_len > 1 ? "%s%s: %s" : "%s%.0s%s",
				len > 0 ? "; " : "", where, err.text);
		if (rc == -ECANCELED)
			return;
	}
}

void
attempt_run(struct attempt *at)
{
	struct credentials none = { 0 };

	if (at->setup->url != NULL)
		attempt_connect(at, at->setup->url, NULL, &none, &at->why);
	else
		attempt_connect_any(at);
	if (at->nc != NULL &&
	    natsConnection_GetConnectedServerId(at->nc, at->server_id,
						sizeof(at->server_id)) != NATS_OK)
		at->server_id[0] = '\0';
}

/* ---- what it is made by ---- */

static char *
setup_text(const char *text)
{
	return text != NULL ? mem_strdup(text) : NULL;
}

void
attempt_setup_fini(struct attempt_setup *setup)
{
	for (int i = 0; i < setup->places_len; i++)
		access_place_fini(&setup->places[i]);
	free((char *)setup->access.credentials);
	free((char *)setup->access.ca);
	free((char *)setup->access.cert);
	free((char *)setup->access.key);
	free(setup->url);
	free(setup->name);
	free(setup->user);
	if (setup->password != NULL)
		explicit_bzero(setup->password, strlen(setup->password));
	free(setup->password);
}

int
attempt_setup_init(struct attempt_setup *setup, const struct bus_conn_config *config,
		   struct errmsg *err)
{
	*setup = (struct attempt_setup){
		.url = setup_text(config->url),
		.name = attempt_quote(config->name),
		.user = attempt_quote(config->user),
		.password = attempt_quote(config->password),
	};
	if (config->access == NULL)
		return 0;
	setup->access.credentials = setup_text(config->access->credentials);
	setup->access.ca = setup_text(config->access->ca);
	setup->access.cert = setup_text(config->access->cert);
	setup->access.key = setup_text(config->access->key);
	return access_places(config->access, setup->places, &setup->places_len, err);
}

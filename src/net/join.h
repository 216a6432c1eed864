/* SPDX-License-Identifier: Apache-2.0 */
/* The invitation's exchange, ocf-join/1: one message each way over a TLS stream with that
 * ALPN, each a u32 length and at most JOIN_MESSAGE_BYTES_MAX, within JOIN_MS_MAX.
 *
 *	request: version u8 = 1 | secret, 16 bytes | name (u8 length; 1 to 64 of
 *	         0x21-0x7e) | CSR (u16 length)
 *	reply:   version u8 = 1 | status u8, either
 *	         0 | certificate (u16) | CA certificate (u16) | constants (u32 length) |
 *	         CA key in PEM (u16), empty unless --admin; or
 *	         1 | sentence (u16): refused
 *
 * Loop's thread only. */
#ifndef OCF_NET_JOIN_H
#define OCF_NET_JOIN_H

#include "ident/identity.h"
#include "ident/token.h"
#include "net/loop.h"
#include "net/stream.h"

enum {
	JOIN_MESSAGE_BYTES_MAX = 64 * 1024,
	JOIN_CONSTANTS_BYTES_MAX = 48 * 1024, /* fits a message beside the rest */
	JOIN_MS_MAX = 5 * MS_SECOND, /* for one address, from dialling to the answer */
	JOIN_SENTENCE_BYTES_MAX = 400,
	/* Joiners at a time, and of one address; more are told to come again. One that dials
	 * all addresses of its token may hold TOKEN_ADDRESSES_MAX. */
	JOIN_SESSIONS_MAX = 64,
	JOIN_SESSIONS_OF_ADDRESS_MAX = 16,
};

/* The side that admits. The identity and the path must outlive the server. */
struct join_host {
	const struct identity *identity;
	const char *invites_path;
	/* Append what the joiner must know of the cluster (retention, rows per node,
	 * seeds; opaque here), or refuse it with a negative code and a sentence. Asked
	 * when the invitation was found good and before it is used. */
	int (*welcome)(void *arg, const struct id *node, const char *name,
		       struct buf *constants, struct errmsg *err);
	/* For the log: who came, from where, and with what outcome (`code` 0: admitted).
	 * `node` is zero and `name` empty where they are not known. May be NULL. */
	void (*report)(void *arg, int code, const struct id *node, const char *name,
		       const char *peer, const char *why);
	void *arg;
};

struct join_server;

struct join_server *join_server_new(struct loop *loop, const struct join_host *host);
/* Takes over an open stream whose ALPN is TLS_ALPN_JOIN; from inside its on_open, too. */
void join_server_take(struct join_server *server, struct stream *s);
/* Ends all sessions. NULL is allowed. */
void join_server_free(struct join_server *server);

/* The side that wants in. */
struct join_attempt {
	char address[TOKEN_ADDRESS_BYTES_MAX + 1];
	int code;	   /* 0: this one answered; -ECANCELED: not needed any more */
	struct errmsg why; /* for a person: "refused the connection: ..." */
};

struct join_result {
	/* 0; -OCF_EREFUSED with the inviter's sentence; -EHOSTUNREACH when nobody gave a
	 * usable answer: the attempts say why; -EINVAL for a bad name. */
	int code;
	struct errmsg why;
	/* On success, valid until the callback returns: */
	const struct identity *identity; /* checked; not saved yet */
	struct bytes constants;
	unsigned attempts_len; /* one for each address of the token, in its order */
	struct join_attempt attempts[TOKEN_ADDRESSES_MAX];
};

struct join_client;

/* Dial all addresses at once; the first whose handshake fits the token gets the request,
 * and when it refuses or breaks off, the next. `done` is called once, from the loop;
 * afterwards, or before to give up, join_client_free(), also from inside `done`. */
struct join_client *
join_client_new(struct loop *loop, const struct token *token, const struct key *node_key,
		const char *name,
		void (*done)(void *arg, const struct join_result *result), void *arg);
void join_client_free(struct join_client *client); /* NULL is allowed */

#endif

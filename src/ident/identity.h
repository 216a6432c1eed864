/* SPDX-License-Identifier: Apache-2.0 */
/* Who this node is: its key and certificate, its cluster's CA certificate, and the CA's
 * key on the nodes that may invite. In files:
 * <data>/keys/{node.key,node.crt,ca.crt,ca.key}, the keys 0600, the folder 0700. Does not
 * change once made; readable from any thread. */
#ifndef OCF_IDENT_IDENTITY_H
#define OCF_IDENT_IDENTITY_H

#include <stdbool.h>

#include "ident/cert.h"
#include "ident/key.h"
#include "ident/sha256.h"

struct identity {
	struct id node_id;
	struct id cluster_id;
	uint8_t node_public[KEY_PUBLIC_BYTES];
	uint8_t ca_public[KEY_PUBLIC_BYTES];
	uint8_t fingerprint[IDENT_SHA256_BYTES]; /* of the CA certificate's DER */
	struct key *node_key;
	struct key *ca_key;   /* NULL where it is not held */
	struct buf node_cert; /* DER */
	struct buf ca_cert;
};

/* Does <data>/keys hold an identity (or part of one)? */
bool identity_exists(const char *data_dir);
/* For `ocf init`: a new cluster and its first node, written to the files. Refuses
 * (-EEXIST) to touch an existing one. */
int identity_create(const char *data_dir, struct identity **ret_identity,
		    struct errmsg *err);
/* Read and check everything; each failure names the file and what to do. -ENOENT when
 * there is none. */
int identity_load(const char *data_dir, struct identity **ret_identity,
		  struct errmsg *err);
/* What a joiner received, checked against its own key (which is shared, not taken over).
 * `ca_key_pem` may be empty. */
int identity_new_joined(const struct key *node_key, struct bytes node_cert,
			struct bytes ca_cert, struct bytes ca_key_pem,
			struct identity **ret_identity, struct errmsg *err);
/* Write the files; -EEXIST when there is one already. */
int identity_save(const struct identity *identity, const char *data_dir,
		  struct errmsg *err);
void identity_free(struct identity *identity); /* NULL is allowed */

#endif

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

enum identity_file {
	IDENTITY_NODE_CERT,
	IDENTITY_NODE_KEY,
	IDENTITY_CA_CERT,
	IDENTITY_CA_KEY,
	IDENTITY_FILES,
};
extern const char *const identity_file_names[IDENTITY_FILES];

/* The files' contents, PEM: for a backup. Without `has_keys` the two keys are left empty. */
struct identity_files {
	struct buf file[IDENTITY_FILES]; /* empty: not there */
};
void identity_to_files(const struct identity *identity, bool has_keys,
		       struct identity_files *ret_files);
/* As identity_load(), of contents. */
int identity_from_files(const struct identity_files *files,
			struct identity **ret_identity, struct errmsg *err);
/* Whose certificate it is. */
int identity_files_node(const struct identity_files *files, struct id *ret_node,
			struct errmsg *err);
void identity_files_fini(struct identity_files *files); /* wipes them */
void identity_free(struct identity *identity);		/* NULL is allowed */

#endif

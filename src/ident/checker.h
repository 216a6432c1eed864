/* SPDX-License-Identifier: Apache-2.0 */
/* May this row stand in the table? Every version of a row carries its owner's signature,
 * and here it is checked: for rows that come over a link (daemon/verify.c) and for those
 * that lie in the store (ident/audit.h).
 *
 * A node row proves itself: the certificate in its value chains to the cluster's CA and
 * hashes to the row's owner, and its key signed every version. The keys of owners met so are
 * kept, and their other rows are checked against them, and what else they sign. Ban and
 * forget rows are signed with the CA's key. An Ed25519 check takes about 0.1 ms.
 *
 * Safe from any thread. */
#ifndef OCF_IDENT_CHECKER_H
#define OCF_IDENT_CHECKER_H

#include "crdt/row.h"
#include "ident/identity.h"

struct checker;

/* Append the certificate (DER) in a node row's value, as table_node_cert() does. */
typedef int checker_cert_fn(struct bytes node_value, struct buf *out);

/* `identity` must outlive it. */
struct checker *checker_new(const struct identity *identity, checker_cert_fn *cert);
void checker_free(struct checker *checker); /* NULL is allowed */
/* 0; -OCF_ESIGNATURE: not all of it is its owner's; -OCF_EUNKNOWN: the owner's node row was
 * not met yet. A good node row makes its owner's key known. */
int checker_check(struct checker *checker, const struct row_key *key,
		  const struct row *row);
/* Did that node sign the text? One whose node row was not met yet did not. */
bool checker_verify(struct checker *checker, const struct id *node, struct bytes text,
		    const uint8_t signature[KEY_SIGNATURE_BYTES]);
/* The value of a node row that was checked before: keep its owner's key. */
void checker_learn(struct checker *checker, const struct id *owner,
		   struct bytes node_value);

#endif

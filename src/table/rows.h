/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of the table's row values. A value is made by its owner, signed, and
 * replicated byte for byte; here it is written once (compact, members in order of name)
 * and read by everybody.
 *
 *   node    {"addresses":["h:p",…],"ca":true,"cert":"<base64 DER>","hardware":{…},
 *            "homes":["<node id>",…],"inbound":true,"incarnation":7,
 *            "labels":{"k":"v",…},"name":"n1",
 *            "region":"eu","state":"draining","version":"0.1"}; no "state" = it takes
 *            queries; "ca" only where the cluster's CA key is held; no "inbound" = not known
 *            yet whether others can open links to it; "homes" only of one to which they
 *            cannot, and which is linked to others than those that everybody computes
 *   left    {"cert":"<base64 DER>","left":true}: what a node that withdrew leaves behind
 *   worker  {"hardware":{…},"id":"w1","metadata":{…},"services":[{"match":["k=v",…],
 *            "name":"s"},…],"slots":4,"state":"draining"}; no "state" = ready
 *   ban and forget (a *bar*)  {"by":"<node id>","name":"n1","reason":"…"}: which holder of
 *            the CA's key wrote it, what the node was called, and why; the last two only
 *            where there is something to say. When: the version's stamp
 *   hardware {"cpus":8,"gpus":[{"memory":25769803776,"name":"L4"}],"memory":67108864000};
 *            a gpu of a legacy worker may have "memory_free" and "memory_used", too
 *
 * Reading is strict: a wrong type, a text with control characters, a limit passed, a
 * member that must be there and is not: -OCF_EMALFORMED, with what and where in `err`.
 * (A bar that cannot be read bars all the same, see table/catalog.h.)
 * Members that are not known here are ignored, so that a newer node's row still counts;
 * they stay in the row, whose bytes nobody rewrites. A row that cannot be read stays in
 * the table all the same (all replicas hold the same rows) and is only invisible.
 *
 * Pure functions, safe from any thread. */
#ifndef OCF_TABLE_ROWS_H
#define OCF_TABLE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/id.h"
#include "base/limits.h"

/* Beside those of base/limits.h. All are far above honest use and keep a value below
 * LIMIT_VALUE_BYTES_MAX in the common case; that limit itself is always checked too. */
enum {
	TABLE_ADDRESSES_MAX = 16,
	TABLE_ADDRESS_BYTES_MAX = 127, /* STREAM_ADDRESS_SIZE of net/stream.h less a NUL */
	TABLE_REGION_BYTES_MAX = 64,
	TABLE_HOMES_MAX = 8, /* MESH_HOMES_MAX of mesh/mesh.h */
	TABLE_LABELS_MAX = 32,
	TABLE_LABEL_NAME_BYTES_MAX = 64,
	TABLE_LABEL_VALUE_BYTES_MAX = 256,
	TABLE_GPUS_MAX = 64,
	TABLE_GPU_NAME_BYTES_MAX = 128,
	TABLE_VERSION_BYTES_MAX = 64,
	TABLE_CERT_BYTES_MAX = 2048,	 /* DER; an Ed25519 certificate is about 350 */
	TABLE_METADATA_BYTES_MAX = 8192, /* a worker's metadata as compact JSON */
	TABLE_METADATA_DEPTH_MAX = 16,	 /* objects and arrays within each other */
	TABLE_CPUS_MAX = 1 << 20,
	/* Of a ban: a sentence or two. A goodbye carries it, with who and when. */
	TABLE_REASON_BYTES_MAX = 200,
};

struct table_gpu {
	char *name;
	int64_t memory; /* bytes; 0 = not known */
	/* Of a worker of the 2023 protocol, as it first said; 0 = not said. */
	int64_t memory_free;
	int64_t memory_used;
};

struct table_hardware {
	int64_t cpus;
	int64_t memory; /* bytes */
	int gpus_len;
	struct table_gpu *gpus;
};

struct table_label {
	char *name;
	char *value;
};

struct table_node {
	char *name;
	int addresses_len;
	char **addresses; /* "host:port", as peers may dial them */
	bool is_inbound;  /* others can open links to it: a peer has dialled back */
	bool is_inbound_known;
	int homes_len;
	struct id homes[TABLE_HOMES_MAX]; /* whom it is linked to, as it takes no links */
	char *region;			  /* or NULL */
	int labels_len;
	struct table_label *labels; /* ascending names */
	struct table_hardware hardware;
	char *version;
	struct buf cert;      /* DER */
	uint64_t incarnation; /* at most 2^63 - 1 */
	bool is_draining;     /* takes no new queries for its workers from others */
	bool holds_ca;	      /* the cluster's CA key: it can invite, ban and forget */
	bool has_left;	      /* then only `cert` beside it is set; name is "" */
};

struct table_service {
	char *name;
	int match_len;
	char **match; /* "k=v", "k=*", "all"; none = every query of the service */
};

struct table_worker {
	char *id;
	int services_len;
	struct table_service *services;
	int slots; /* 0: a legacy worker, which knows none */
	struct table_hardware hardware;
	char *metadata; /* the text of a JSON object; NULL stands for {} */
	bool is_draining;
};

struct table_bar {
	struct id by;
	char *name;   /* "" = not known */
	char *reason; /* "" = none was given */
};

/* Append the value's bytes. -EINVAL for content that could not be read back, -OCF_ELIMIT
 * for a value over LIMIT_VALUE_BYTES_MAX; then nothing is appended. */
int table_node_encode(const struct table_node *n, struct buf *out, struct errmsg *err);
int table_worker_encode(const struct table_worker *w, struct buf *out,
			struct errmsg *err);
int table_bar_encode(const struct table_bar *b, struct buf *out, struct errmsg *err);

/* `err` may be NULL. On success the caller frees with _fini. */
int table_node_decode(struct bytes value, struct table_node *ret_n, struct errmsg *err);
int table_worker_decode(struct bytes value, struct table_worker *ret_w,
			struct errmsg *err);
int table_bar_decode(struct bytes value, struct table_bar *ret_b, struct errmsg *err);

/* Append the certificate (DER) that a node row's value holds; the whole value must be good.
 * Has the type of ident's checker_cert_fn. */
int table_node_cert(struct bytes value, struct buf *out);

/* The object "hardware" alone, as workers announce it; "{}" is all zeros. */
int table_hardware_decode(struct bytes value, struct table_hardware *ret_h,
			  struct errmsg *err);

/* Free the members; the struct is all zeros again. Zeros are allowed. */
void table_node_fini(struct table_node *n);
void table_worker_fini(struct table_worker *w);
void table_bar_fini(struct table_bar *b);
void table_hardware_fini(struct table_hardware *h);

/* Building blocks for those who fill the structs; all texts are copied. */
void table_node_add_address(struct table_node *n, const char *address);
void table_node_add_label(struct table_node *n, const char *name, const char *value);
/* Valid until the next gpu is added. */
struct table_gpu *table_hardware_add_gpu(struct table_hardware *h, const char *name,
					 int64_t memory);
/* Valid until the next service is added. */
struct table_service *table_worker_add_service(struct table_worker *w, const char *name);
void table_service_add_match(struct table_service *s, const char *match);

#endif

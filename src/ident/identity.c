/* SPDX-License-Identifier: Apache-2.0 */
/* The node's certificate is written last: a folder without it holds an identity that was
 * not finished, which is never overwritten, since it may hold a CA's only key. */
#include "config.h"

#include "ident/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

enum { IDENTITY_CERT_FILE_BYTES_MAX = 2 * CERT_DER_BYTES_MAX };

const char *const identity_file_names[IDENTITY_FILES] = {
	[IDENTITY_NODE_CERT] = "node.crt",
	[IDENTITY_NODE_KEY] = "node.key",
	[IDENTITY_CA_CERT] = "ca.crt",
	[IDENTITY_CA_KEY] = "ca.key",
};

static char *
identity_path(const char *data_dir, const char *name)
{
	return mem_printf("%s/keys/%s", data_dir, name);
}

static bool
identity_file_exists(const char *data_dir, const char *name)
{
	char *path = identity_path(data_dir, name);
	struct stat st;
	/* What cannot be looked at is there, for all we know; reading it says why. */
	bool is_there = lstat(path, &st) == 0 || errno == EACCES;

	free(path);
	return is_there;
}

bool
identity_exists(const char *data_dir)
{
	for (int i = 0; i < IDENTITY_FILES; i++) {
		if (identity_file_exists(data_dir, identity_file_names[i]))
			return true;
	}
	return false;
}

void
identity_free(struct identity *identity)
{
	if (identity == NULL)
		return;
	key_free(identity->node_key);
	key_free(identity->ca_key);
	buf_fini(&identity->node_cert);
	buf_fini(&identity->ca_cert);
	free(identity);
}

/* Fill in what follows from keys and certificates, and refuse parts that do not fit. The
 * dates are not looked at: an expired node must be able to start and say so. */
static int
identity_check(struct identity *identity, struct errmsg *err)
{
	struct bytes ca = buf_bytes(&identity->ca_cert);
	uint8_t own[KEY_PUBLIC_BYTES];
	int rc = cert_check_ca(ca, CERT_AT_ANY_TIME, &identity->cluster_id,
			       identity->ca_public, err);

	if (rc == 0)
		rc = cert_check(buf_bytes(&identity->node_cert), ca, CERT_AT_ANY_TIME,
				&identity->node_id, identity->node_public, err);
	if (rc != 0)
		return rc;
	key_public(identity->node_key, own);
	if (memcmp(own, identity->node_public, sizeof(own)) != 0)
		return error_set(err, -OCF_EFOREIGN,
				 "the node's certificate belongs to another key");
	if (identity->ca_key != NULL) {
		key_public(identity->ca_key, own);
		if (memcmp(own, identity->ca_public, sizeof(own)) != 0)
			return error_set(err, -OCF_EFOREIGN,
					 "the CA's certificate belongs to another key");
	}
	ident_sha256(ca.data, ca.len, identity->fingerprint);
	return 0;
}

int
identity_create(const char *data_dir, struct identity **ret_identity, struct errmsg *err)
{
	struct identity *identity = mem_calloc(1, sizeof(*identity));
	uint8_t public_key[KEY_PUBLIC_BYTES];
	ms_t now_ms = clock_wall_ms();
	int rc;

	identity->ca_key = key_generate();
	identity->node_key = key_generate();
	cert_make_ca(identity->ca_key, now_ms, &identity->ca_cert);
	key_public(identity->node_key, public_key);
	cert_issue(identity->ca_key, public_key, now_ms, &identity->node_cert);
	rc = identity_check(identity, err);
	if (rc == 0)
		rc = identity_save(identity, data_dir, err);
	if (rc != 0) {
		identity_free(identity);
		return rc;
	}
	*ret_identity = identity;
	return 0;
}

int
identity_new_joined(const struct key *node_key, struct bytes node_cert,
		    struct bytes ca_cert, struct bytes ca_key_pem,
		    struct identity **ret_identity, struct errmsg *err)
{
	struct identity *identity = mem_calloc(1, sizeof(*identity));
	int rc = 0;

	identity->node_key = key_share(node_key);
	buf_put_bytes(&identity->node_cert, node_cert);
	buf_put_bytes(&identity->ca_cert, ca_cert);
	if (ca_key_pem.len > 0)
		rc = key_from_pem(ca_key_pem, &identity->ca_key, err);
	if (rc == 0)
		rc = identity_check(identity, err);
	if (rc != 0) {
		identity_free(identity);
		return rc;
	}
	*ret_identity = identity;
	return 0;
}

static int
identity_save_key(const struct key *key, const char *data_dir, const char *name,
		  struct errmsg *err)
{
	char *path = identity_path(data_dir, name);
	int rc = key_save(key, path, err);

	free(path);
	return rc;
}

static int
identity_save_cert(const struct buf *cert, const char *data_dir, const char *name,
		   struct errmsg *err)
{
	char *path = identity_path(data_dir, name);
	struct buf pem = BUF_INIT;
	int rc;

	cert_to_pem(buf_bytes(cert), &pem);
	rc = file_write(path, buf_bytes(&pem), 0644, err);
	buf_fini(&pem);
	free(path);
	return rc;
}

int
identity_save(const struct identity *identity, const char *data_dir, struct errmsg *err)
{
	char *folder = mem_printf("%s/keys", data_dir);
	int rc = file_make_dirs(folder, 0700, err);

	if (rc == 0 && identity_exists(data_dir))
		rc = error_set(err, -EEXIST,
			       "%s already holds an identity; to begin again, move that "
			       "folder away",
			       folder);
	if (rc == 0 && identity->ca_key != NULL)
		rc = identity_save_key(identity->ca_key, data_dir, "ca.key", err);
	if (rc == 0)
		rc = identity_save_cert(&identity->ca_cert, data_dir, "ca.crt", err);
	if (rc == 0)
		rc = identity_save_key(identity->node_key, data_dir, "node.key", err);
	if (rc == 0)
		rc = identity_save_cert(&identity->node_cert, data_dir, "node.crt", err);
	free(folder);
	return rc;
}

static int
identity_load_cert(const char *data_dir, const char *name, struct buf *out,
		   struct errmsg *err)
{
	char *path = identity_path(data_dir, name);
	struct buf pem = BUF_INIT;
	int rc = file_read(path, IDENTITY_CERT_FILE_BYTES_MAX, &pem, err);

	if (rc == 0) {
		rc = cert_from_pem(buf_bytes(&pem), out, err);
		if (rc != 0)
			error_prefix(err, rc, "%s", path);
	}
	buf_fini(&pem);
	free(path);
	return rc;
}

static int
identity_load_key(const char *data_dir, const char *name, struct key **ret_key,
		  struct errmsg *err)
{
	char *path = identity_path(data_dir, name);
	int rc = key_load(path, ret_key, err);

	free(path);
	return rc;
}

static int
identity_load_files(struct identity *identity, const char *data_dir, struct errmsg *err)
{
	int rc = identity_load_key(data_dir, "node.key", &identity->node_key, err);

	if (rc == 0)
		rc = identity_load_cert(data_dir, "node.crt", &identity->node_cert, err);
	if (rc == 0)
		rc = identity_load_cert(data_dir, "ca.crt", &identity->ca_cert, err);
	if (rc == 0 && identity_file_exists(data_dir, "ca.key"))
		rc = identity_load_key(data_dir, "ca.key", &identity->ca_key, err);
	if (rc != 0)
		return rc;
	rc = identity_check(identity, err);
	if (rc != 0)
		error_prefix(err, rc, "%s/keys", data_dir);
	return rc;
}

int
identity_load(const char *data_dir, struct identity **ret_identity, struct errmsg *err)
{
	struct identity *identity;
	int rc;

	if (!identity_exists(data_dir))
		return error_set(err, -ENOENT,
				 "%s/keys holds no identity; run 'ocf init' to begin a "
				 "cluster or 'ocf join -' to join one",
				 data_dir);
	identity = mem_calloc(1, sizeof(*identity));
	rc = identity_load_files(identity, data_dir, err);
	if (rc != 0) {
		identity_free(identity);
		return rc;
	}
	*ret_identity = identity;
	return 0;
}

/* ---- as contents ---- */

void
identity_to_files(const struct identity *identity, bool has_keys,
		  struct identity_files *ret_files)
{
	*ret_files = (struct identity_files){ .file = { BUF_INIT } };
	cert_to_pem(buf_bytes(&identity->node_cert),
		    &ret_files->file[IDENTITY_NODE_CERT]);
	cert_to_pem(buf_bytes(&identity->ca_cert), &ret_files->file[IDENTITY_CA_CERT]);
	if (has_keys)
		key_to_pem(identity->node_key, &ret_files->file[IDENTITY_NODE_KEY]);
	if (has_keys && identity->ca_key != NULL)
		key_to_pem(identity->ca_key, &ret_files->file[IDENTITY_CA_KEY]);
}

int
identity_from_files(const struct identity_files *files, struct identity **ret_identity,
		    struct errmsg *err)
{
	struct identity *identity = mem_calloc(1, sizeof(*identity));
	int rc = key_from_pem(buf_bytes(&files->file[IDENTITY_NODE_KEY]),
			      &identity->node_key, err);

	if (rc == 0)
		rc = cert_from_pem(buf_bytes(&files->file[IDENTITY_NODE_CERT]),
				   &identity->node_cert, err);
	if (rc == 0)
		rc = cert_from_pem(buf_bytes(&files->file[IDENTITY_CA_CERT]),
				   &identity->ca_cert, err);
	if (rc == 0 && files->file[IDENTITY_CA_KEY].len > 0)
		rc = key_from_pem(buf_bytes(&files->file[IDENTITY_CA_KEY]),
				  &identity->ca_key, err);
	if (rc == 0)
		rc = identity_check(identity, err);
	if (rc != 0) {
		identity_free(identity);
		return rc;
	}
	*ret_identity = identity;
	return 0;
}

int
identity_files_node(const struct identity_files *files, struct id *ret_node,
		    struct errmsg *err)
{
	uint8_t public_key[KEY_PUBLIC_BYTES];
	struct buf node = BUF_INIT, ca = BUF_INIT;
	int rc = cert_from_pem(buf_bytes(&files->file[IDENTITY_NODE_CERT]), &node, err);

	if (rc == 0)
		rc = cert_from_pem(buf_bytes(&files->file[IDENTITY_CA_CERT]), &ca, err);
	if (rc == 0)
		rc = cert_check(buf_bytes(&node), buf_bytes(&ca), CERT_AT_ANY_TIME,
				ret_node, public_key, err);
	buf_fini(&node);
	buf_fini(&ca);
	return rc;
}

void
identity_files_fini(struct identity_files *files)
{
	for (int i = 0; i < IDENTITY_FILES; i++) {
		struct buf *content = &files->file[i];

		if (content->len > 0)
			ident_wipe(content->data, content->len);
		buf_fini(content);
	}
}

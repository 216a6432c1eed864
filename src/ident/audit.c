/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ident/audit.h"

#include <stdio.h>

/* A name may be anything but in rows that are good. */
static const char *
audit_name_text(const struct row_key *key)
{
	return row_key_check(key, UINT32_MAX) == 0 ? key->name : "?";
}

void
audit_row_text(const struct row_key *key, char out[AUDIT_TEXT_SIZE])
{
	char owner[ID_TEXT_SIZE];

	id_text(&key->owner, owner);
	if (key->kind == ROW_NODE)
		snprintf(out, AUDIT_TEXT_SIZE, "the node row of %s", owner);
	else
		snprintf(out, AUDIT_TEXT_SIZE, "%s row %s of %s",
			 row_kind_text(key->kind), audit_name_text(key), owner);
}

/* The owner's key was not met yet: it is in its node row. */
static int
audit_find_owner(const struct audit *a, const struct id *owner)
{
	struct row row = ROW_INIT;
	struct row_key key;
	int rc = row_key_make(owner, ROW_NODE, "", &key);

	if (rc == 0)
		rc = a->get(a->arg, &key, &row);
	if (rc == 0)
		rc = checker_check(a->checker, &key, &row);
	row_fini(&row);
	return rc;
}

int
audit_check(const struct audit *a, const struct row_key *key, const struct row *row)
{
	int rc = row_key_check(key, a->rows_per_node);

	if (rc == 0)
		rc = checker_check(a->checker, key, row);
	if (rc == -OCF_EUNKNOWN && audit_find_owner(a, &key->owner) == 0)
		rc = checker_check(a->checker, key, row);
	return rc;
}

void
audit_why(const struct row_key *key, int rc, struct errmsg *err)
{
	char name[AUDIT_TEXT_SIZE];
	const char *why = "is not signed by its owner";

	if (rc == -OCF_EMALFORMED)
		why = "is none that this cluster may have";
	else if (rc == -OCF_EUNKNOWN)
		why = "cannot be checked: its owner has no good node row here";
	audit_row_text(key, name);
	error_set(err, rc, "%s %s", name, why);
}

bool
audit_row(void *audit, const uint8_t *k, const struct row_key *key, const struct row *row)
{
	struct audit *a = audit;
	int rc = audit_check(a, key, row);

	(void)k;
	if (rc != 0) {
		struct errmsg err = { "" };

		audit_why(key, rc, &err);
		a->bad_len++;
		a->bad(a->arg, key, err.text);
	}
	a->rows++;
	return !a->is_cancelled;
}

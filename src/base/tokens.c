/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/tokens.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/percent.h"
#include "base/query.h"

enum {
	TOKENS_DIGITS_MAX = 9, /* of a number; its range is checked afterwards */
	TOKENS_LOCK_TRIES = 100,
	TOKENS_MODE = 0600,
};

/* ---- an entry ---- */

bool
tokens_name_is_valid(const char *name)
{
	static const char
		allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			    "0123456789._-@+";
	size_t len = strlen(name);

	return len > 0 && len <= TOKENS_NAME_BYTES_MAX && strspn(name, allowed) == len;
}

int
tokens_check(const struct tokens_entry *e, struct errmsg *err)
{
	if (!tokens_name_is_valid(e->name))
		return error_set(
			err, -EINVAL,
			"'%s' is no name of a token: 1 to %d letters, digits and "
			"any of . _ - @ +",
			e->name, TOKENS_NAME_BYTES_MAX);
	if (e->rate_milli < 0 || e->rate_milli > TOKENS_RATE_MILLI_MAX)
		return error_set(err, -EINVAL, "rate is not from 0.001 to %d",
				 TOKENS_RATE_MILLI_MAX / 1000);
	if (e->burst < 0 || e->burst > TOKENS_NUMBER_MAX)
		return error_set(err, -EINVAL, "burst is not from 1 to %d",
				 TOKENS_NUMBER_MAX);
	if (e->burst > 0 && e->rate_milli == 0)
		return error_set(err, -EINVAL, "burst needs a rate");
	if (e->concurrency < 0 || e->concurrency > TOKENS_NUMBER_MAX)
		return error_set(err, -EINVAL, "concurrency is not from 1 to %d",
				 TOKENS_NUMBER_MAX);
	if (e->share < 0 || e->share > TOKENS_SHARE_MAX)
		return error_set(err, -EINVAL, "share is not from 1 to %d",
				 TOKENS_SHARE_MAX);
	if (e->services_len > TOKENS_SERVICES_MAX)
		return error_set(err, -EINVAL, "more than %d services",
				 TOKENS_SERVICES_MAX);
	for (int i = 0; i < e->services_len; i++)
		if (!query_service_is_valid(e->services[i]))
			return error_set(err, -EINVAL,
					 "'%s' is no name of a service: 1 to %d bytes of "
					 "UTF-8",
					 e->services[i], LIMIT_SERVICE_BYTES_MAX);
	return 0;
}

void
tokens_add_service(struct tokens_entry *e, const char *name)
{
	e->services = mem_realloc(e->services, (size_t)e->services_len + 1,
				  sizeof(*e->services));
	e->services[e->services_len++] = mem_strdup(name);
}

void
tokens_entry_fini(struct tokens_entry *e)
{
	for (int i = 0; i < e->services_len; i++)
		free(e->services[i]);
	free(e->services);
	*e = (struct tokens_entry){ .line = 0 };
}

int64_t
tokens_burst(const struct tokens_entry *e)
{
	return e->burst > 0 ? e->burst : (e->rate_milli + 999) / 1000;
}

/* ---- reading ---- */

static bool
tokens_parse_digits(const char *text, size_t len, int64_t *ret)
{
	int64_t n = 0;

	if (len == 0 || len > TOKENS_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = n * 10 + (text[i] - '0');
	}
	*ret = n;
	return true;
}

bool
tokens_parse_rate(const char *text, int64_t *ret_milli)
{
	size_t whole_len = strcspn(text, ".");
	const char *rest = text + whole_len;
	int64_t whole = 0, thousandths = 0;
	char decimals[] = "000";

	if (!tokens_parse_digits(text, whole_len, &whole))
		return false;
	if (*rest == '.') {
		size_t len = strlen(++rest);

		if (len == 0 || len > 3)
			return false;
		memcpy(decimals, rest, len);
		if (!tokens_parse_digits(decimals, 3, &thousandths))
			return false;
	}
	*ret_milli = whole * 1000 + thousandths;
	return *ret_milli > 0 && *ret_milli <= TOKENS_RATE_MILLI_MAX;
}

/* One KEY=VALUE; `text` is changed. */
static int
tokens_read_pair(struct tokens_entry *e, char *text, struct errmsg *err)
{
	const struct {
		const char *key;
		int64_t *field;
	} numbers[] = { { "burst", &e->burst },
			{ "concurrency", &e->concurrency },
			{ "share", &e->share } };
	char *value = strchr(text, '=');
	int64_t *field = NULL;

	if (value == NULL)
		return error_set(err, -OCF_EMALFORMED, "'%s' is not KEY=VALUE", text);
	*value++ = '\0';
	if (strcmp(text, "service") == 0) {
		char *service = percent_decode(bytes_text(value), false);

		if (service == NULL)
			return error_set(err, -OCF_EMALFORMED,
					 "a %% of service=%s is not followed by two hex "
					 "digits",
					 value);
		tokens_add_service(e, service);
		free(service);
		return 0;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(text, numbers[i].key) == 0)
			field = numbers[i].field;
	if (strcmp(text, "rate") == 0)
		field = &e->rate_milli;
	if (field == NULL)
		return error_set(err, -OCF_EMALFORMED,
				 "'%s' is none of rate, burst, concurrency, share and "
				 "service",
				 text);
	if (*field != 0)
		return error_set(err, -OCF_EMALFORMED, "%s stands twice", text);
	if (field == &e->rate_milli) {
		if (!tokens_parse_rate(value, field))
			return error_set(err, -OCF_EMALFORMED,
					 "rate=%s is not from 0.001 to %d, with three "
					 "decimals at most",
					 value, TOKENS_RATE_MILLI_MAX / 1000);
	} else if (!tokens_parse_digits(value, strlen(value), field) || *field == 0) {
		return error_set(err, -OCF_EMALFORMED, "%s=%s is not a number above 0",
				 text, value);
	}
	return 0;
}

/* `line` is changed. */
static int
tokens_read_line(struct tokens_entry *e, char *line, struct errmsg *err)
{
	char *rest = line, *name = strsep(&rest, ":"), *hash = strsep(&rest, ":"), *pair;
	int rc = 0;

	if (hash == NULL)
		return error_set(err, -OCF_EMALFORMED,
				 "not NAME:SHA256[:KEY=VALUE,...], with the SHA-256 of "
				 "the token in hex");
	if (!tokens_name_is_valid(name))
		return error_set(err, -OCF_EMALFORMED,
				 "the name is not 1 to %d letters, digits and any of . _ "
				 "- @ +",
				 TOKENS_NAME_BYTES_MAX);
	if (hex_decode(hash, e->hash, sizeof(e->hash)) < 0)
		return error_set(err, -OCF_EMALFORMED,
				 "what follows the name is not a SHA-256 of 64 hex "
				 "digits");
	snprintf(e->name, sizeof(e->name), "%s", name);
	while (rc == 0 && (pair = strsep(&rest, ",")) != NULL)
		rc = tokens_read_pair(e, pair, err);
	if (rc == 0 && tokens_check(e, err) != 0)
		rc = -OCF_EMALFORMED;
	return rc;
}

/* The line at `at`, without its end, as a text to be freed; and its length with it. */
static char *
tokens_take_line(struct bytes content, size_t at, size_t *ret_len)
{
	const uint8_t *start = content.data + at;
	const uint8_t *end = memchr(start, '\n', content.len - at);
	size_t len = end != NULL ? (size_t)(end - start) : content.len - at;

	*ret_len = len + (end != NULL);
	if (len > 0 && start[len - 1] == '\r')
		len--;
	return mem_dup(start, len);
}

static int
tokens_compare_names(const void *a, const void *b)
{
	const struct tokens_entry *const *x = a, *const *y = b;
	int rc = strcmp((*x)->name, (*y)->name);

	return rc != 0 ? rc : (*x)->line - (*y)->line;
}

static int
tokens_compare_hashes(const void *a, const void *b)
{
	const struct tokens_entry *const *x = a, *const *y = b;
	int rc = memcmp((*x)->hash, (*y)->hash, TOKENS_HASH_BYTES);

	return rc != 0 ? rc : (*x)->line - (*y)->line;
}

/* Whose limits would hold, and who would be revoked, if one stood twice? */
static int
tokens_find_twice(const struct tokens *t, const char *path, struct errmsg *err)
{
	const struct tokens_entry **order = mem_calloc((size_t)t->len, sizeof(*order));
	int rc = 0;

	for (int i = 0; i < t->len; i++)
		order[i] = &t->items[i];
	qsort(order, (size_t)t->len, sizeof(*order), tokens_compare_names);
	for (int i = 1; i < t->len && rc == 0; i++)
		if (strcmp(order[i - 1]->name, order[i]->name) == 0)
			rc = error_set(err, -OCF_EMALFORMED,
				       "%s:%d: the name %s stands in line %d already",
				       path, order[i]->line, order[i]->name,
				       order[i - 1]->line);
	qsort(order, (size_t)t->len, sizeof(*order), tokens_compare_hashes);
	for (int i = 1; i < t->len && rc == 0; i++)
		if (memcmp(order[i - 1]->hash, order[i]->hash, TOKENS_HASH_BYTES) == 0)
			rc = error_set(err, -OCF_EMALFORMED,
				       "%s:%d: this token is that of line %d, too", path,
				       order[i]->line, order[i - 1]->line);
	free(order);
	return rc;
}

static int
tokens_parse(struct bytes content, const char *path, struct tokens *ret,
	     struct errmsg *err)
{
	struct tokens t = { .len = 0 };
	size_t at = 0, len;
	int rc = 0;

	if (content.len > 0 && memchr(content.data, '\0', content.len) != NULL)
		return error_set(err, -OCF_EMALFORMED, "%s: has a NUL byte", path);
	for (int number = 1; rc == 0 && at < content.len; number++, at += len) {
		char *line = tokens_take_line(content, at, &len);
		struct tokens_entry e = { .line = number, .at = at, .len = len };

		if (line[0] != '\0' && line[0] != '#') {
			rc = t.len < TOKENS_MAX
				     ? tokens_read_line(&e, line, err)
				     : error_set(err, -OCF_ELIMIT, "more than %d tokens",
						 TOKENS_MAX);
			if (rc != 0)
				error_prefix(err, rc, "%s:%d", path, number);
			t.items = mem_realloc(t.items, (size_t)t.len + 1,
					      sizeof(*t.items));
			t.items[t.len++] = e;
		}
		free(line);
	}
	if (rc == 0)
		rc = tokens_find_twice(&t, path, err);
	if (rc == 0)
		*ret = t;
	else
		tokens_fini(&t);
	return rc;
}

int
tokens_read(const char *path, struct tokens *ret_tokens, struct errmsg *err)
{
	struct buf content = BUF_INIT;
	int rc = file_read_secret(path, TOKENS_FILE_BYTES_MAX, &content, err);

	if (rc == 0)
		rc = tokens_parse(buf_bytes(&content), path, ret_tokens, err);
	buf_fini(&content);
	return rc;
}

void
tokens_fini(struct tokens *t)
{
	for (int i = 0; i < t->len; i++)
		tokens_entry_fini(&t->items[i]);
	free(t->items);
	*t = (struct tokens){ .len = 0 };
}

/* ---- editing ---- */

/* The file, locked, while it has this name. */
struct tokens_edit {
	char *path; /* without symbolic links, which a rename would replace */
	int fd;
	struct stat st;
	struct buf content;
	struct tokens tokens;
};

static int
tokens_lock(struct tokens_edit *edit, int flags, uid_t owner, struct errmsg *err)
{
	int rc = -EBUSY;

	for (int i = 0; i < TOKENS_LOCK_TRIES && rc == -EBUSY; i++) {
		struct stat st;
		bool is_new = (flags & O_CREAT) && access(edit->path, F_OK) != 0;

		edit->fd = open(edit->path, O_RDONLY | O_CLOEXEC | flags, TOKENS_MODE);
		if (edit->fd < 0)
			return error_set(err, -errno, "%s: %s", edit->path,
					 error_text(-errno));
		if (flock(edit->fd, LOCK_EX | LOCK_NB) != 0)
			rc = errno == EWOULDBLOCK ? -ETXTBSY : -errno;
		else if (is_new && owner != (uid_t)-1 &&
			 fchown(edit->fd, owner, (gid_t)-1) != 0)
			rc = -errno;
		else if (fstat(edit->fd, &edit->st) == 0 && stat(edit->path, &st) == 0 &&
			 st.st_ino == edit->st.st_ino && st.st_dev == edit->st.st_dev)
			return 0;
		/* Otherwise another editor has replaced it in between. */
		close(edit->fd);
		edit->fd = -1;
	}
	if (rc == -ETXTBSY || rc == -EBUSY)
		return error_set(err, -EBUSY,
				 "%s is being edited by another program; try again",
				 edit->path);
	return error_set(err, rc, "%s: %s", edit->path, error_text(rc));
}

static void
tokens_close(struct tokens_edit *edit)
{
	if (edit->fd >= 0)
		close(edit->fd);
	free(edit->path);
	buf_fini(&edit->content);
	tokens_fini(&edit->tokens);
}

static int
tokens_open(struct tokens_edit *edit, const char *path, bool may_make, uid_t owner,
	    struct errmsg *err)
{
	char *real = realpath(path, NULL);
	int rc;

	*edit = (struct tokens_edit){ .path = real != NULL ? real : mem_strdup(path),
				      .fd = -1 };
	rc = tokens_lock(edit, may_make ? O_CREAT : 0, owner, err);
	if (rc == 0)
		rc = file_read_secret(edit->path, TOKENS_FILE_BYTES_MAX, &edit->content,
				      err);
	if (rc == 0)
		rc = tokens_parse(buf_bytes(&edit->content), edit->path, &edit->tokens,
				  err);
	if (rc != 0)
		tokens_close(edit);
	return rc;
}

/* As whoever it belonged to: else its node could not read it any more. */
static int
tokens_put(void *arg, int fd)
{
	struct tokens_edit *edit = arg;

	if ((edit->st.st_uid != geteuid() || edit->st.st_gid != getegid()) &&
	    fchown(fd, edit->st.st_uid, edit->st.st_gid) != 0)
		return -errno;
	return file_put(fd, buf_bytes(&edit->content));
}

/* What was made of the content must be readable, or stays unwritten. */
static int
tokens_write(struct tokens_edit *edit, struct errmsg *err)
{
	struct tokens check;
	int rc;

	if (edit->content.len > TOKENS_FILE_BYTES_MAX)
		return error_set(err, -OCF_ELIMIT, "%s would be larger than %d bytes",
				 edit->path, TOKENS_FILE_BYTES_MAX);
	rc = tokens_parse(buf_bytes(&edit->content), edit->path, &check, err);
	if (rc != 0)
		return rc;
	tokens_fini(&check);
	return file_write_with(edit->path, TOKENS_MODE, tokens_put, edit, err);
}

static void
tokens_put_service(const char *name, struct buf *out)
{
	for (const char *p = name; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c <= 0x20 || c == 0x7f || c == ',' || c == '%')
			buf_printf(out, "%%%02X", c);
		else
			buf_put_u8(out, c);
	}
}

static void
tokens_put_line(const struct tokens_entry *e, struct buf *out)
{
	char hash[2 * TOKENS_HASH_BYTES + 1], separator = ':';

	buf_printf(out, "%s:%s", e->name, hex_encode(e->hash, sizeof(e->hash), hash));
	if (e->rate_milli > 0) {
		buf_printf(out, "%c%s=%lld.%03lld", separator, "rate",
			   (long long)e->rate_milli / 1000,
			   (long long)e->rate_milli % 1000);
		while (out->data[out->len - 1] == '0')
			out->len--;
		out->len -= out->data[out->len - 1] == '.';
		separator = ',';
	}
	for (int i = 0; i < 3; i++) {
		static const char *const keys[] = { "burst", "concurrency", "share" };
		int64_t value[] = { e->burst, e->concurrency, e->share };

		if (value[i] == 0)
			continue;
		buf_printf(out, "%c%s=%lld", separator, keys[i], (long long)value[i]);
		separator = ',';
	}
	for (int i = 0; i < e->services_len; i++) {
		buf_printf(out, "%cservice=", separator);
		tokens_put_service(e->services[i], out);
		separator = ',';
	}
	buf_put_u8(out, '\n');
}

static const struct tokens_entry *
tokens_find(const struct tokens *t, const char *name)
{
	for (int i = 0; i < t->len; i++)
		if (strcmp(t->items[i].name, name) == 0)
			return &t->items[i];
	return NULL;
}

int
tokens_add(const char *path, const struct tokens_entry *e, uid_t owner,
	   struct errmsg *err)
{
	const struct tokens_entry *there;
	struct tokens_edit edit;
	int rc = tokens_check(e, err);

	if (rc == 0)
		rc = tokens_open(&edit, path, true, owner, err);
	if (rc != 0)
		return rc;
	there = tokens_find(&edit.tokens, e->name);
	for (int i = 0; i < edit.tokens.len && there == NULL; i++)
		if (memcmp(edit.tokens.items[i].hash, e->hash, TOKENS_HASH_BYTES) == 0)
			there = &edit.tokens.items[i];
	if (there != NULL) {
		rc = error_set(err, -EEXIST,
			       "%s:%d: there is a token of this %s already; revoke it "
			       "first, or take another",
			       edit.path, there->line,
			       strcmp(there->name, e->name) == 0 ? "name" : "value");
	} else if (edit.tokens.len == TOKENS_MAX) {
		rc = error_set(err, -OCF_ELIMIT, "%s holds %d tokens, and no more fit",
			       edit.path, TOKENS_MAX);
	} else {
		if (edit.content.len > 0 &&
		    edit.content.data[edit.content.len - 1] != '\n')
			buf_put_u8(&edit.content, '\n');
		tokens_put_line(e, &edit.content);
		rc = tokens_write(&edit, err);
	}
	tokens_close(&edit);
	return rc;
}

int
tokens_remove(const char *path, const char *name, struct errmsg *err)
{
	const struct tokens_entry *e;
	struct tokens_edit edit;
	struct buf rest = BUF_INIT;
	int rc = tokens_open(&edit, path, false, (uid_t)-1, err);

	if (rc != 0)
		return rc;
	e = tokens_find(&edit.tokens, name);
	if (e == NULL) {
		rc = error_set(err, -OCF_EUNKNOWN, "%s has no token named %s", edit.path,
			       name);
	} else {
		struct bytes content = buf_bytes(&edit.content);

		buf_put(&rest, content.data, e->at);
		buf_put(&rest, content.data + e->at + e->len,
			content.len - e->at - e->len);
		buf_fini(&edit.content);
		edit.content = rest;
		rc = tokens_write(&edit, err);
	}
	tokens_close(&edit);
	return rc;
}

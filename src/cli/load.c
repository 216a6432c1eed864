/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/load.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "table/dump.h"

struct load_state {
	struct load *load;
	struct load_page page;
	FILE *aside;   /* "NUMBER LENGTH\n" and the line, each; NULL before the first */
	bool is_again; /* these are the lines that were put aside */
	uint64_t number;
	bool is_ended; /* the last line was there */
	uint64_t end_rows;
};

/* ---- lines ---- */

/* The next line, without its end; what is longer than a row can be is cut, and then too long
 * still. False at the end of the file. */
static bool
load_read_line(FILE *in, struct buf *line)
{
	int c = getc_unlocked(in);

	buf_clear(line);
	if (c == EOF)
		return false;
	for (; c != EOF && c != '\n'; c = getc_unlocked(in))
		if (line->len <= DUMP_LINE_BYTES_MAX)
			buf_put_u8(line, (uint8_t)c);
	return true;
}

static bool
load_is_blank(const struct buf *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (memchr(" \t\r", line->data[i], 3) == NULL)
			return false;
	return true;
}

/* Cheaper than reading each line twice. */
static bool
load_is_end(const struct buf *line)
{
	static const char begin[] = "{\"end\"";
	size_t at = 0;

	for (size_t i = 0; i < line->len && begin[at] != '\0'; i++) {
		if (line->data[i] == ' ')
			continue;
		if (line->data[i] != (uint8_t)begin[at++])
			return false;
	}
	return begin[at] == '\0';
}

/* ---- pages ---- */

static void
load_clear(struct load_page *page)
{
	for (int i = 0; i < page->len; i++)
		free(page->lines[i].why);
	buf_clear(&page->text);
	page->len = 0;
	page->new = page->unchanged = page->ended = 0;
}

static int
load_put_aside(struct load_state *s, const struct load_line *line)
{
	const char *folder = getenv("TMPDIR");
	int fd;

	if (s->aside == NULL) {
		fd = file_open_unnamed(folder != NULL && folder[0] != '\0' ? folder
									   : "/tmp");
		if (fd < 0)
			return fd;
		s->aside = fdopen(fd, "w+");
		if (s->aside == NULL)
			return -errno;
	}
	if (fprintf(s->aside, "%llu %zu\n", (unsigned long long)line->number, line->len) <
		    0 ||
	    fwrite(s->page.text.data + line->at, 1, line->len, s->aside) != line->len)
		return -errno;
	return 0;
}

static int
load_aside_failed(int rc, struct errmsg *err)
{
	return error_set(err, rc,
			 "rows cannot be put aside in $TMPDIR or /tmp: %s; name a folder "
			 "with more room in TMPDIR",
			 error_text(rc));
}

static int
load_take_result(struct load_state *s, const struct load_line *line)
{
	struct load *l = s->load;

	if (line->is == LOAD_TAKEN)
		return 0;
	if (line->is == LOAD_UNKNOWN && !s->is_again)
		return load_put_aside(s, line);
	l->refused += line->is == LOAD_REFUSED;
	l->aside += line->is == LOAD_UNKNOWN;
	l->tell(l->arg, line->number, line->why != NULL ? line->why : "refused");
	return 0;
}

/* Give the page away. */
static int
load_flush(struct load_state *s, struct errmsg *err)
{
	struct load *l = s->load;
	int rc = 0;

	if (s->page.len == 0)
		return 0;
	rc = l->apply(l->arg, &s->page, err);
	if (rc != 0)
		return rc;
	l->new += s->page.new;
	l->unchanged += s->page.unchanged;
	l->ended += s->page.ended;
	for (int i = 0; i < s->page.len && !l->is_stopped; i++) {
		rc = load_take_result(s, &s->page.lines[i]);
		if (rc != 0)
			return load_aside_failed(rc, err);
		l->is_stopped = l->is_strict && l->refused > 0;
	}
	load_clear(&s->page);
	l->show(l->arg, l->read, s->end_rows);
	return 0;
}

static int
load_add(struct load_state *s, uint64_t number, const struct buf *line,
	 struct errmsg *err)
{
	struct load_page *page = &s->page;
	int rc = 0;

	if (page->len == LOAD_PAGE_LINES || page->text.len + line->len > LOAD_PAGE_BYTES)
		rc = load_flush(s, err);
	if (rc != 0 || s->load->is_stopped)
		return rc;
	page->lines[page->len++] = (struct load_line){ .number = number,
						       .at = page->text.len,
						       .len = line->len };
	buf_put_bytes(&page->text, buf_bytes(line));
	buf_put_u8(&page->text, '\n');
	return 0;
}

/* ---- the file ---- */

static int
load_failed(const struct load *l, FILE *in, struct errmsg *err)
{
	int rc = errno != 0 ? -errno : -EIO;

	return ferror(in) ? error_set(err, rc, "%s: %s", l->name, error_text(rc)) : 0;
}

static int
load_head(struct load_state *s, struct buf *line, struct errmsg *err)
{
	struct load *l = s->load;
	char theirs[ID_TEXT_SIZE], ours[ID_TEXT_SIZE];
	struct dump_head head;
	int rc;

	errno = 0;
	if (!load_read_line(l->in, line)) {
		rc = load_failed(l, l->in, err);
		return rc != 0 ? rc
			       : error_set(err, -OCF_EMALFORMED,
					   "%s is no dump: it is empty", l->name);
	}
	s->number = 1;
	rc = dump_read_head(buf_bytes(line), &head, err);
	if (rc != 0)
		return error_prefix(err, rc, rc == -OCF_EVERSION ? "%s" : "%s is no dump",
				    l->name);
	if (!id_equal(&head.cluster, &l->cluster))
		return error_set(err, -OCF_EFOREIGN,
				 "%s is a dump of the cluster %s, and this node is of %s",
				 l->name, id_text(&head.cluster, theirs),
				 id_text(&l->cluster, ours));
	s->end_rows = head.rows;
	return 0;
}

static int
load_end(struct load_state *s, const struct buf *line, struct errmsg *err)
{
	struct dump_line end;
	int rc = dump_read_line(buf_bytes(line), UINT32_MAX, NULL, &end, err);

	if (rc != 0)
		return error_prefix(err, rc, "line %llu of %s",
				    (unsigned long long)s->number, s->load->name);
	s->is_ended = true;
	s->end_rows = end.rows;
	return 0;
}

static int
load_lines(struct load_state *s, struct buf *line, struct errmsg *err)
{
	struct load *l = s->load;
	int rc = 0;

	errno = 0;
	while (rc == 0 && !l->is_stopped && !s->is_ended && load_read_line(l->in, line)) {
		s->number++;
		if (load_is_blank(line))
			continue;
		if (load_is_end(line)) {
			rc = load_end(s, line, err);
			continue;
		}
		l->read++;
		rc = load_add(s, s->number, line, err);
	}
	if (rc == 0)
		rc = load_failed(l, l->in, err);
	return rc == 0 && !l->is_stopped ? load_flush(s, err) : rc;
}

/* Node rows came from anywhere in the file: who still is not known will not be. */
static int
load_again(struct load_state *s, struct buf *line, struct errmsg *err)
{
	unsigned long long number;
	size_t len;
	int rc = 0;

	if (s->aside == NULL)
		return 0;
	s->is_again = true;
	/* rewind() would write what is left, and forget that it could not. */
	if (fflush(s->aside) != 0)
		return load_aside_failed(-errno, err);
	rewind(s->aside);
	while (rc == 0 && !s->load->is_stopped &&
	       fscanf(s->aside, "%llu %zu", &number, &len) == 2 &&
	       getc_unlocked(s->aside) == '\n') {
		buf_clear(line);
		if (fread(buf_extend(line, len), 1, len, s->aside) != len)
			break;
		rc = load_add(s, number, line, err);
	}
	if (rc == 0 && ferror(s->aside))
		return error_set(err, -EIO, "rows put aside cannot be read again: %s",
				 error_text(-EIO));
	return rc == 0 && !s->load->is_stopped ? load_flush(s, err) : rc;
}

int
load_run(struct load *load, struct errmsg *err)
{
	struct load_state *s = mem_calloc(1, sizeof(*s));
	struct buf line = BUF_INIT;
	int rc;

	s->load = load;
	rc = load_head(s, &line, err);
	if (rc == 0)
		rc = load_lines(s, &line, err);
	if (rc == 0 && !load->is_stopped)
		rc = load_again(s, &line, err);
	load->is_whole = s->is_ended && s->end_rows == load->read;
	load_clear(&s->page);
	buf_fini(&s->page.text);
	if (s->aside != NULL)
		fclose(s->aside);
	buf_fini(&line);
	free(s);
	return rc;
}

json_t *
load_json(const struct load *load)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "read",
			 (json_int_t)load->read, "new", (json_int_t)load->new,
			 "unchanged", (json_int_t)load->unchanged, "ended",
			 (json_int_t)load->ended, "refused", (json_int_t)load->refused,
			 "aside", (json_int_t)load->aside, "is_whole", load->is_whole,
			 "is_stopped", load->is_stopped);
}

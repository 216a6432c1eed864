/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/output.h"

#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/format.h"

const json_t *
output_member(const json_t *object, const char *path)
{
	const char *dot = strchr(path, '.');
	char name[64];

	if (path[0] == '\0')
		return object;
	if (dot == NULL)
		return json_object_get(object, path);
	snprintf(name, sizeof(name), "%.*s", (int)(dot - path), path);
	return output_member(json_object_get(object, name), dot + 1);
}

/* ---- Cells ---- */

void
output_plain(const json_t *value, struct buf *out)
{
	if (json_is_string(value) && json_string_length(value) > 0)
		buf_put_text(out, json_string_value(value));
	else if (json_is_integer(value))
		buf_printf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		buf_printf(out, "%g", json_real_value(value));
	else if (json_is_boolean(value))
		buf_put_text(out, json_is_true(value) ? "yes" : "no");
	else
		buf_put_text(out, "-");
}

void
output_short_id(const json_t *value, struct buf *out)
{
	const char *text = json_string_value(value);

	buf_printf(out, "%.8s", text != NULL && text[0] != '\0' ? text : "-");
}

void
output_bytes(const json_t *value, struct buf *out)
{
	char text[FORMAT_SIZE];

	if (json_integer_value(value) > 0)
		buf_put_text(out, format_bytes(json_integer_value(value), text));
	else
		buf_put_text(out, json_is_integer(value) ? "0" : "-");
}

void
output_ms(const json_t *value, struct buf *out)
{
	char text[FORMAT_SIZE];

	if (json_is_number(value))
		buf_put_text(out, format_ms(json_number_value(value), text));
	else
		buf_put_text(out, "-");
}

void
output_seconds(const json_t *value, struct buf *out)
{
	char text[FORMAT_SIZE];

	if (json_is_number(value))
		buf_put_text(out, format_span(json_number_value(value), text));
	else
		buf_put_text(out, "-");
}

void
output_elapsed(const json_t *value, struct buf *out)
{
	json_int_t ms = json_integer_value(value);
	char text[FORMAT_SIZE];

	if (ms < MS_SECOND)
		buf_printf(out, "%lld ms", (long long)ms);
	else
		buf_put_text(out, format_span((double)ms / MS_SECOND, text));
}

void
output_list(const json_t *value, struct buf *out)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)value, i, item)
	{
		if (i > 0)
			buf_put_text(out, ", ");
		output_plain(item, out);
	}
	if (json_array_size(value) == 0)
		buf_put_text(out, "-");
}

void
output_length(const json_t *value, struct buf *out)
{
	buf_printf(out, "%zu", json_array_size(value));
}

/* ---- Lines ---- */

void
output_make_safe(struct buf *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (text->data[i] < 0x20 || text->data[i] == 0x7f)
			text->data[i] = '?';
	}
}

/* Words behind a number: of "one|many", those that fit it. */
static void
output_words(const char *words, bool is_one)
{
	const char *bar = strchr(words, '|');

	if (bar == NULL)
		fputs(words, stdout);
	else if (is_one)
		printf("%.*s", (int)(bar - words), words);
	else
		fputs(bar + 1, stdout);
}

void
output_line(const json_t *object, const char *heading, const struct output_part *parts)
{
	bool is_one = false;

	printf("%-8s", heading);
	for (; parts->before != NULL; parts++) {
		struct buf cell = BUF_INIT;

		output_words(parts->before, is_one);
		if (parts->path == NULL)
			continue;
		is_one = json_integer_value(output_member(object, parts->path)) == 1;
		parts->format(output_member(object, parts->path), &cell);
		output_make_safe(&cell);
		fputs(buf_text(&cell), stdout);
		buf_fini(&cell);
	}
	putchar('\n');
}

void
output_json(const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	printf("%s\n", text != NULL ? text : "null");
	free(text);
}

/* ---- Tables ---- */

static void
output_row(struct libscols_table *table, const json_t *element,
	   const struct column *columns)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	for (size_t i = 0; line != NULL && columns[i].heading != NULL; i++) {
		struct buf cell = BUF_INIT;

		columns[i].format(output_member(element, columns[i].member), &cell);
		if (scols_line_set_data(line, i, buf_text(&cell)) != 0)
			abort(); /* no memory */
		buf_fini(&cell);
	}
}

int
output_table(const struct cli *cli, const json_t *array, const struct column *columns)
{
	struct libscols_table *table;
	const json_t *element;
	size_t i;
	int rc;

	scols_init_debug(0);
	table = scols_new_table();
	if (table == NULL)
		abort(); /* no memory */
	scols_table_enable_noheadings(table, cli->no_headings);
	for (i = 0; columns[i].heading != NULL; i++) {
		int flags = columns[i].is_number ? SCOLS_FL_RIGHT : 0;

		if (columns[i].may_be_cut)
			flags |= SCOLS_FL_TRUNC;
		if (scols_table_new_column(table, columns[i].heading, 0, flags) == NULL)
			abort(); /* no memory */
	}
	json_array_foreach((json_t *)array, i, element)
	{
		output_row(table, element, columns);
	}
	rc = scols_print_table(table);
	scols_unref_table(table);
	return rc == 0 ? EXIT_SUCCESS
		       : cli_fail(EXIT_STATUS_IO, "standard output: %s", error_text(rc));
}

int
output_list_of(const struct cli *cli, const char *path, const struct column *columns,
	       const char *nothing)
{
	struct buf text = BUF_INIT;
	json_t *json = NULL;
	int status = client_get_json(cli, path, &json, &text);

	if (status == EXIT_SUCCESS && cli->is_json) {
		fwrite(text.data, 1, text.len, stdout);
		if (text.len > 0 && text.data[text.len - 1] != '\n')
			putchar('\n');
	} else if (status == EXIT_SUCCESS && !json_is_array(json)) {
		status = cli_fail(EXIT_FAILURE,
				  "the reply is not a list: is it an ocfd?");
	} else if (status == EXIT_SUCCESS && json_array_size(json) == 0) {
		cli_say("%s", nothing);
	} else if (status == EXIT_SUCCESS) {
		status = output_table(cli, json, columns);
	}
	json_decref(json);
	buf_fini(&text);
	return status;
}

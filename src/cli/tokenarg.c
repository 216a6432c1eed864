/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/tokenarg.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

/* Somebody who pastes a line does not think of ending the input; an empty line ends one that
 * is no token. */
static bool
tokenarg_is_whole(const struct buf *text)
{
	struct token token;
	size_t len = text->len;
	bool is_whole = len > 0 && text->data[len - 1] == '\n' &&
			((len > 1 && text->data[len - 2] == '\n') ||
			 token_decode(buf_bytes(text), &token, NULL) == 0);

	ident_wipe(&token, sizeof(token));
	return is_whole;
}

static int
tokenarg_read_input(struct buf *text)
{
	bool is_terminal = isatty(STDIN_FILENO) == 1;
	char chunk[1024];
	ssize_t n = 0;

	if (is_terminal)
		cli_say("paste the token and press Enter");
	while (text->len <= TOKEN_INPUT_BYTES_MAX &&
	       (n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0) {
		buf_put(text, chunk, (size_t)n);
		if (is_terminal && tokenarg_is_whole(text))
			break;
	}
	ident_wipe(chunk, sizeof(chunk));
	if (n < 0)
		return cli_fail(EXIT_STATUS_IO, "reading the token: %s",
				error_text(-errno));
	return EXIT_SUCCESS;
}

int
tokenarg_read(char *argument, struct token *ret_token)
{
	struct buf text = BUF_INIT;
	struct errmsg err = { "" };
	int status = EXIT_SUCCESS;

	if (strcmp(argument, "-") == 0) {
		status = tokenarg_read_input(&text);
	} else {
		buf_put_text(&text, argument);
		memset(argument, 'x', strlen(argument));
	}
	if (status == EXIT_SUCCESS &&
	    token_decode(buf_bytes(&text), ret_token, &err) != 0)
		status = cli_fail(EXIT_FAILURE, "the token cannot be used: %s", err.text);
	ident_wipe(text.data, text.len);
	buf_fini(&text);
	return status;
}

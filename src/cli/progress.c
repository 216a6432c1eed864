/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cli/format.h"
#include "cli/output.h"

enum {
	PROGRESS_COLUMNS = 79, /* at most, and where the terminal does not say */
	PROGRESS_BAR_MIN = 10,
	PROGRESS_BAR_MAX = 40,
	PROGRESS_MS = 50, /* between two drawings: what an eye can follow */
};

static bool progress_is_shown;
static ms_t progress_drawn;	  /* last */
static ms_t progress_began;	  /* when the line was first drawn, */
static int64_t progress_at_first; /* and how many there were */

static int
progress_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2 ||
	    size.ws_col > PROGRESS_COLUMNS)
		return PROGRESS_COLUMNS;
	return size.ws_col - 1; /* the last one may begin a new line */
}

static void
progress_put_bar(struct buf *line, int width, double part)
{
	int full = (int)(part * width + 0.5);

	buf_put_text(line, " [");
	for (int i = 0; i < width; i++)
		buf_put_text(line, i < full ? "#" : ".");
	buf_put_text(line, "]");
}

static bool
progress_is_due(void)
{
	return isatty(STDERR_FILENO) &&
	       (!progress_is_shown || clock_mono_ms() - progress_drawn >= PROGRESS_MS);
}

/* `line` is consumed. */
static void
progress_draw(struct buf *line)
{
	progress_drawn = clock_mono_ms();
	output_make_safe(line);
	fprintf(stderr, "\r%.*s\033[K", progress_columns(), buf_text(line));
	fflush(stderr);
	progress_is_shown = true;
	buf_fini(line);
}

void
progress_show_bytes(const char *what, int64_t done)
{
	struct buf line = BUF_INIT;
	char text[FORMAT_SIZE];

	if (!progress_is_due())
		return;
	buf_printf(&line, "%s  %s", what, format_bytes(done, text));
	progress_draw(&line);
}

/* ", 5200/s, 3 s left" */
static void
progress_put_rate(struct buf *line, int64_t done, int64_t total)
{
	int64_t rows = done - progress_at_first;
	ms_t span = clock_mono_ms() - progress_began;
	char left[FORMAT_SIZE];

	if (span < MS_SECOND || rows <= 0)
		return;
	buf_printf(line, ", %.0f/s", (double)rows * MS_SECOND / (double)span);
	if (total > done)
		buf_printf(line, ", %s left",
			   format_span((double)(total - done) * (double)span /
					       (double)rows / MS_SECOND,
				       left));
}

/* So that the bar stays as wide as it is while the number grows. */
static int
progress_digits(int64_t n)
{
	return snprintf(NULL, 0, "%lld", (long long)n);
}

void
progress_show(const char *what, int64_t done, int64_t total)
{
	bool is_known = total > 0 && done <= total;
	int columns = progress_columns(), bar;
	struct buf line = BUF_INIT, numbers = BUF_INIT;

	if (!progress_is_due())
		return;
	if (!progress_is_shown) {
		progress_began = clock_mono_ms();
		progress_at_first = done;
	}
	if (is_known)
		buf_printf(&numbers, " %3d %%  %*lld of %lld rows",
			   (int)(100 * done / total), progress_digits(total),
			   (long long)done, (long long)total);
	else
		buf_printf(&numbers, "  %lld rows", (long long)done);
	progress_put_rate(&numbers, done, is_known ? total : 0);
	buf_put_text(&line, what);
	bar = columns - (int)line.len - (int)numbers.len - 3;
	if (bar > PROGRESS_BAR_MAX)
		bar = PROGRESS_BAR_MAX;
	if (is_known && bar >= PROGRESS_BAR_MIN)
		progress_put_bar(&line, bar, (double)done / (double)total);
	buf_put_bytes(&line, buf_bytes(&numbers));
	buf_fini(&numbers);
	progress_draw(&line);
}

void
progress_clear(void)
{
	if (!progress_is_shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	progress_is_shown = false;
}

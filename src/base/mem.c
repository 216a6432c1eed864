/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
mem_check(void *p, size_t len)
{
	if (p == NULL) {
		fprintf(stderr, "out of memory: %zu bytes could not be had\n", len);
		abort();
	}
	return p;
}

void *
mem_alloc(size_t len)
{
	return mem_check(malloc(len > 0 ? len : 1), len);
}

/* Up to here malloc(3) has blocks at hand for each thread. calloc(3) of glibc before 2.41 does
 * not use them, so it may have to wait for other threads. */
enum { MEM_SMALL_BYTES_MAX = 1024 };

void *
mem_calloc(size_t n, size_t size)
{
	if (n <= MEM_SMALL_BYTES_MAX && size <= MEM_SMALL_BYTES_MAX &&
	    n * size <= MEM_SMALL_BYTES_MAX)
		return memset(mem_alloc(n * size), 0, n * size);
	return mem_check(calloc(n > 0 ? n : 1, size > 0 ? size : 1), n * size);
}

void *
mem_aligned(size_t align, size_t len)
{
	return mem_check(aligned_alloc(align, len), len);
}

void *
mem_realloc(void *old, size_t n, size_t size)
{
	if (n == 0 || size == 0)
		n = size = 1;
	return mem_check(reallocarray(old, n, size), n * size);
}

void *
mem_dup(const void *data, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (len > 0)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

char *
mem_strdup(const char *text)
{
	return mem_dup(text, strlen(text));
}

char *
mem_printf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return mem_check(n < 0 ? NULL : text, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that does not fail. A node that cannot get a few kilobytes can neither log nor
 * clean up; it says so on standard error and aborts, and its supervisor starts it again on
 * a store that is always consistent. Everything whose size comes from outside is checked
 * against a named limit before it is allocated, so that this is a broken machine and never
 * an attack. Memory is released with free(3). Safe from any thread. */
#ifndef OCF_BASE_MEM_H
#define OCF_BASE_MEM_H

#include <stddef.h>

/* `len` bytes, uninitialised; one byte when `len` is 0. */
void *mem_alloc(size_t len) __attribute__((malloc, returns_nonnull));
/* `n` items of `size` bytes, zeroed; the product is checked. */
void *mem_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
/* `len` bytes, uninitialised, at a multiple of `align`, a power of two that `len` is a
 * multiple of. */
void *mem_aligned(size_t align, size_t len) __attribute__((malloc, returns_nonnull));
/* As reallocarray(3). */
void *mem_realloc(void *old, size_t n, size_t size) __attribute__((returns_nonnull));
/* A copy of `len` bytes with a NUL after them. */
void *mem_dup(const void *data, size_t len) __attribute__((malloc, returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
/* As asprintf(3), returning the text. */
char *mem_printf(const char *fmt, ...)
	__attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

#endif

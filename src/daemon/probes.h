/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O of dial-backs, for links.c alone. What each dial found goes to links_probed(). */
#ifndef OCF_DAEMON_PROBES_H
#define OCF_DAEMON_PROBES_H

#include <stdint.h>

struct daemon;
struct probes;

struct probes *probes_open(struct daemon *d);
void probes_close(struct probes *probes); /* NULL is allowed */
/* One dial more of this probe. */
void probes_dial(struct probes *probes, uint64_t number, const char *address);
/* Close what is left of it, and tell nothing; 0: of all. */
void probes_end(struct probes *probes, uint64_t number);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Whose bus is it? On a bus that is not its own a node asks `ocf.node` before it takes it, and
 * answers who asks. Pure. */
#ifndef OCF_BUS_OWNER_H
#define OCF_BUS_OWNER_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/id.h"

/* What a node says of itself; free(3) it. `is_settled`: it has the bus, and does not ask. */
char *owner_answer(const char *name, const struct id *id, bool is_settled);
/* Does the bus at `url` belong to who answers? Of two that ask at once the one with the lower
 * id stays. Then `ret_why` is the sentence for the person who configured both. */
bool owner_is_other(struct bytes answer, const struct id *own, const char *url,
		    struct errmsg *ret_why);

#endif

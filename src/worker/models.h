/* SPDX-License-Identifier: Apache-2.0 */
/* The models that an OpenAI-like server lists at /v1/models, as matches. Pure. */
#ifndef OCF_WORKER_MODELS_H
#define OCF_WORKER_MODELS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

#define MODELS_PATH "/v1/models"

enum {
	/* Of the reply: a model's entry has some 200 to 2,000 bytes, with its permissions. */
	MODELS_BYTES_MAX = 1024 * 1024,
	MODELS_LEFT_OUT_BYTES = 80, /* how much of an id is told */
};

struct models {
	int len;
	char *matches[LIMIT_MATCHES_MAX]; /* "model=ID", sorted, each once; owned */
	int left_out;  /* ids that cannot be a match, or are too many */
	char why[160]; /* of the first one left out; "" for none */
};

/* {"data":[{"id":"…"},…]}. -OCF_EMALFORMED with a sentence when it is no such thing; one
 * without any model is good. */
int models_parse(struct bytes json, struct models *ret_models, struct errmsg *err);
void models_fini(struct models *models);
bool models_equal(const struct models *a, const struct models *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "worker/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"

enum health_question { HEALTH_NOTHING, HEALTH_CONNECTS, HEALTH_PATH, HEALTH_MODELS };

struct health {
	struct loop *loop;
	struct health_config config;
	bool is_well, was_well; /* now; ever */
	struct models models;
	ms_t asked_ms;			 /* when the last round began */
	char why[CURL_ERROR_SIZE + 128]; /* it is not well, as told */
	struct loop_timer *next;
	/* The question that is open */
	enum health_question question;
	struct multi_request request;
	char *path;
	struct buf answer;
	bool is_too_long;
	char error[CURL_ERROR_SIZE];
};

static void health_ask(struct health *h, enum health_question question);

/* --- what came out --- */

static void
health_say_models(const struct health *h)
{
	const struct models *m = &h->models;

	log_info("worker", "%s has %d model%s: %s%s", h->config.target->name, m->len,
		 m->len == 1 ? "" : "s", m->matches[0] + strlen("model="),
		 m->len > 1 ? ", …" : "");
	if (m->left_out > 0)
		log_warn(
			"worker",
			"%d of its models cannot be offered and %s left out; the first: %s",
			m->left_out, m->left_out == 1 ? "is" : "are", m->why);
}

static void
health_set(struct health *h, bool is_well, bool is_new)
{
	if (h->is_well == is_well && !is_new)
		return;
	h->is_well = is_well;
	h->config.changed(h->config.arg, is_well,
			  h->config.wants_models ? &h->models : NULL);
}

static void
health_fails(struct health *h, const char *why)
{
	const char *name = h->config.target->name;
	bool is_other = strcmp(h->why, why) != 0;

	/* Once for each reason, not for each attempt. */
	if (!h->was_well && is_other)
		log_info("worker", "waiting for the server at %s: %s", name, why);
	else if (h->is_well)
		log_warn("worker", "the server at %s: %s; no queries until it is back",
			 name, why);
	else if (is_other)
		log_warn("worker", "the server at %s: %s", name, why);
	snprintf(h->why, sizeof(h->why), "%s", why);
	loop_timer_set(h->next, HEALTH_RETRY_MS);
	health_set(h, false, false);
}

static void
health_succeeds(struct health *h, struct models *models)
{
	bool is_new = models != NULL && !models_equal(models, &h->models);

	if (!h->is_well)
		log_info("worker", "the server at %s is %s", h->config.target->name,
			 h->was_well ? "back" : "there");
	h->was_well = true;
	h->why[0] = '\0';
	if (is_new) {
		models_fini(&h->models);
		h->models = *models;
		health_say_models(h);
	} else if (models != NULL) {
		models_fini(models);
	}
	if (h->config.path != NULL)
		loop_timer_set(h->next, HEALTH_EVERY_MS);
	else if (h->config.wants_models)
		loop_timer_set(h->next, HEALTH_MODELS_EVERY_MS);
	health_set(h, true, is_new);
}

static void
health_take_models(struct health *h)
{
	struct models models;
	struct errmsg err = { "" };
	char why[256];

	if (models_parse(buf_bytes(&h->answer), &models, &err) < 0) {
		snprintf(why, sizeof(why), "what it has at %.100s: %.100s", h->path,
			 err.text);
		health_fails(h, why);
	} else if (models.len == 0) {
		snprintf(why, sizeof(why),
			 "it lists no model that can be offered at %s%s%s", h->path,
			 models.left_out > 0 ? "; the first: " : "", models.why);
		models_fini(&models);
		health_fails(h, why);
	} else {
		health_succeeds(h, &models);
	}
}

/* --- a question --- */

static size_t
health_on_write(char *data, size_t size, size_t n, void *arg)
{
	struct health *h = arg;
	size_t len = size * n;

	if (h->question != HEALTH_MODELS)
		return len;
	h->is_too_long = h->answer.len + len > MODELS_BYTES_MAX;
	if (h->is_too_long)
		return 0;
	buf_put(&h->answer, data, len);
	return len;
}

static void
health_close(struct health *h)
{
	multi_remove(&h->request);
	curl_easy_cleanup(h->request.easy);
	h->request.easy = NULL;
	h->question = HEALTH_NOTHING;
	free(h->path);
	h->path = NULL;
	buf_fini(&h->answer);
}

static void
health_answered(struct health *h, long status)
{
	char why[256];

	if (h->question != HEALTH_CONNECTS && (status < 200 || status > 299)) {
		snprintf(why, sizeof(why), "GET %s is answered with %ld", h->path,
			 status);
		health_fails(h, why);
	} else if (h->question == HEALTH_MODELS) {
		health_take_models(h);
	} else if (h->config.wants_models) {
		health_close(h);
		health_ask(h, HEALTH_MODELS);
	} else {
		health_succeeds(h, NULL);
	}
}

static void
health_on_done(void *arg, CURLcode code)
{
	struct health *h = arg;
	enum health_question question = h->question;
	long status = 0;

	curl_easy_getinfo(h->request.easy, CURLINFO_RESPONSE_CODE, &status);
	if (h->is_too_long)
		health_fails(h, "its list of models is over 1 MiB");
	else if (code != CURLE_OK)
		health_fails(h,
			     h->error[0] != '\0' ? h->error : curl_easy_strerror(code));
	else
		health_answered(h, status);
	if (h->question == question)
		health_close(h);
}

static void
health_on_touched(void *arg)
{
	(void)arg;
}

static void
health_ask(struct health *h, enum health_question question)
{
	const struct target *target = h->config.target;
	CURL *easy = multi_easy_new(target);

	h->question = question;
	h->is_too_long = false;
	h->error[0] = '\0';
	h->path = mem_printf("%s%s", target->base,
			     question == HEALTH_MODELS ? MODELS_PATH
			     : h->config.path != NULL  ? h->config.path
						       : "/");
	curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, h->path);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)HEALTH_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY,
			 question == HEALTH_CONNECTS ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, h->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, health_on_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, h);
	h->request = (struct multi_request){ .easy = easy,
					     .touched = health_on_touched,
					     .done = health_on_done,
					     .arg = h };
	multi_add(h->config.multi, &h->request);
}

static void
health_on_next(void *arg)
{
	struct health *h = arg;

	if (h->question != HEALTH_NOTHING)
		return;
	h->asked_ms = loop_now(h->loop);
	if (h->config.path != NULL)
		health_ask(h, HEALTH_PATH);
	else
		health_ask(h, h->config.wants_models ? HEALTH_MODELS : HEALTH_CONNECTS);
}

/* --- what queries found out --- */

void
health_unreachable(struct health *h, const char *why)
{
	if (h->is_well)
		health_fails(h, why);
}

void
health_doubt(struct health *h)
{
	ms_t since = loop_now(h->loop) - h->asked_ms;

	if (h->is_well)
		loop_timer_set(h->next,
			       since < HEALTH_RETRY_MS ? HEALTH_RETRY_MS - since : 0);
}

struct health *
health_new(struct loop *loop, const struct health_config *config)
{
	struct health *h = mem_calloc(1, sizeof(*h));

	h->loop = loop;
	h->config = *config;
	h->next = loop_timer_new(loop, health_on_next, h);
	loop_timer_set(h->next, 0);
	return h;
}

void
health_free(struct health *h)
{
	if (h == NULL)
		return;
	health_close(h);
	models_fini(&h->models);
	loop_timer_free(h->next);
	free(h);
}

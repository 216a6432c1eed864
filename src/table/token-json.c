/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "table/token-json.h"

#include <stdio.h>
#include <string.h>

static json_t *
token_number_json(int64_t value)
{
	return value > 0 ? json_integer((json_int_t)value) : json_null();
}

/* Whole rates as such: 10, and not 10.0. */
static json_t *
token_rate_json(int64_t milli)
{
	return milli % 1000 == 0 ? token_number_json(milli / 1000)
				 : json_real((double)milli / 1000);
}

json_t *
token_to_json(const struct tokens_entry *e)
{
	json_t *services = e->services_len > 0 ? json_array() : json_null();

	for (int i = 0; i < e->services_len; i++)
		json_array_append_new(services, json_string(e->services[i]));
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "name", e->name, "rate",
			 token_rate_json(e->rate_milli), "burst",
			 token_number_json(e->burst), "concurrency",
			 token_number_json(e->concurrency), "share",
			 token_number_json(e->share), "services", services);
}

/* Absent and null are 0. */
static int
token_read_number(const json_t *json, const char *key, int64_t *ret, struct errmsg *err)
{
	const json_t *value = json_object_get(json, key);

	*ret = 0;
	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 1)
		return error_set(err, -EINVAL, "%s is not a whole number above 0", key);
	*ret = json_integer_value(value);
	return 0;
}

static int
token_read_rate(const json_t *json, int64_t *ret, struct errmsg *err)
{
	const json_t *value = json_object_get(json, "rate");
	double rate;

	*ret = 0;
	if (value == NULL || json_is_null(value))
		return 0;
	rate = json_number_value(value);
	if (!json_is_number(value) || !(rate >= 0.001) ||
	    rate > (double)TOKENS_RATE_MILLI_MAX / 1000)
		return error_set(err, -EINVAL, "rate is not from 0.001 to %d",
				 TOKENS_RATE_MILLI_MAX / 1000);
	*ret = (int64_t)(rate * 1000 + 0.5);
	return 0;
}

static int
token_read_services(const json_t *json, struct tokens_entry *e, struct errmsg *err)
{
	const json_t *list = json_object_get(json, "services"), *item;
	size_t i;

	if (list == NULL || json_is_null(list))
		return 0;
	/* No service at all is not the same as all of them. */
	if (!json_is_array(list) || json_array_size(list) == 0)
		return error_set(err, -EINVAL, "services is not a list of names");
	if (json_array_size(list) > TOKENS_SERVICES_MAX)
		return error_set(err, -EINVAL, "more than %d services",
				 TOKENS_SERVICES_MAX);
	json_array_foreach((json_t *)(uintptr_t)list, i, item)
	{
		if (!json_is_string(item))
			return error_set(err, -EINVAL, "services is not a list of names");
		tokens_add_service(e, json_string_value(item));
	}
	return 0;
}

int
token_from_json(const json_t *json, struct tokens_entry *ret, struct errmsg *err)
{
	static const char *const keys[] = { "name",	   "rate",  "burst",
					    "concurrency", "share", "services" };
	struct tokens_entry e = { .line = 0 };
	const char *name = json_string_value(json_object_get(json, "name")), *key;
	json_t *value;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		bool is_known = false;

		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			is_known = is_known || strcmp(key, keys[i]) == 0;
		if (!is_known)
			return error_set(err, -EINVAL, "a token has no member '%s'", key);
	}
	if (name == NULL || strlen(name) > TOKENS_NAME_BYTES_MAX)
		return error_set(err, -EINVAL, "name is not a text of at most %d bytes",
				 TOKENS_NAME_BYTES_MAX);
	snprintf(e.name, sizeof(e.name), "%s", name);
	rc = token_read_rate(json, &e.rate_milli, err);
	if (rc == 0)
		rc = token_read_number(json, "burst", &e.burst, err);
	if (rc == 0)
		rc = token_read_number(json, "concurrency", &e.concurrency, err);
	if (rc == 0)
		rc = token_read_number(json, "share", &e.share, err);
	if (rc == 0)
		rc = token_read_services(json, &e, err);
	if (rc == 0)
		rc = tokens_check(&e, err);
	if (rc == 0)
		*ret = e;
	else
		tokens_entry_fini(&e);
	return rc;
}

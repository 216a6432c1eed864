/* SPDX-License-Identifier: Apache-2.0 */
/* `ocf doctor`: first everything is looked at, each thing by a process of its own that has
 * only so long, and becomes one JSON object, the facts; then the facts are judged, purely.
 * Nothing is changed.
 *
 *	cmd-doctor.c    looks, judges, prints
 *	doctor-parts.c  processes that look, and their time limit
 *	doctor-look.c   what they look at, with doctor-folder.c and doctor-ports.c
 *	doctor.c        the checks and what comes of them
 *	doctor-daemon.c, doctor-local.c, doctor-keys.c   judge what is here
 *	doctor-node.c, doctor-mesh.c    what the running node says of itself, and of others
 *
 * The facts; what could not be looked at in time is missing:
 *
 *	"now_ms", "user", "is_named" (a socket was given: the folder may be another's),
 *	"places" {"data","config","socket"}
 *	"node"   {"socket","rc","status","said","group","reply"}: the daemon asked; "rc" 0 when
 *	         it takes connections, "reply" as daemon/doctor.c makes it
 *	"run"    {"pid","is_alive","state","socket"}: what run.json says, and that process
 *	"config" {"program","file","is_there","status","said","options"}: ocfd --print-config
 *	"folder" {"path","error","owner","uid","mode","file_system","free","size","store_bytes",
 *	         "strange","is_system_there"}
 *	"keys"   {"is_there","denied","open","error","has_ca_key","certs"}
 *	"ports"  [{"option","address","state","by"}]
 *	"server" {"program","version","error"}: nats-server
 *	"system" {"files","memory","memory_free","is_clock_kept"}
 */
#ifndef OCF_CLI_DOCTOR_H
#define OCF_CLI_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cli/command.h"

/* ---- judging (doctor.c) ---- */

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_UNKNOWN,
	DOCTOR_WARNING,
	DOCTOR_PROBLEM,
};

struct doctor {
	json_t *findings;  /* [{"check","state","text","remedy"}] */
	const char *check; /* that judges now */
};

/* The findings of all checks, in their order: at least one of each. */
json_t *doctor_judge(const json_t *facts);
/* 0, 1 with a problem, 69 where nothing could be looked at. */
int doctor_exit_status(const json_t *findings);
enum doctor_state doctor_state_of(const json_t *finding);

/* A finding of the check that judges. `remedy`: a sentence or a command on the heap, which is
 * taken over, or NULL. */
void doctor_say(struct doctor *d, enum doctor_state state, char *remedy, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));

/* Shorthands for facts: the text, "" when there is none; the number, `none` likewise. */
const char *doctor_text(const json_t *object, const char *path);
double doctor_number(const json_t *object, const char *path, double none);
bool doctor_is(const json_t *object, const char *path); /* true, and not missing */
/* An option of the configuration, as text; "" when it is not known. */
const char *doctor_option(const json_t *facts, const char *name);
/* The command that starts the node of this folder, and one that shows its log. */
const char *doctor_start(const json_t *facts);
const char *doctor_log(const json_t *facts);

/* doctor-daemon.c */
void doctor_judge_daemon(struct doctor *d, const json_t *facts);
void doctor_judge_configuration(struct doctor *d, const json_t *facts);
/* doctor-local.c */
void doctor_judge_folder(struct doctor *d, const json_t *facts);
void doctor_judge_disk(struct doctor *d, const json_t *facts);
void doctor_judge_ports(struct doctor *d, const json_t *facts);
void doctor_judge_bus(struct doctor *d, const json_t *facts);
void doctor_judge_files(struct doctor *d, const json_t *facts);
void doctor_judge_memory(struct doctor *d, const json_t *facts);
/* doctor-keys.c */
void doctor_judge_keys(struct doctor *d, const json_t *facts);
void doctor_judge_certificates(struct doctor *d, const json_t *facts);
void doctor_judge_ca(struct doctor *d, const json_t *facts);
/* doctor-node.c */
void doctor_judge_clock(struct doctor *d, const json_t *facts);
void doctor_judge_store(struct doctor *d, const json_t *facts);
void doctor_judge_table(struct doctor *d, const json_t *facts);
void doctor_judge_versions(struct doctor *d, const json_t *facts);
/* doctor-mesh.c */
void doctor_judge_links(struct doctor *d, const json_t *facts);
void doctor_judge_inbound(struct doctor *d, const json_t *facts);
void doctor_judge_addresses(struct doctor *d, const json_t *facts);
void doctor_judge_nodes(struct doctor *d, const json_t *facts);

/* ---- looking ---- */

enum {
	/* All of it is to take 10 s at most: three phases, and what starting takes. */
	DOCTOR_NODE_MS = 3 * MS_SECOND,	 /* for the daemon's answer */
	DOCTOR_PHASE_MS = 3 * MS_SECOND, /* for what else is looked at at the same time */
	DOCTOR_ASK_MS = DOCTOR_NODE_MS - MS_SECOND / 2,
	DOCTOR_FACT_BYTES_MAX = 64 * 1024 *
				1024, /* of one: 16,384 nodes, each with its row */
	DOCTOR_PROGRAM_BYTES_MAX = 64 * 1024, /* that a program prints */
};

/* Everything, before it is judged. */
json_t *doctor_look(const struct cli *cli);

/* A thing to look at: `look` gets what is known so far, in a process of its own, and what it
 * returns becomes facts[name] when it comes in time. */
struct doctor_part {
	const char *name;
	json_t *(*look)(const struct cli *cli, const json_t *facts);
};
/* All at once. */
void doctor_look_at(const struct cli *cli, const struct doctor_part *parts, int len,
		    ms_t limit_ms, json_t *facts);
/* Beside this program, where `make install` puts it, or in PATH. Free(3) it; NULL: nowhere. */
char *doctor_find_ocfd(void);
/* Run a program, and wait. Gives what it wrote to standard output and, its first line, to
 * standard error. Returns its exit status, or a negative code. For parts alone, which end
 * with all that they started. */
int doctor_run(char *const argv[], struct buf *out, char error[512]);
/* As JSON has it: what is not UTF-8 becomes '?'. */
json_t *doctor_string(const char *text);

/* doctor-folder.c, doctor-ports.c */
json_t *doctor_look_at_folder(const struct cli *cli, const json_t *facts);
json_t *doctor_look_at_keys(const struct cli *cli, const json_t *facts);
json_t *doctor_look_at_ports(const struct cli *cli, const json_t *facts);

#endif

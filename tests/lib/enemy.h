/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs share that connect and then behave badly: knock.c, hostile.c. Blocking, one
 * thread; each failure ends the program with a sentence and status 2. */
#ifndef OCF_TESTS_ENEMY_H
#define OCF_TESTS_ENEMY_H

void enemy_init(const char *program);			    /* for the sentences */
void enemy_die(const char *what) __attribute__((noreturn)); /* with errno's reason */
long long enemy_now_ms(void);
/* A connection to ADDRESS:PORT, numeric IPv4, from the address `source` or, NULL, any. */
int enemy_connect(const char *source, const char *address_port);

#endif

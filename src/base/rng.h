/* SPDX-License-Identifier: Apache-2.0 */
/* Repeatable randomness for the protocol cores and the tests: xoshiro256** (Blackman and
 * Vigna, 2018), seeded through splitmix64. Not for keys or secrets: those come from
 * OpenSSL. */
#ifndef OCF_BASE_RNG_H
#define OCF_BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* Uniform in [0, n); n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);
/* A seed from the kernel (getrandom(2)); for drivers, never inside a core. */
uint64_t rng_seed_from_os(void);

#endif

/* Counting levels. */
#ifndef MLOPSFW_CORE_DRIFT_LEVELS_H
#define MLOPSFW_CORE_DRIFT_LEVELS_H

#include <stdint.h>
#include <string.h>
#define SLOTS 4096     /* a power of two, far above the number of levels: they seldom meet in a slot */
#define TURNS 4        /* counts take turns, so that runs of one value need not wait for each other */

static inline uint64_t bits_of(double v) { uint64_t bits; memcpy(&bits, &v, 8); return bits; }
static inline uint64_t slot_of(uint64_t bits) { return (bits * UINT64_C(0x9E3779B97F4A7C15)) >> 52; }

/* Count each level's values. Those of no level go to `strays`, room + 1 of them; returns how many, more than `room` where that
   is too little. Of two levels that meet in a slot the later one's values are strays. */
static int64_t count_levels(const double *values, int64_t n, const double *levels, int64_t n_levels, int64_t *counts,
                            double *strays, int64_t room) {
  uint64_t keys[SLOTS];
  uint32_t seen[TURNS][SLOTS] = {{0}};
  int64_t stray = 0;
  for (int64_t s = 0; s < SLOTS; ++s) keys[s] = UINT64_MAX;    /* a NaN: no level has it */
  for (int64_t k = n_levels; k-- > 0;) keys[slot_of(bits_of(levels[k]))] = bits_of(levels[k]);
  for (int64_t i = 0; i < n && stray <= room; ++i) {
    uint64_t bits = bits_of(values[i]), slot = slot_of(bits), known = keys[slot] == bits;
    seen[i % TURNS][slot] += known;
    strays[stray] = values[i];
    stray += !known;
  }
  for (int64_t k = 0; k < n_levels; ++k) {
    uint64_t slot = slot_of(bits_of(levels[k]));
    counts[k] = 0;
    if (keys[slot] == bits_of(levels[k])) for (int t = 0; t < TURNS; ++t) counts[k] += seen[t][slot];
  }
  return stray;
}

#endif /* MLOPSFW_CORE_DRIFT_LEVELS_H */

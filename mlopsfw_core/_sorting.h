/* Sorting doubles by cells: a monotone map puts each value into a cell, large cells are split again by the bits of their values, and four
   cells of at most 16 values at a time go through a sorting network, a lane each. It needs no compress-store, on which NumPy's
   AVX-512 sort rests and which AMD's Zen 4 runs from microcode. Each split by bits uses up at least 4 of the 64. */
#ifndef MLOPSFW_CORE_SORTING_H
#define MLOPSFW_CORE_SORTING_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SORT_SLACK 16          /* a buffer has room for so many values beyond its end: cells are read and written whole */

enum { SORT_DONE, SORT_MET_NAN, SORT_NO_MEMORY };

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include "mlopsfw_core/drift/_gaps.h"

#define AVX2 __attribute__((target("avx2")))
#define SORT_BLOCK 512
#define SORT_LOOK 1024         /* values that decide the first map, at most; they affect the speed, never the order */
#define SORT_STEP 16           /* how far they are apart, at least */
#define MOST_CELLS 2048        /* the ends of so many stretches of memory are written to at once without missing the caches */
#define CELL_FILL 8            /* values a cell holds on average, or up to twice as many */
#define CELL_ROOM 16           /* values that a lane of the network sorts; four lanes together sort four times as many */

/* How values become cells: by the map, or else by the bits of their keys above `low`. */
typedef struct { const grid_map *map; int64_t low; int shift; } cell_rule;

static int can_sort_by_cells(void) { return __builtin_cpu_supports("avx2") != 0; }

/* Whether NumPy's sort takes its AVX-512 path on a processor of AMD's. */
static int has_slow_compress(void) {
  return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* A whole number that is ordered as the double is; -0 comes before 0. */
static inline int64_t key_of(double v) {
  int64_t bits;
  memcpy(&bits, &v, 8);
  return bits ^ (int64_t)((uint64_t)(bits >> 63) >> 1);
}

/* Transpose four rows of four. */
AVX2 static inline void transpose(__m256d *r) {
  __m256d a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
  __m256d c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
  r[0] = _mm256_permute2f128_pd(a, c, 0x20);
  r[1] = _mm256_permute2f128_pd(b, d, 0x20);
  r[2] = _mm256_permute2f128_pd(a, c, 0x31);
  r[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

/* Of equal operands minpd and maxpd return the second: so that -0 and 0 are both kept. */
#define SWAP(i, j) { __m256d a = r[i], b = r[j]; r[i] = _mm256_min_pd(a, b); r[j] = _mm256_max_pd(b, a); }

/* Green's network: 60 exchanges sort 16 values in each lane. */
AVX2 static inline void sort_lanes(__m256d *r) {
  SWAP(0, 1) SWAP(2, 3) SWAP(4, 5) SWAP(6, 7) SWAP(8, 9) SWAP(10, 11) SWAP(12, 13) SWAP(14, 15)
  SWAP(0, 2) SWAP(4, 6) SWAP(8, 10) SWAP(12, 14) SWAP(1, 3) SWAP(5, 7) SWAP(9, 11) SWAP(13, 15)
  SWAP(0, 4) SWAP(8, 12) SWAP(1, 5) SWAP(9, 13) SWAP(2, 6) SWAP(10, 14) SWAP(3, 7) SWAP(11, 15)
  SWAP(0, 8) SWAP(1, 9) SWAP(2, 10) SWAP(3, 11) SWAP(4, 12) SWAP(5, 13) SWAP(6, 14) SWAP(7, 15)
  SWAP(5, 10) SWAP(6, 9) SWAP(3, 12) SWAP(13, 14) SWAP(4, 8) SWAP(7, 11) SWAP(1, 2)
  SWAP(1, 4) SWAP(7, 13) SWAP(2, 8) SWAP(11, 14) SWAP(5, 6) SWAP(9, 10)
  SWAP(2, 4) SWAP(11, 13) SWAP(3, 8) SWAP(7, 12)
  SWAP(6, 8) SWAP(10, 12) SWAP(3, 5) SWAP(7, 9)
  SWAP(3, 4) SWAP(5, 6) SWAP(7, 8) SWAP(9, 10) SWAP(11, 12)
  SWAP(6, 7) SWAP(8, 9)
}

/* Sort four neighbouring cells of at most 16 values. Each is written out with infinities behind it, over which the next is written. */
AVX2 static void sort_four_cells(const double *from, const uint32_t *ends, double *out) {
  __m256d r[16], beyond = _mm256_set1_pd(INFINITY);
  for (int c = 0; c < 4; ++c) {
    __m256i size = _mm256_set1_epi64x(ends[c + 1] - ends[c]);
    for (int b = 0; b < 4; ++b) {
      __m256i at = _mm256_setr_epi64x(4 * b, 4 * b + 1, 4 * b + 2, 4 * b + 3);
      __m256d values = _mm256_loadu_pd(from + ends[c] + 4 * b);
      r[4 * b + c] = _mm256_blendv_pd(beyond, values, _mm256_castsi256_pd(_mm256_cmpgt_epi64(size, at)));
    }
  }
  for (int b = 0; b < 16; b += 4) transpose(r + b);
  sort_lanes(r);
  for (int b = 0; b < 16; b += 4) transpose(r + b);
  for (int c = 0; c < 4; ++c)
    for (int b = 0; b < 4; ++b) _mm256_storeu_pd(out + ends[c] + 4 * b, r[4 * b + c]);
}

/* Each lane holds a bitonic sequence: it rises and falls, or the other way round. Sort it. */
AVX2 static inline void sort_bitonic_lanes(__m256d *r) {
  for (int step = 8; step; step /= 2)
    for (int i = 0; i < 16; ++i)
      if (!(i & step)) SWAP(i, i + step)
}

/* Compare row i, whose lanes are put in `order`, with row j: the lanes of `high` get the larger values. */
#define ACROSS(into, i, j, order, high) { __m256d s = _mm256_permute4x64_pd(r[j], order); \
  into[i] = _mm256_blend_pd(_mm256_min_pd(r[i], s), _mm256_max_pd(r[i], s), high); }

/* Sort at most 64 values: each lane, then two lanes as one, then all four. */
AVX2 static void sort_one_cell(const double *from, int64_t n, double *out) {
  double padded[64];
  __m256d r[16], t[16];
  memcpy(padded, from, (size_t)n * sizeof *from);
  for (int64_t i = n; i < 64; ++i) padded[i] = INFINITY;
  for (int i = 0; i < 16; ++i) r[i] = _mm256_loadu_pd(padded + 4 * i);
  sort_lanes(r);
  for (int i = 0; i < 16; ++i) ACROSS(t, i, 15 - i, 0xB1, 0xA)
  sort_bitonic_lanes(t);
  memcpy(r, t, sizeof r);
  for (int i = 0; i < 16; ++i) ACROSS(t, i, 15 - i, 0x1B, 0xC)
  memcpy(r, t, sizeof r);
  for (int i = 0; i < 16; ++i) ACROSS(t, i, i, 0xB1, 0xA)
  sort_bitonic_lanes(t);
  for (int b = 0; b < 16; b += 4) transpose(t + b);
  for (int i = 0; i < 16; ++i) _mm256_storeu_pd(padded + 16 * (i % 4) + i / 4 * 4, t[i]);
  memcpy(out, padded, (size_t)n * sizeof *out);
}

AVX2 static void key_range(const double *values, int64_t n, int64_t *low, int64_t *high) {
  int64_t least = INT64_MAX, most = INT64_MIN;
  for (int64_t i = 0; i < n; ++i) {
    int64_t key = key_of(values[i]);
    least = key < least ? key : least;
    most = key > most ? key : most;
  }
  *low = least, *high = most;
}

/* Find the values' cells. Only a map meets NaN; returns how many. */
AVX2 static int64_t place(const double *restrict values, int64_t n, const cell_rule *rule, uint16_t *restrict cells) {
  uint64_t low = (uint64_t)rule->low;
  int shift = rule->shift;
  if (rule->map) return grid_place(values, n, rule->map, cells);
  for (int64_t i = 0; i < n; ++i) cells[i] = (uint16_t)(((uint64_t)key_of(values[i]) - low) >> shift);
  return 0;
}

/* Choose bits that split keys from `low` to `high` into at most `most` cells; returns how many cells there are. */
static int64_t rule_by_bits(int64_t low, int64_t high, int64_t most, cell_rule *rule) {
  uint64_t range = (uint64_t)high - (uint64_t)low;
  *rule = (cell_rule){NULL, low, 0};
  for (; range >> rule->shift >= (uint64_t)most; ++rule->shift) {}
  return (int64_t)(range >> rule->shift) + 1;
}

static int64_t cells_for(int64_t n) {
  int64_t cells = 32;
  while (cells * CELL_FILL < n && cells < MOST_CELLS) cells *= 2;
  return cells;
}

/* Copy the values to `to`, cell after cell: c's lie from ends[c] to ends[c + 1], also for four empty cells behind the last. Returns 0
   where a value is NaN. `cells` has room for n of them. */
static int distribute(const double *values, int64_t n, const cell_rule *rule, int64_t n_cells, uint16_t *cells, double *to,
                      uint32_t *ends) {
  int64_t missing = 0;
  memset(ends, 0, (size_t)(n_cells + 5) * sizeof *ends);
  for (int64_t start = 0; start < n; start += SORT_BLOCK) {
    int64_t stop = n - start < SORT_BLOCK ? n : start + SORT_BLOCK;
    missing += place(values + start, stop - start, rule, cells + start);
    for (int64_t i = start; i < stop; ++i) ++ends[cells[i] + 2];
  }
  if (missing) return 0;
  for (int64_t c = 2; c < n_cells + 5; ++c) ends[c] += ends[c - 1];
  for (int64_t i = 0; i < n; ++i) to[ends[cells[i] + 1]++] = values[i];
  return 1;
}

static void sort_cells(double *from, const uint32_t *ends, int64_t n_cells, double *spare, double *out);

/* Sort `from`, which is spoilt, into `out`; `spare` is as large. */
static void sort_by_bits(double *from, int64_t n, double *spare, double *out) {
  uint32_t ends[MOST_CELLS + 5];
  cell_rule rule;
  int64_t low, high, n_cells;
  if (n <= 4 * CELL_ROOM) { sort_one_cell(from, n, out); return; }
  key_range(from, n, &low, &high);
  if (low == high) { memcpy(out, from, (size_t)n * sizeof *out); return; }
  n_cells = rule_by_bits(low, high, cells_for(n), &rule);
  distribute(from, n, &rule, n_cells, (uint16_t *)out, spare, ends);
  sort_cells(spare, ends, n_cells, from, out);
}

static void sort_cells(double *from, const uint32_t *ends, int64_t n_cells, double *spare, double *out) {
  for (int64_t c = 0; c < n_cells; c += 4) {
    const uint32_t *e = ends + c;
    sort_four_cells(from, e, out);
    for (int i = 0; i < 4; ++i) {
      double *behind = out + e[i + 1], kept[SORT_SLACK];
      if (e[i + 1] - e[i] <= CELL_ROOM) continue;
      memcpy(kept, behind, sizeof kept);
      sort_by_bits(from + e[i], e[i + 1] - e[i], spare, out + e[i]);
      memcpy(behind, kept, sizeof kept);
    }
  }
}

static int distinct_cells(const double *ascending, int64_t n, const cell_rule *rule) {
  uint16_t cells[SORT_LOOK];
  int distinct = 1;
  place(ascending, n, rule, cells);
  for (int64_t i = 1; i < n; ++i) distinct += cells[i] != cells[i - 1];
  return distinct;
}

/* Choose how to split first, from evenly spaced values: by a map around their median, whose cells their quartiles scale, or by bits
   where the map would tell fewer of them apart. NaN stands for 0. */
static void first_rule(const double *values, int64_t n, int64_t n_cells, grid_map *map, cell_rule *rule) {
  double taken[SORT_LOOK + SORT_SLACK], spare[SORT_LOOK + SORT_SLACK], look[SORT_LOOK + SORT_SLACK];
  int64_t step = n / SORT_LOOK + SORT_STEP, size = 0;
  cell_rule bits;
  for (int64_t i = 0; i < n; i += step) taken[size++] = values[i] == values[i] ? values[i] : 0;
  sort_by_bits(taken, size, spare, look);
  *map = (grid_map){look[size / 2], 1 / (look[3 * size / 4] - look[size / 4]), (float)n_cells / 2};
  *rule = (cell_rule){map, 0, 0};
  rule_by_bits(key_of(look[0]), key_of(look[size - 1]), n_cells, &bits);
  if (!(map->scale > 0 && map->scale <= 1e300 && fabs(map->centre) < INFINITY) ||
      3 * distinct_cells(look, size, rule) < 2 * distinct_cells(look, size, &bits)) rule->map = NULL;
}

/* Sort the values into `out`, which like `room` has room for n + SORT_SLACK of them. */
static int sort_by_cells(const double *values, int64_t n, double *room, double *out) {
  uint32_t ends[MOST_CELLS + 6], most = 0;
  grid_map map;
  cell_rule rule;
  int64_t low, high, n_cells = cells_for(n);
  first_rule(values, n, n_cells, &map, &rule);
  if (rule.map) n_cells += 1;                    /* infinity has a cell of its own */
  else {
    key_range(values, n, &low, &high);
    if (low < key_of(-INFINITY) || high > key_of(INFINITY)) return SORT_MET_NAN;
    n_cells = rule_by_bits(low, high, n_cells, &rule);
  }
  if (!distribute(values, n, &rule, n_cells, (uint16_t *)out, room, ends)) return SORT_MET_NAN;
  for (int64_t c = 0; c < n_cells; ++c) most = ends[c + 1] - ends[c] > most ? ends[c + 1] - ends[c] : most;
  double *spare = malloc((most + SORT_SLACK) * sizeof *spare);
  if (!spare) return SORT_NO_MEMORY;
  sort_cells(room, ends, n_cells, spare, out);
  free(spare);
  return SORT_DONE;
}

#else
static int can_sort_by_cells(void) { return 0; }
static int has_slow_compress(void) { return 0; }
static int sort_by_cells(const double *values, int64_t n, double *room, double *out) { return SORT_NO_MEMORY; }
#endif
#endif /* MLOPSFW_CORE_SORTING_H */

/* The grid of cells from which the exact Kolmogorov-Smirnov distance is found without a full sort. */
#ifndef MLOPSFW_CORE_DRIFT_GAPS_H
#define MLOPSFW_CORE_DRIFT_GAPS_H

#include <stdint.h>
#include "mlopsfw_core/_wide.h"
#define GRID_BLOCK 512

/* A map from values to cells: linear near `centre`, like 1 / t far from it, so that even Cauchy's tails fill their cells
   evenly. Each step rounds monotonically, and so the whole is monotone. */
typedef struct { double centre, scale; float half; } grid_map;

/* Cell numbers of n values; returns how many are NaN (they go to cell 0). Selected by arithmetic, so that GCC vectorises it. */
WIDE static int64_t grid_place(const double *restrict values, int64_t n, const grid_map *map, uint16_t *restrict cells) {
  double centre = map->centre, scale = map->scale;
  float half = map->half;
  int64_t missing = 0;
  for (int64_t i = 0; i < n; ++i) {
    float t = (float)((values[i] - centre) * scale), r = 1.0f / (1.0f + __builtin_fabsf(t));
    float from = t < 0 ? 0.0f : 2.0f, side = t < 0 ? 1.0f : -1.0f;   /* r below the centre, 2 - r above */
    float u = (from + side * r) * half;
    u = u >= 0 ? u : 0.0f;
    cells[i] = (uint16_t)(int32_t)u;
  }
  for (int64_t i = 0; i < n; ++i) missing += values[i] != values[i];
  return missing;
}

static int64_t grid_count(const double *values, int64_t n, const grid_map *map, uint16_t *cells, int32_t *counts) {
  int64_t missing = 0;
  for (int64_t start = 0; start < n; start += GRID_BLOCK) {
    int64_t size = n - start < GRID_BLOCK ? n - start : GRID_BLOCK;
    missing += grid_place(values + start, size, map, cells + start);
    for (int64_t i = start; i < start + size; ++i) ++counts[cells[i]];
  }
  return missing;
}

/* Copy the values of wanted cells; `out` has room for one more than there are. */
static void grid_fetch(const double *restrict values, int64_t n, const uint16_t *cells, const uint8_t *wanted, double *restrict out) {
  for (int64_t i = 0; i < n; ++i) { *out = values[i]; out += wanted[cells[i]]; }
}

#endif /* MLOPSFW_CORE_DRIFT_GAPS_H */

/* Counting values into bins. */
#ifndef MLOPSFW_CORE_DRIFT_BINNING_H
#define MLOPSFW_CORE_DRIFT_BINNING_H

#include <stdint.h>
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif
#define BIN_BLOCK 1024

/* above[k] += number of values >= edges[k]; NaN is at or above nothing. */
WIDE static void count_at_least(const double *values, int64_t n, const double *edges, int64_t n_edges, int64_t *above) {
  for (int64_t start = 0; start < n; start += BIN_BLOCK) {
    int64_t stop = start + BIN_BLOCK < n ? start + BIN_BLOCK : n;
    for (int64_t k = 0; k < n_edges; ++k) {
      double edge = edges[k];
      int64_t count = 0;
      for (int64_t i = start; i < stop; ++i) count += values[i] >= edge;
      above[k] += count;
    }
  }
}

#endif /* MLOPSFW_CORE_DRIFT_BINNING_H */

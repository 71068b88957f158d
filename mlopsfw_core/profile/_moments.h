/* Sums of a run of doubles, in explicit vectors. */
#ifndef MLOPSFW_CORE_PROFILE_MOMENTS_H
#define MLOPSFW_CORE_PROFILE_MOMENTS_H

#include <stdint.h>
#include "mlopsfw_core/_wide.h"
#define LANES 4

/* Sum, smallest and largest of n values; n >= 1. */
WIDE static void lane_sums(const double *v, int64_t n, double *sum, double *low, double *high) {
  double s[LANES] = {0}, a[LANES], b[LANES];
  int64_t i = 0;
  for (int l = 0; l < LANES; ++l) a[l] = b[l] = v[0];
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; ++l) {
      double x = v[i + l];
      s[l] += x; a[l] = x < a[l] ? x : a[l]; b[l] = x > b[l] ? x : b[l];
    }
  for (int l = 0; i < n; ++i, ++l) {
    s[l] += v[i]; a[l] = v[i] < a[l] ? v[i] : a[l]; b[l] = v[i] > b[l] ? v[i] : b[l];
  }
  *sum = 0; *low = a[0]; *high = b[0];
  for (int l = 0; l < LANES; ++l) {
    *sum += s[l]; *low = a[l] < *low ? a[l] : *low; *high = b[l] > *high ? b[l] : *high;
  }
}

/* Sums of the first to fourth powers of v - centre. */
WIDE static void lane_powers(const double *v, int64_t n, double centre, double *out) {
  double a[LANES] = {0}, b[LANES] = {0}, c[LANES] = {0}, e[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; ++l) {
      double d = v[i + l] - centre, q = d * d;
      a[l] += d; b[l] += q; c[l] += q * d; e[l] += q * q;
    }
  for (int l = 0; i < n; ++i, ++l) {
    double d = v[i] - centre, q = d * d;
    a[l] += d; b[l] += q; c[l] += q * d; e[l] += q * q;
  }
  out[0] = out[1] = out[2] = out[3] = 0;
  for (int l = 0; l < LANES; ++l) { out[0] += a[l]; out[1] += b[l]; out[2] += c[l]; out[3] += e[l]; }
}

/* Whether n values are all finite: x - x is 0 for those, NaN for the others. */
WIDE static int all_finite(const double *v, int64_t n) {
  double s[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) for (int l = 0; l < LANES; ++l) s[l] += v[i + l] - v[i + l];
  for (int l = 0; i < n; ++i, ++l) s[l] += v[i] - v[i];
  for (int l = 1; l < LANES; ++l) s[0] += s[l];
  return s[0] == 0;
}

#endif /* MLOPSFW_CORE_PROFILE_MOMENTS_H */

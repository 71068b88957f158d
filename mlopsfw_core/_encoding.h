/* Numbers of columns as rows of float32 features: scaled, flagged where missing, or their place in each of several intervals. */
#ifndef MLOPSFW_CORE_ENCODING_H
#define MLOPSFW_CORE_ENCODING_H

#include <stdint.h>
#include <string.h>
#include "mlopsfw_core/_wide.h"
#define TILE 64 /* rows of all columns that are made together: they stay in the first caches, and 64 bits say which are null */

enum { SCALE, MISSING, RAMP };

/* One operation, as NumPy lays out `STEP`. A ramp has `count` intervals, from `first` on. */
typedef struct { int64_t kind, source, at, count, first; double mean, factor, limit; } Step;

/* A column. `valid` is Arrow's bitmap, or NULL where no value is null. Value i stands at i + offset of both. */
typedef struct { const double *values; const uint8_t *valid; int64_t offset; } Numbers;

static const uint64_t BIT[8] = {1, 2, 4, 8, 16, 32, 64, 128};

/* Return the bits of n rows, at most 64, from row `at` of a bitmap on. */
static inline uint64_t bits_from(const uint8_t *bitmap, int64_t at, int64_t n) {
  const int shift = (int)(at & 7);
  const int64_t bytes = (shift + n + 7) >> 3;
  uint64_t bits = 0;
  memcpy(&bits, bitmap + (at >> 3), bytes < 8 ? bytes : 8);
  bits >>= shift;
  return bytes > 8 ? bits | (uint64_t)bitmap[(at >> 3) + 8] << (64 - shift) : bits;
}

/* Copy up to TILE values, with NaN for null: a float whose upper bits are all set is one. */
static inline void load_tile(const Numbers *from, int64_t start, int64_t n, double *x) {
  uint64_t bits, word[TILE];
  memcpy(x, from->values + from->offset + start, n * sizeof(double));
  if (!from->valid) return;
  bits = bits_from(from->valid, from->offset + start, n);
  memcpy(word, x, sizeof(word));
  for (uint64_t *w = word; w < word + TILE; w += 8, bits >>= 8)
    for (int i = 0; i < 8; ++i) w[i] |= (bits & BIT[i]) - BIT[i];
  memcpy(x, word, sizeof(word));
}

static inline void scale_tile(const Step *step, const double *x, float *made) {
  const double mean = step->mean, factor = step->factor, high = step->limit, low = -high;
  for (int i = 0; i < TILE; ++i) {
    double y = (x[i] - mean) * factor, present = x[i] == x[i] ? 1.0 : 0.0;
    y = y < high ? y : high; /* NaN, too, which then becomes 0, not -0 */
    y = y > low ? y : low;
    made[i] = (float)(y * present);
  }
}

static inline void flag_tile(const double *x, float *made) {
  for (int i = 0; i < TILE; ++i) made[i] = x[i] == x[i] ? 0.0f : 1.0f;
}

static inline void ramp_row(double x, int64_t count, const double *low, const double *factor, float *out) {
  for (int64_t k = 0; k < count; ++k) {
    double y = (x - low[k]) * factor[k];
    y = y > 0.0 ? y : 0.0;
    y = y < 1.0 ? y : 1.0;
    out[k] = (float)(x == x ? y : 0.0);
  }
}

/* Store columns that lie beside one another, four at once where there are four: single floats take a store each. */
static inline void store_columns(float (*made)[TILE], int64_t columns, int64_t n, float *out, int64_t stride) {
  float row[TILE][4];
  if (columns < 4) {
    for (int64_t k = 0; k < columns; ++k) for (int64_t i = 0; i < n; ++i) out[i * stride + k] = made[k][i];
    return;
  }
  for (int i = 0; i < TILE; ++i) {
    row[i][0] = made[0][i]; row[i][1] = made[1][i]; row[i][2] = made[2][i]; row[i][3] = made[3][i];
  }
  for (int64_t i = 0; i < n; ++i) memcpy(out + i * stride, row[i], sizeof(row[i]));
}

/* Fill `rows` rows, which lie `stride` floats apart. */
WIDE static void encode_rows(
    const Step *steps, int64_t n_steps, const double *low, const double *factor, const Numbers *columns,
    int64_t rows, float *out, int64_t stride) {
  double x[TILE] = {0};
  float made[4][TILE];
  for (int64_t start = 0; start < rows; start += TILE, out += TILE * stride) {
    int64_t n = rows - start < TILE ? rows - start : TILE, loaded = -1, first = 0, ready = 0;
    for (const Step *step = steps; step < steps + n_steps; ++step) {
      if (ready == 4 || (ready && step->at != first + ready)) {
        store_columns(made, ready, n, out + first, stride);
        ready = 0;
      }
      if (step->source != loaded) load_tile(columns + (loaded = step->source), start, n, x);
      if (step->kind == RAMP) {
        for (int64_t i = 0; i < n; ++i)
          ramp_row(x[i], step->count, low + step->first, factor + step->first, out + step->at + i * stride);
        continue;
      }
      if (!ready) first = step->at;
      if (step->kind == SCALE) scale_tile(step, x, made[ready++]);
      else flag_tile(x, made[ready++]);
    }
    store_columns(made, ready, n, out + first, stride);
  }
}

/* Copy the finite values, in order, and return how many there are. `out` has room for all rows. */
WIDE static int64_t copy_finite(const Numbers *from, int64_t rows, double *out) {
  double x[TILE] = {0};
  int64_t kept = 0, keep[TILE];
  for (int64_t start = 0; start < rows; start += TILE) {
    int64_t n = rows - start < TILE ? rows - start : TILE;
    load_tile(from, start, n, x);
    for (int i = 0; i < TILE; ++i) keep[i] = x[i] - x[i] == 0.0;
    for (int64_t i = 0; i < n; ++i) { /* without a branch, which nulls in no order would mislead */
      out[kept] = x[i];
      kept += keep[i];
    }
  }
  return kept;
}

/* Sum v - centre, or its square, by pairs as NumPy's sum does, so that the sum of a column has NumPy's bits. */
WIDE static double pairwise_sum(const double *v, int64_t n, double centre, int square) {
  double lane[8] = {0}, total = 0;
  int64_t i = 0;
  if (n > 128) {
    int64_t half = n / 2 - n / 2 % 8;
    return pairwise_sum(v, half, centre, square) + pairwise_sum(v + half, n - half, centre, square);
  }
  if (square) {
    for (; i + 8 <= n; i += 8) for (int k = 0; k < 8; ++k) lane[k] += (v[i + k] - centre) * (v[i + k] - centre);
  } else {
    for (; i + 8 <= n; i += 8) for (int k = 0; k < 8; ++k) lane[k] += v[i + k];
  }
  total = ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
  for (; i < n; ++i) total += square ? (v[i] - centre) * (v[i] - centre) : v[i];
  return total;
}

#endif /* MLOPSFW_CORE_ENCODING_H */

/* One walk over two sorted samples that feeds every rank statistic. */
#ifndef MLOPSFW_CORE_DRIFT_RANKS_H
#define MLOPSFW_CORE_DRIFT_RANKS_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include "mlopsfw_core/_wide.h"
#define LANES 4
#define STEPS 128              /* of a block; what is summed in it stays whole in a double */
#define MOST_LANED 100000000   /* pooled values: up to here every gap is whole in a double */

typedef struct { const double *x, *y; int64_t m, n; } pair;     /* two sorted samples */
typedef struct { int64_t i, j; double value; } spot;            /* values taken from each, and the last of them */
typedef struct { int64_t gap; spot from; } reach;               /* the largest gap, and a spot shortly before it */

typedef struct {
  reach above, below;            /* of i*n - j*m and of j*m - i*n */
  double area, square;           /* integrals of |gap| and gap^2, gap = i*n - j*m */
  double anderson;               /* Scholz & Stephens' sum, midrank version, without its front factor */
  __int128 x_spread, y_spread;   /* sum over a sample of (2 midrank - 2 own rank)^2 */
  __int128 x_ranks;              /* sum over the first sample of 2 midrank */
  __int128 tie_cubes;            /* sum over tie groups of t^3 - t */
} walk_sums;

/* Keep the larger gap; of equal ones that which comes first. */
static inline void note(reach *best, int64_t gap, const spot *from) {
  if (gap < best->gap || gap <= 0) return;
  if (gap > best->gap || from->i + from->j < best->from.i + best->from.j) *best = (reach){gap, *from};
}

/* ---- group by group -------------------------------------------------------------------------------------------- */

/* Sum over k = 1..a of (c - 2k)^2, for a ties of own ranks before+1.. and doubled midrank c + 2 before. */
static inline __int128 spread(int64_t a, __int128 c) {
  return a * c * c - 2 * c * a * (a + 1) + (__int128)2 * a * (a + 1) * (2 * a + 1) / 3;
}

/* Take one group of ties, `a` of x and `b` of y, after i0 and j0 values. */
static inline void take_group(walk_sums *s, int64_t i0, int64_t j0, int64_t a, int64_t b, int64_t m, int64_t total) {
  int64_t t = a + b;
  __int128 doubled = 2 * (__int128)(i0 + j0) + t + 1;  /* twice the midrank */
  if (a) { s->x_spread += spread(a, doubled - 2 * i0); s->x_ranks += doubled * a; }
  if (b) s->y_spread += spread(b, doubled - 2 * j0);
  if (t > 1) s->tie_cubes += (__int128)t * t * t - t;
  /* B is the pooled midrank less a half, M the first sample's: twice B and twice N M - B m are whole. */
  double twice_b = (double)(2 * (i0 + j0) + t), lead = (double)(total * (2 * i0 + a) - (2 * (i0 + j0) + t) * m);
  double spare = twice_b * (2.0 * total - twice_b) - (double)total * t;
  if (spare > 0) s->anderson += t * lead * lead / spare;
}

/* Walk whole groups of ties until `places` values are taken in all; the last group may reach beyond. */
static void walk_groups(const pair *p, spot *at, int64_t places, walk_sums *out) {
  int64_t i = at->i, j = at->j, gap = i * p->n - j * p->m;
  double value = at->value;
  walk_sums s = {0};    /* partial sums keep rounding small */
  while (i + j < places) {
    double head = j >= p->n || (i < p->m && p->x[i] <= p->y[j]) ? p->x[i] : p->y[j], high = (double)gap;
    spot before = {i, j, value};
    if (gap && head > value) {
      s.area += (gap < 0 ? -high : high) * (head - value);
      s.square += high * high * (head - value);
    }
    value = head;
    while (i < p->m && p->x[i] == value) ++i;
    while (j < p->n && p->y[j] == value) ++j;
    gap += (i - before.i) * p->n - (j - before.j) * p->m;
    note(&out->above, gap, &before);
    note(&out->below, -gap, &before);
    take_group(&s, before.i, before.j, i - before.i, j - before.j, p->m, p->m + p->n);
  }
  *at = (spot){i, j, value};
  out->area += s.area; out->square += s.square; out->anderson += s.anderson;
  out->x_spread += s.x_spread; out->y_spread += s.y_spread; out->x_ranks += s.x_ranks; out->tie_cubes += s.tie_cubes;
}

/* ---- four lanes abreast, without ties -------------------------------------------------------------------------- */

typedef double lanes __attribute__((vector_size(8 * LANES)));
typedef int64_t whole_lanes __attribute__((vector_size(8 * LANES)));
typedef struct { lanes head[STEPS], from_x[STEPS]; } merged;    /* of each step: the value, and 1 where it is of x, else 0 */
typedef struct {
  lanes area, square, anderson, above, below;
  lanes x_first, x_second, second;   /* with c the other sample's values since the block began: sum over x of c and c^2, over all of c^2 */
  whole_lanes tied;
} lane_sums;

static void merge_block(const pair *p, spot *at, merged *out) {
  const double *x[LANES], *y[LANES];
  for (int l = 0; l < LANES; ++l) { x[l] = p->x + at[l].i; y[l] = p->y + at[l].j; }
  for (int step = 0; step < STEPS; ++step)
    for (int l = 0; l < LANES; ++l) {
      double a = *x[l], b = *y[l];
      int64_t from_x = a < b;
      ((double *)&out->head[step])[l] = a < b ? a : b;
      ((double *)&out->from_x[step])[l] = (double)from_x;
      x[l] += from_x;
      y[l] += 1 - from_x;
    }
  for (int l = 0; l < LANES; ++l) { at[l].i = x[l] - p->x; at[l].j = y[l] - p->y; }
}

#define LARGER(a, b) (lanes)(((whole_lanes)(a) & ((a) > (b))) | ((whole_lanes)(b) & ~((a) > (b))))

/* The sums of one block that began at `at`; on return at[].value is the block's last. */
WIDE static void sum_block(const merged *block, double m, double n, spot *at, lane_sums *out) {
  const whole_lanes no_sign = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
  const double total = m + n;
  lanes gap, twice_b, value, taken = {0};
  lane_sums s = {0};
  for (int l = 0; l < LANES; ++l) {
    gap[l] = (double)at[l].i * n - (double)at[l].j * m;
    twice_b[l] = (double)(2 * (at[l].i + at[l].j) + 1);
    value[l] = at[l].value;
  }
  for (int step = 0; step < STEPS; ++step) {
    lanes head = block->head[step], from_x = block->from_x[step];
    lanes part = gap * (head - value), jump = from_x * total - m, lead = gap + gap + jump;
    lanes other = taken + from_x * (step - 2 * taken), squared = other * other;
    s.tied |= head == value;
    s.area += (lanes)((whole_lanes)part & no_sign);
    s.square += gap * part;
    s.anderson += lead * lead / (twice_b * (2 * total - twice_b) - total);
    s.x_first += from_x * other;
    s.x_second += from_x * squared;
    s.second += squared;
    gap += jump;
    s.above = LARGER(gap, s.above);
    s.below = LARGER(-gap, s.below);
    twice_b += 2;
    taken += from_x;
    value = head;
  }
  for (int l = 0; l < LANES; ++l) at[l].value = value[l];
  *out = s;
}

/* Add one lane's sums of a block from a spot on, of which `a` values were of x. */
static void add_lane(walk_sums *s, const lane_sums *b, int l, const spot *from, int64_t a) {
  int64_t i0 = from->i, j0 = from->j, rest = STEPS - a, first = (int64_t)b->x_first[l], second = (int64_t)b->x_second[l];
  int64_t y_first = a * rest - first, y_second = (int64_t)b->second[l] - second;  /* each pair of x and y counts once */
  s->area += b->area[l]; s->square += b->square[l]; s->anderson += b->anderson[l];
  s->x_spread += 4 * ((__int128)a * j0 * j0 + 2 * j0 * first + second);
  s->y_spread += 4 * ((__int128)rest * i0 * i0 + 2 * i0 * y_first + y_second);
  s->x_ranks += 2 * (a * i0 + a * (a + 1) / 2 + a * j0 + first);
  note(&s->above, (int64_t)b->above[l], from);
  note(&s->below, (int64_t)b->below[l], from);
}

/* Take one block in every lane, or change nothing and return 0 where a lane meets a tie. */
static int take_block(const pair *p, spot *at, walk_sums *s) {
  merged block;
  lane_sums sums;
  spot ends[LANES];
  int64_t tied = 0;
  memcpy(ends, at, sizeof ends);
  merge_block(p, ends, &block);
  sum_block(&block, (double)p->m, (double)p->n, at, &sums);
  for (int l = 0; l < LANES; ++l) {
    tied |= sums.tied[l] | (p->x[ends[l].i] == at[l].value) | (p->y[ends[l].j] == at[l].value);
    double last = at[l].value;
    at[l].value = ends[l].value;
    ends[l].value = last;
  }
  if (tied) return 0;
  for (int l = 0; l < LANES; ++l) add_lane(s, &sums, l, &at[l], ends[l].i - at[l].i);
  memcpy(at, ends, sizeof ends);
  return 1;
}

/* ---- the whole walk -------------------------------------------------------------------------------------------- */

/* How many of the sorted values are below v. */
static int64_t count_below(const double *values, int64_t n, double v) {
  int64_t low = 0;
  while (n > 0) {
    int64_t half = n / 2;
    if (values[low + half] < v) { low += half + 1; n -= half + 1; } else n = half;
  }
  return low;
}

/* The last spot with at most `places` values taken that parts no group of ties; not before `from`. */
static spot spot_at(const pair *p, int64_t places, spot from) {
  int64_t low = places > p->n ? places - p->n : 0, high = places < p->m ? places : p->m;
  while (low < high) {
    int64_t i = (low + high) / 2;
    if (p->x[i] < p->y[places - i - 1]) low = i + 1; else high = i;
  }
  double next = low < p->m && (places - low >= p->n || p->x[low] < p->y[places - low]) ? p->x[low] : p->y[places - low];
  spot s = {count_below(p->x, p->m, next), count_below(p->y, p->n, next), 0};
  if (s.i + s.j <= from.i + from.j) return from;
  s.value = s.j == 0 || (s.i > 0 && p->x[s.i - 1] > p->y[s.j - 1]) ? p->x[s.i - 1] : p->y[s.j - 1];
  return s;
}

/* Walk from `from` to `stop` values, none infinite and each below a value of x and one of y, so that no lane runs out. */
static spot walk_lanes(const pair *p, spot from, int64_t stop, walk_sums *s) {
  spot at[LANES];
  int64_t ends[LANES], start = from.i + from.j, patience = 1;
  for (int l = 0; l < LANES; ++l) at[l] = l ? spot_at(p, start + (stop - start) * l / LANES, at[l - 1]) : from;
  for (int l = 0; l < LANES; ++l) ends[l] = l + 1 < LANES ? at[l + 1].i + at[l + 1].j : stop;
  for (;;) {
    int64_t room = INT64_MAX;
    for (int l = 0; l < LANES; ++l) {
      int64_t left = ends[l] - at[l].i - at[l].j;
      room = left < room ? left : room;
    }
    if (room < STEPS) break;
    if (take_block(p, at, s)) { patience = 1; continue; }
    /* The more often ties are met, the longer they are expected. */
    for (int l = 0; l < LANES; ++l) {
      int64_t places = at[l].i + at[l].j + patience * STEPS;
      walk_groups(p, &at[l], places < ends[l] ? places : ends[l], s);
    }
    patience = patience < 64 ? 2 * patience : 64;
  }
  for (int l = 0; l < LANES; ++l) walk_groups(p, &at[l], ends[l], s);
  return at[LANES - 1];
}

/* The first value at which a gap is reached; NaN for the gap 0 that nothing reaches. */
static double reached_at(const pair *p, const reach *best, int sign) {
  walk_sums unused = {0};
  spot at = best->from;
  if (!best->gap) return NAN;
  do walk_groups(p, &at, at.i + at.j + 1, &unused); while (sign * (at.i * p->n - at.j * p->m) != best->gap);
  return at.value;
}

static void walk_ranks(const double *x, int64_t m, const double *y, int64_t n, walk_sums *out, double *above_at, double *below_at) {
  const pair p = {x, y, m, n};
  double last = x[m - 1] < y[n - 1] ? x[m - 1] : y[n - 1];
  int64_t stop = count_below(x, m, last) + count_below(y, n, last);
  spot at = {0, 0, 0};
  memset(out, 0, sizeof *out);
  walk_groups(&p, &at, 1, out);
  if (at.value - at.value != 0) walk_groups(&p, &at, at.i + at.j + (at.i + at.j < m + n), out);   /* past -inf */
  if (m + n <= MOST_LANED && at.i + at.j < stop) at = walk_lanes(&p, at, stop, out);
  while (at.i + at.j < m + n) walk_groups(&p, &at, at.i + at.j + 8192 < m + n ? at.i + at.j + 8192 : m + n, out);
  *above_at = reached_at(&p, &out->above, 1);
  *below_at = reached_at(&p, &out->below, -1);
}

enum { X_SPREAD, Y_SPREAD, X_RANKS, TIE_CUBES };
static __int128 whole_of(const walk_sums *s, int which) {
  return which == X_SPREAD ? s->x_spread : which == Y_SPREAD ? s->y_spread : which == X_RANKS ? s->x_ranks : s->tie_cubes;
}
static int64_t high_word(const walk_sums *s, int which) { return (int64_t)(whole_of(s, which) >> 64); }
static uint64_t low_word(const walk_sums *s, int which) { return (uint64_t)whole_of(s, which); }

#endif /* MLOPSFW_CORE_DRIFT_RANKS_H */

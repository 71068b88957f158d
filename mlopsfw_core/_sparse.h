/* One row's tokens put in order of their slots and added up. */
#ifndef MLOPSFW_CORE_SPARSE_H
#define MLOPSFW_CORE_SPARSE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "mlopsfw_core/_wide.h"
#define NARROW 16
typedef struct { int32_t slot; int32_t order; double value; } token;

static int by_slot(const void *left, const void *right) {
  const token *a = left, *b = right;
  return a->slot != b->slot ? (a->slot > b->slot) - (a->slot < b->slot) : (a->order > b->order) - (a->order < b->order);
}

/* Sort tokens by slot, equal ones in the order given. Any width. */
static void place_any(const int32_t *slots, const double *values, int64_t used, int32_t *indices, double *data, token *room) {
  for (int64_t i = 0; i < used; ++i) { room[i].slot = slots[i]; room[i].order = (int32_t)i; room[i].value = values[i]; }
  qsort(room, used, sizeof(token), by_slot);
  for (int64_t i = 0; i < used; ++i) { indices[i] = room[i].slot; data[i] = room[i].value; }
}

/* The same for up to NARROW tokens, without branches: each goes to the number of smaller slots. Slots are padded with
   INT32_MAX. Equal slots would collide, which the sum of the ranks shows: then, returns 0 with nothing written. */
WIDE static int place_narrow(const int32_t *slots, const double *values, int64_t used, int32_t *indices, double *data) {
  int32_t rank[NARROW] = {0}, total = 0;
  for (int64_t j = 0; j < used; ++j)
    for (int i = 0; i < NARROW; ++i) rank[i] += slots[j] < slots[i];
  for (int64_t i = 0; i < used; ++i) total += rank[i];
  if (total != used * (used - 1) / 2) return 0;
  for (int64_t i = 0; i < used; ++i) { indices[rank[i]] = slots[i]; data[rank[i]] = values[i]; }
  return 1;
}

#endif /* MLOPSFW_CORE_SPARSE_H */

/* A hash table of texts. A text of up to 16 bytes is its own key, so most are compared without a look at their place in the column. */
#ifndef MLOPSFW_CORE_TABLE_H
#define MLOPSFW_CORE_TABLE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#define WHOLE 16  /* bytes of a text that a key holds */
#define INLINED 12 /* bytes of a text that an Arrow view holds */

/* `word` is the text, padded with zeros; of a longer text its hash, and its address. */
typedef struct { int64_t size; uint64_t word[2]; } Key;

/* A text of the table: the first row that has it, and how many have. A size of -1 marks a free slot. */
typedef struct { Key key; int64_t first, count; } Entry;

/* `mask` is one less than the slots. Zeroed, it is an empty table without room. */
typedef struct { Entry *entries; uint64_t mask, used; } Table;

static inline uint64_t load_word(const char *at, int bytes) {
  uint64_t word = 0;
  memcpy(&word, at, bytes);
  return word;
}

/* Return up to 8 bytes, padded with zeros, without a copy of as many bytes as only the run time knows. */
static inline uint64_t short_word(const char *at, int64_t size) {
  if (size >= 8) return load_word(at, 8);
  if (size >= 4) return load_word(at, 4) | load_word(at + size - 4, 4) << 8 * (size - 4);
  if (size == 0) return 0;
  return load_word(at, 1) | load_word(at + size / 2, 1) << 8 * (size / 2) | load_word(at + size - 1, 1) << 8 * (size - 1);
}

static inline uint64_t fold(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0xBF58476D1CE4E5B9u;
  return hash ^ hash >> 29;
}

/* Hash a long text eight bytes at a time. Not stable across versions; never stored. */
static inline uint64_t long_hash(const char *start, int64_t size) {
  uint64_t hash = 0;
  for (int64_t i = 0; i + 8 <= size; i += 8) hash = fold(hash, load_word(start + i, 8));
  return fold(hash, load_word(start + size - 8, 8));
}

/* Make the key of a text. Of one that is inlined in an Arrow view 12 bytes can be read, whatever its size. */
static inline Key key_of(const char *start, int64_t size, int inlined) {
  static const uint64_t low[INLINED + 1] = {0, 0xFF, 0xFFFF, 0xFFFFFF, ~0u, ~0ull >> 24, ~0ull >> 16, ~0ull >> 8, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull};
  static const uint64_t high[INLINED + 1] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFFFF, 0xFFFFFF, ~0u};
  Key key = {size, {0, 0}};
  if (inlined && size <= INLINED) {
    key.word[0] = load_word(start, 8) & low[size];
    key.word[1] = load_word(start + 8, 4) & high[size];
  } else if (size <= WHOLE) {
    key.word[0] = short_word(start, size);
    key.word[1] = size > 8 ? short_word(start + 8, size - 8) : 0;
  } else {
    key.word[0] = long_hash(start, size);
    key.word[1] = (uint64_t)(uintptr_t)start;
  }
  return key;
}

/* Return the bytes of a key's text, which live as long as the key and the column do. */
static inline const char *text_of_key(const Key *key) {
  return key->size <= WHOLE ? (const char *)key->word : (const char *)(uintptr_t)key->word[1];
}

static inline int same_text(const Key *a, const Key *b) {
  if (a->size != b->size || a->word[0] != b->word[0]) return 0;
  return a->word[1] == b->word[1] || (a->size > WHOLE && memcmp(text_of_key(a), text_of_key(b), a->size) == 0);
}

/* Find the slot of a text by linear probing. A table with room always keeps free slots. */
static inline Entry *slot_of_key(const Table *table, const Key *key) {
  uint64_t hash = fold(fold((uint64_t)key->size, key->word[0]), key->size <= WHOLE ? key->word[1] : 0);
  for (hash ^= hash >> 32;; ++hash) {
    Entry *entry = table->entries + (hash & table->mask);
    if (entry->key.size < 0 || same_text(&entry->key, key)) return entry;
  }
}

/* Give a table room for another text. Returns -1 where memory ends. Of a small table few slots are taken, so that few texts need a second
   look; a large one would not fit into the caches anyway, and saves memory. */
static inline int make_room(Table *table) {
  const uint64_t spare = table->mask < 1 << 16 ? 4 : 2;
  Table grown = {NULL, table->entries ? spare * (table->mask + 1) - 1 : 1023, table->used};
  if (table->entries && spare * table->used < table->mask) return 0;
  grown.entries = (Entry *)malloc((grown.mask + 1) * sizeof(Entry));
  if (!grown.entries) return -1;
  for (uint64_t i = 0; i <= grown.mask; ++i) grown.entries[i].key.size = -1;
  for (uint64_t i = 0; table->entries && i <= table->mask; ++i)
    if (table->entries[i].key.size >= 0) *slot_of_key(&grown, &table->entries[i].key) = table->entries[i];
  free(table->entries);
  *table = grown;
  return 0;
}

/* Return the entry of a text, which is made where there is none, with a count of 0; NULL where memory ends. */
static inline Entry *entry_of(Table *table, const Key *key, int64_t row) {
  Entry *entry;
  if (make_room(table)) return NULL;
  entry = slot_of_key(table, key);
  if (entry->key.size < 0) {
    *entry = (Entry){*key, row, 0};
    ++table->used;
  }
  return entry;
}

#endif /* MLOPSFW_CORE_TABLE_H */

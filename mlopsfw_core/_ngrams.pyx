"""The n-grams of texts, hashed: of words, of characters, and of characters within words, as scikit-learn cuts them.

A text is first put into a plain form: lower case where wanted; for "word" its words (two or more letters, digits or
underscores) with one space between; for "char" with each run of two or more white spaces as one space; for "char_wb" its
parts between white space with one space before, between and after. Every n-gram is then a stretch of that form between two
marks. ASCII texts are put into it here, others in Python, whose letters and spaces are what scikit-learn goes by.
"""

from __future__ import annotations

import re

import numpy as np

cimport numpy as cnp
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc

from ._murmur cimport murmur3
from ._text cimport TextSegment, text_segments
from ._tokens cimport Tokens
from ._types cimport text_at

cnp.import_array()

WORD, CHAR, CHAR_WB = 0, 1, 2

_WORDS = re.compile(r"\b\w\w+\b")  # scikit-learn's default token_pattern
_SPACES = re.compile(r"\s\s+")

cdef uint8_t[256] _LETTER, _SPACE  # of ASCII: what \w and str.isspace say
for _code in range(128):
    _LETTER[_code] = chr(_code).isalnum() or chr(_code) == "_"
    _SPACE[_code] = chr(_code).isspace()


cdef class _Page:
    """One text in plain form, and the marks between which its n-grams lie."""

    cdef char* text
    cdef int64_t* begins      # of words; of characters
    cdef int64_t* ends        # of words; of a character-within-words text, of the parts with both their spaces
    cdef int64_t size, marks, parts, room

    def __dealloc__(self):
        free(self.text)
        free(self.begins)
        free(self.ends)

    cdef int reserve(self, int64_t size) except -1:
        """Make room for a text of `size` bytes and as many marks."""
        cdef void* text
        cdef void* begins
        cdef void* ends
        if size <= self.room:
            return 0
        text = realloc(self.text, size)
        if text != NULL:
            self.text = <char*> text
        begins = realloc(self.begins, size * sizeof(int64_t))
        if begins != NULL:
            self.begins = <int64_t*> begins
        ends = realloc(self.ends, size * sizeof(int64_t))
        if ends != NULL:
            self.ends = <int64_t*> ends
        if text == NULL or begins == NULL or ends == NULL:
            raise MemoryError("no room for a text")
        self.room = size
        return 0

    cdef void take(self, const char* start, int64_t size) noexcept nogil:
        cdef int64_t i
        for i in range(size):
            self.text[i] = start[i]
        self.size = size

    cdef void words(self, const char* start, int64_t size, bint lower) noexcept nogil:
        """Put the words of an ASCII text into the page."""
        cdef int64_t i = 0, first, used = 0
        while i < size:
            if not _LETTER[<uint8_t> start[i]]:
                i += 1
                continue
            first = i
            while i < size and _LETTER[<uint8_t> start[i]]:
                i += 1
            if i - first < 2:
                continue
            if used:
                self.text[used] = c" "
                used += 1
            while first < i:
                self.text[used] = _lowered(start[first], lower)
                used, first = used + 1, first + 1
        self.size = used

    cdef void characters(self, const char* start, int64_t size, bint lower) noexcept nogil:
        """Put an ASCII text into the page, each run of white space of two or more as one space."""
        cdef int64_t i = 0, first, used = 0
        while i < size:
            first = i
            while i < size and _SPACE[<uint8_t> start[i]]:
                i += 1
            if i - first > 1:
                self.text[used] = c" "
                used += 1
            elif i - first == 1:
                self.text[used] = start[first]
                used += 1
            if i < size:
                self.text[used] = _lowered(start[i], lower)
                used, i = used + 1, i + 1
        self.size = used

    cdef void bounded(self, const char* start, int64_t size, bint lower) noexcept nogil:
        """Put an ASCII text's parts between white space into the page, a space before, between and after."""
        cdef int64_t i, used = 1
        self.text[0] = c" "
        for i in range(size):
            if not _SPACE[<uint8_t> start[i]]:
                self.text[used] = _lowered(start[i], lower)
                used += 1
            elif self.text[used - 1] != c" ":
                self.text[used] = c" "
                used += 1
        if self.text[used - 1] != c" ":
            self.text[used] = c" "
            used += 1
        self.size = used if used > 1 else 0

    cdef void mark_words(self) noexcept nogil:
        cdef int64_t i
        self.marks = 0
        if self.size == 0:
            return
        self.begins[0] = 0
        for i in range(self.size):
            if self.text[i] == c" ":
                self.ends[self.marks] = i
                self.marks += 1
                self.begins[self.marks] = i + 1
        self.ends[self.marks] = self.size
        self.marks += 1

    cdef void mark_characters(self) noexcept nogil:
        """Mark where each character begins, and one past the last where the text ends."""
        cdef int64_t i
        self.marks = 0
        for i in range(self.size):
            if (<uint8_t> self.text[i] & 0xC0) != 0x80:
                self.begins[self.marks] = i
                self.marks += 1
        self.begins[self.marks] = self.size

    cdef void mark_parts(self) noexcept nogil:
        """Mark, after the characters, which of them are the spaces around parts."""
        cdef int64_t i
        self.parts = 0
        for i in range(self.marks):
            if self.text[self.begins[i]] == c" ":
                self.ends[self.parts] = i
                self.parts += 1


cdef inline char _lowered(char c, bint lower) noexcept nogil:
    return c + 32 if lower and c"A" <= c <= c"Z" else c


cdef inline bint _plain(const char* start, int64_t size) noexcept nogil:
    """Tell whether every byte is ASCII."""
    cdef int64_t i
    cdef uint8_t any = 0
    for i in range(size):
        any |= <uint8_t> start[i]
    return any < 128


cdef struct Cut:
    int least, most
    uint32_t n_features
    bint alternate_sign


cdef inline void _put(_Page page, Tokens tokens, int64_t begin, int64_t end, Cut cut) noexcept nogil:
    tokens.put(murmur3(page.text + begin, end - begin, 0), 1.0, cut.n_features, cut.alternate_sign)


cdef int64_t _cut_words(_Page page, Tokens tokens, Cut cut) noexcept nogil:
    cdef int64_t i, n
    for n in range(cut.least, min(cut.most, page.marks) + 1):
        for i in range(page.marks - n + 1):
            _put(page, tokens, page.begins[i], page.ends[i + n - 1], cut)
    return 0


cdef void _cut_characters(_Page page, Tokens tokens, Cut cut) noexcept nogil:
    cdef int64_t i, n
    for n in range(cut.least, min(cut.most, page.marks) + 1):
        for i in range(page.marks - n + 1):
            _put(page, tokens, page.begins[i], page.begins[i + n], cut)


cdef void _cut_parts(_Page page, Tokens tokens, Cut cut) noexcept nogil:
    """Cut each part, its two spaces with it; one that is shorter than n is its own n-gram, once."""
    cdef int64_t part, i, n, first, last
    for part in range(page.parts - 1):
        first, last = page.ends[part], page.ends[part + 1] + 1
        for n in range(cut.least, cut.most + 1):
            if n >= last - first:
                _put(page, tokens, page.begins[first], page.begins[last], cut)
                break
            for i in range(first, last - n + 1):
                _put(page, tokens, page.begins[i], page.begins[i + n], cut)


def _plain_form(str text, int kind, bint lower):
    """Put any text into plain form, by Python's own letters and spaces."""
    text = text.lower() if lower else text
    if kind == WORD:
        return " ".join(_WORDS.findall(text))
    spaced = _SPACES.sub(" ", text)
    if kind == CHAR:
        return spaced
    parts = spaced.split()
    return f" {' '.join(parts)} " if parts else ""


cdef int _turn(_Page page, const char* start, int64_t size, int kind, bint lower) except -1:
    """Fill the page with a text and mark it."""
    cdef Py_ssize_t length = 0
    cdef const char* form
    page.reserve(size + 3)
    if _plain(start, size):
        if kind == WORD:
            page.words(start, size, lower)
        elif kind == CHAR:
            page.characters(start, size, lower)
        else:
            page.bounded(start, size, lower)
    else:
        text = _plain_form(start[:size].decode("utf-8"), kind, lower)
        form = PyUnicode_AsUTF8AndSize(text, &length)
        page.reserve(length + 3)
        page.take(form, length)
    if kind == WORD:
        page.mark_words()
    else:
        page.mark_characters()
        page.mark_parts()
    return 0


cdef int _add(_Page page, Tokens tokens, int kind, Cut cut) except -1:
    # No n gives more n-grams than there are marks; a short part gives one for one of its n.
    tokens.reserve((cut.most - cut.least + 1) * (page.marks + 1))
    if kind == WORD:
        _cut_words(page, tokens, cut)
    elif kind == CHAR:
        _cut_characters(page, tokens, cut)
    else:
        _cut_parts(page, tokens, cut)
    return 0


def hash_ngrams(texts, int kind, int least, int most, bint lower, int64_t n_features, bint alternate_sign):
    """Hash the n-grams of texts.

    Args:
        texts: a column of texts; a missing one has no n-grams.
        kind: WORD, CHAR or CHAR_WB.
        least: the shortest n-gram, at least 1.
        most: the longest, at least `least`.
        lower: whether to put the texts into lower case.
        n_features: columns of the matrix, from 1 to 2^31 - 1.
        alternate_sign: whether the hash's sign is given to the counts.

    Returns:
        SparseRows of float64, a row for each text.
    """
    cdef Tokens tokens = Tokens()
    cdef _Page page = _Page()
    cdef TextSegment segment
    cdef const char* start = NULL
    cdef int64_t i, row, size
    cdef Cut cut = Cut(least, most, <uint32_t> n_features, alternate_sign)
    ends = [0]
    for segment in text_segments(texts):
        rows = range(segment.view.length) if segment.codes is None else segment.codes.tolist()
        for row in rows:
            size = -1 if row < 0 else text_at(&segment.view, row, &start)
            if size >= 0:
                _turn(page, start, size, kind, lower)
                _add(page, tokens, kind, cut)
            ends.append(tokens.used)
    return tokens.compressed(np.array(ends, dtype=np.int64), n_features, np.float64)

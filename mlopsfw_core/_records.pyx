"""Where the records of CSV text end: a scanner that knows quoted fields, and is fed the text piece by piece.

It only looks for ends, so that text can be cut between records and the pieces parsed side by side; it takes no value out. A field is
quoted where a quote is its first byte. Within it two quotes are one of the text, and a single one ends the quoting; any other quote is
text. A record ends at a line feed, a carriage return, or both in this order, outside of quotes.
"""

from __future__ import annotations

from libc.string cimport memchr

cdef enum State:
    FIELD_START  # a quote here opens a quoted field
    IN_FIELD
    QUOTED
    AT_QUOTE  # the last byte was a quote within quotes: either one of two, or the last
    AT_RETURN  # the last byte was a carriage return: a line feed still belongs to it


cdef enum:
    _KEPT = 256

cdef struct Stretches:
    # Stretches of text outside of quotes, in which a line end has not been looked for: only the last one counts.
    Py_ssize_t begins[_KEPT]
    Py_ssize_t stops[_KEPT]
    int count


cdef class RecordScanner:
    """Finds the ends of records in text that is fed to it.

    Args:
        delimiter: What stands between fields, one byte.
    """

    cdef State state
    cdef unsigned char delimiter

    def __init__(self, bytes delimiter):
        if len(delimiter) != 1:
            raise ValueError(f"a delimiter is one byte, not {delimiter!r}")
        self.state = FIELD_START
        self.delimiter = delimiter[0]

    @property
    def quoted(self) -> bool:
        """Whether the text so far ends within quotes."""
        return self.state == QUOTED

    def feed(self, const unsigned char[::1] data) -> int:
        """Go on through `data` and return where in it the last whole record ends; -1 where none does.

        0 means that the record that was begun ended before `data`, in a carriage return.
        """
        cdef Py_ssize_t end
        if data.shape[0] == 0:
            return -1
        with nogil:
            end = self._feed(&data[0], data.shape[0])
        return end

    cdef Py_ssize_t _feed(self, const unsigned char* text, Py_ssize_t size) noexcept nogil:
        cdef Py_ssize_t end = -1, begin = 0, stop
        cdef Stretches plain
        plain.count = 0
        if self.state == AT_RETURN:
            begin = text[0] == b"\n"
            end = begin
            self.state = FIELD_START
        elif self.state == AT_QUOTE:
            begin = text[0] == b'"'
            self.state = QUOTED if begin else IN_FIELD
        while begin < size:
            if self.state == QUOTED:
                begin = self._close(text, begin, size)
                continue
            stop = self._opening(text, begin, size)
            if plain.count == _KEPT:
                end = _latest(text, &plain, size, end)
            plain.begins[plain.count], plain.stops[plain.count] = begin, stop
            plain.count += 1
            if stop == size:
                self.state = self._after(text[size - 1])
                break
            self.state = QUOTED
            begin = stop + 1
        return _latest(text, &plain, size, end)

    cdef Py_ssize_t _close(self, const unsigned char* text, Py_ssize_t begin, Py_ssize_t size) noexcept nogil:
        """Return where a quoted field goes on after its next quote, or after two of them; `size` where there is none."""
        cdef const unsigned char* quote = <const unsigned char*>memchr(text + begin, b'"', size - begin)
        if quote == NULL:
            return size
        begin = quote - text + 1
        if begin == size:
            self.state = AT_QUOTE
        elif text[begin] == b'"':
            begin += 1
        else:
            self.state = IN_FIELD
        return begin

    cdef Py_ssize_t _opening(self, const unsigned char* text, Py_ssize_t begin, Py_ssize_t size) noexcept nogil:
        """Return where the next quoted field opens, or `size`."""
        cdef Py_ssize_t at = begin
        cdef const unsigned char* quote
        cdef unsigned char before
        while at < size:
            quote = <const unsigned char*>memchr(text + at, b'"', size - at)
            if quote == NULL:
                return size
            at = quote - text
            if at == begin:
                if self.state == FIELD_START:
                    return at
            else:
                before = text[at - 1]
                if before == self.delimiter or before == b"\n" or before == b"\r":
                    return at
            at += 1
        return size

    cdef State _after(self, unsigned char last) noexcept nogil:
        if last == b"\r":
            return AT_RETURN
        return FIELD_START if last == b"\n" or last == self.delimiter else IN_FIELD


cdef Py_ssize_t _latest(const unsigned char* text, Stretches* plain, Py_ssize_t size, Py_ssize_t end) noexcept nogil:
    """Return where the last line end in the stretches is over, `end` where they have none, and forget them."""
    cdef Py_ssize_t found = -1
    while plain.count > 0 and found < 0:
        plain.count -= 1
        found = _last_end(text, plain.begins[plain.count], plain.stops[plain.count], size)
    plain.count = 0
    return found if found >= 0 else end


cdef Py_ssize_t _last_end(const unsigned char* text, Py_ssize_t begin, Py_ssize_t stop, Py_ssize_t size) noexcept nogil:
    """Return what follows the last line end in `text[begin:stop]`; a carriage return that ends the text is left open."""
    cdef Py_ssize_t at = stop
    while at > begin:
        at -= 1
        if text[at] == b"\n" or (text[at] == b"\r" and at + 1 < size):
            return at + 1
    return -1

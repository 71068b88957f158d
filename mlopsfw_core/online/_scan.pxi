# The scan of every detector whose state is a small struct. A module includes it below its class, which `Self` names, beside
# `State` and `_fresh`: compiled into that module, `_step` is inlined, where a virtual method would cost a call a row.

from libc.string cimport memset

from ._detector cimport is_finite


cdef void scan(Self self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
    """Take n values in order; write one signal each. The row after a detection starts afresh."""
    cdef State s = self.state      # a copy, so that writing signals cannot touch it
    cdef uint8_t signal = self._signal
    cdef int64_t i
    memset(signals, QUIET, n)
    for i in range(n):
        if signal & DRIFT:
            s = _fresh()
        signal = self._step(&s, x[i]) if is_finite(x[i]) else QUIET
        if signal:
            signals[i] = signal
    self.state = s

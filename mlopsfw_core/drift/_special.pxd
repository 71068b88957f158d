"""Distribution functions, for compiled callers."""


cdef double gamma_upper(double a, double x) noexcept nogil
cdef double beta_lower(double a, double b, double x, double y) noexcept nogil
cdef double log_choose(double n, double k) noexcept nogil
cdef double stirling(double n) noexcept nogil
cdef double deviance(double x, double mean) noexcept nogil

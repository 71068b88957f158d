/* Leading zeros of 64 bits, as the compiler at hand spells it. */
#ifndef MLOPSFW_CORE_PROFILE_BITS_H
#define MLOPSFW_CORE_PROFILE_BITS_H

#if defined(_MSC_VER)
#include <intrin.h>
static inline int leading_zeros64(unsigned long long x) { unsigned long at; _BitScanReverse64(&at, x); return 63 - (int)at; }
#else
#define leading_zeros64(x) __builtin_clzll(x)
#endif

#endif /* MLOPSFW_CORE_PROFILE_BITS_H */

/* Eight bytes as a little-endian number, whatever the machine. */
#ifndef MLOPSFW_CORE_PROFILE_HASH_H
#define MLOPSFW_CORE_PROFILE_HASH_H

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LITTLE64(x) __builtin_bswap64(x)
#else
#define LITTLE64(x) (x)
#endif

#endif /* MLOPSFW_CORE_PROFILE_HASH_H */

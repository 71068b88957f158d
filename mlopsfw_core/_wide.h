/* WIDE: the compiler makes two versions of the function, and the processor decides which one runs. Under AddressSanitizer
   there is one. */
#ifndef MLOPSFW_CORE_WIDE_H
#define MLOPSFW_CORE_WIDE_H

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

#endif /* MLOPSFW_CORE_WIDE_H */

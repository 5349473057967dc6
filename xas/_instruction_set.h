/* The kernel for one instruction set; included by _wacsf.c once for each.
 *
 * Needs SET (its name), W (doubles in a vector), TARGET (the function attribute), and FMA, MIN, MAX,
 * BELOW (a mask of lanes), COUNT (of a mask), PACK (store the lanes of a mask side by side; all W
 * places are written). */

#define CONCATENATE_(a, b) a##_##b
#define CONCATENATE(a, b) CONCATENATE_(a, b)
#define NAME(x) CONCATENATE(x, SET)

typedef double NAME(V) __attribute__((vector_size(8 * W)));
typedef int64_t NAME(I) __attribute__((vector_size(8 * W)));
typedef double NAME(Unaligned) __attribute__((vector_size(8 * W), aligned(8), may_alias));
typedef float NAME(Single) __attribute__((vector_size(4 * W), aligned(4), may_alias));
#define V NAME(V)
#define INLINE static inline TARGET __attribute__((always_inline))
#define LOAD(p) ((V) * (const NAME(Unaligned) *)(p))
#define SINGLE(p) __builtin_convertvector(*(const NAME(Single) *)(p), V)
#define STORE(p, v) (*(NAME(Unaligned) *)(p) = (v))
#define ALL(x) ((x) - (V){0}) /* x - 0 is x, bit for bit: a broadcast */

#include "_frame_kernel.h"
#include "_wacsf_kernel.h"

#undef CONCATENATE_
#undef CONCATENATE
#undef NAME
#undef V
#undef INLINE
#undef LOAD
#undef SINGLE
#undef STORE
#undef ALL
#undef SET
#undef W
#undef TARGET
#undef FMA
#undef CHOOSE
#undef MIN
#undef MAX
#undef BELOW
#undef COUNT
#undef PACK

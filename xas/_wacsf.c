/* wACSF features of whole batches; the same function as the numpy reference in wacsf.py.
 *
 * Formulas and parameters: DescriptorSpec in descriptor_spec.py. Every parameter it can hold is
 * computed here. The way of one absorber:
 *
 *   1. gather its neighbours, periodic images included, into arrays of x, y, z;
 *   2. per neighbour: r^2, r, 1/r, the cutoff function, the radial features (lanes over the grid);
 *   3. per pair of neighbours (lanes over pairs): r_jk^2, the cosine, the cutoff function,
 *      (1 + lambda cos)^zeta by repeated squaring; pairs beyond the cutoff are dropped;
 *   4. per pair (lanes over eta): exp(-eta (r_ij^2 + r_ik^2 + r_jk^2)) once, times every
 *      angular factor, summed in registers.
 *
 * The cutoff function needs neither cos nor sqrt: 0.5 (cos(pi r / r_c) + 1) = ((1 - x) q(x))^2 with
 * x = (r / r_c)^2, and q a polynomial (FADE) good to 1.5e-16 relative for 0 <= x <= 4, that is up to
 * 2 r_c, which the third distance reaches where it is not clipped.
 *
 * Steps 2 to 4 are in _wacsf_kernel.h, compiled once an instruction set; the processor chooses at
 * run time. Products and sums are not contracted to fused ones by the compiler (-ffp-contract=off),
 * so that distances have the same bits as in numpy; FMA is written where it is wanted.
 */
#include "_wacsf.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAD 8          /* the widest vector: arrays may be read this far beyond their end */
#define PAIRS 256      /* pairs are finished in portions of this or a little more, to stay in L1 */
#define FAR_AWAY 1e300 /* a padding atom: its squared distance is infinite, below no limit */

enum { KIND, COLUMN, WEIGHT, FIRST, SECOND, SAME, N_ETA, N_LAMBDA, ETA, LAMBDA, ZETA, FACTOR };
enum { N_GROUPS = SAME, MU = LAMBDA };
enum { RADIAL = 1, ANGULAR = 2 };

/* Neighbours of one absorber, or those of them on one side of a pair. */
typedef struct {
    int64_t n;
    double *x, *y, *z; /* from the absorber */
    double *s;         /* r^2 */
    double *inverse;   /* 1 / r, 0 where r = 0 */
    double *fade;      /* the cutoff function; on a side: times the weight */
} Side;

struct Scratch {
    Side all, first, second;
    uint8_t *number;
    double *r;
    double *pair_s, *pair_cosine, *pair_spread, *pair_strength;
    double *pair_angle; /* [lambda and zeta][pair_room] */
    double *sums;
    int64_t room, pair_room;
    int64_t angles, n_sums; /* the largest of any block */
};

static const double FADE[12] = {
    1.0,
    -0.23370055013616983,
    0.019968957764878184,
    -0.0008945229984747723,
    2.473727636464644e-05,
    -4.647660084007154e-07,
    6.321469466068986e-09,
    -6.513360635043512e-11,
    5.260188759300664e-13,
    -3.4190190952477093e-15,
    1.8204357181916868e-17,
    -7.462401104810506e-20,
};

/* 2^t for -0.5 <= t <= 0.5, to 3e-16 relative */
static const double EXP2[11] = {
    1.0,
    0.69314718055995,
    0.24022650695910097,
    0.05550410866444772,
    0.009618129107606888,
    0.0013333558230164974,
    0.0001540353044173605,
    1.5252657260200837e-05,
    1.321544258792169e-06,
    1.0208690299958306e-07,
    7.072585949269223e-09,
};

static inline int64_t padded(int64_t n) { return (n + PAD - 1) / PAD * PAD; }

static inline double power_of_whole(double base, int64_t exponent) {
    double result = 1.0;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

#define CONCATENATE_(a, b) a##_##b
#define CONCATENATE(a, b) CONCATENATE_(a, b)
#define NAME(x) CONCATENATE(x, ISA)

/* two lanes, whatever the processor has */
typedef double Pair __attribute__((vector_size(16)));
#define ISA generic
#define W 2
#define TARGET
#ifdef __FP_FAST_FMA
#define FMA(a, b, c) \
    ((Pair){__builtin_fma((a)[0], (b)[0], (c)[0]), __builtin_fma((a)[1], (b)[1], (c)[1])})
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
#define LESS(a, b) ((a) < (b) ? (a) : (b))
#define MORE(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((Pair){LESS((a)[0], (b)[0]), LESS((a)[1], (b)[1])})
#define MAX(a, b) ((Pair){MORE((a)[0], (b)[0]), MORE((a)[1], (b)[1])})
typedef int Mask_generic;
#define BELOW(a, b) (((a)[0] < (b)[0]) | (((a)[1] < (b)[1]) << 1))
#define COUNT(mask) (((mask) & 1) + ((mask) >> 1))
#define PACK(p, mask, v) ((p)[0] = (v)[!((mask) & 1)], (p)[1] = (v)[1])
#include "_wacsf_kernel.h"
#undef ISA
#undef W
#undef TARGET
#undef FMA
#undef MIN
#undef MAX
#undef BELOW
#undef COUNT
#undef PACK

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86 1
#include <immintrin.h>

/* for each mask of four lanes: the 32-bit halves of the chosen lanes, first */
static const int32_t CHOSEN[16][8] = {
    {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}, {2, 3, 0, 1, 4, 5, 6, 7},
    {0, 1, 2, 3, 4, 5, 6, 7}, {4, 5, 0, 1, 2, 3, 6, 7}, {0, 1, 4, 5, 2, 3, 6, 7},
    {2, 3, 4, 5, 0, 1, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}, {6, 7, 0, 1, 2, 3, 4, 5},
    {0, 1, 6, 7, 2, 3, 4, 5}, {2, 3, 6, 7, 0, 1, 4, 5}, {0, 1, 2, 3, 6, 7, 4, 5},
    {4, 5, 6, 7, 0, 1, 2, 3}, {0, 1, 4, 5, 6, 7, 2, 3}, {2, 3, 4, 5, 6, 7, 0, 1},
    {0, 1, 2, 3, 4, 5, 6, 7},
};

#define ISA avx2
#define W 4
#define TARGET __attribute__((target("avx2,fma,popcnt")))
#define FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define MIN(a, b) _mm256_min_pd(a, b)
#define MAX(a, b) _mm256_max_pd(a, b)
typedef int Mask_avx2;
#define BELOW(a, b) _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ))
#define COUNT(mask) __builtin_popcount((unsigned)(mask))
#define PACK(p, mask, v)                          \
    _mm256_storeu_pd(p, _mm256_castps_pd(_mm256_permutevar8x32_ps( \
                            _mm256_castpd_ps(v),  \
                            _mm256_loadu_si256((const __m256i *)CHOSEN[mask]))))
#include "_wacsf_kernel.h"
#undef ISA
#undef W
#undef TARGET
#undef FMA
#undef MIN
#undef MAX
#undef BELOW
#undef COUNT
#undef PACK

#define ISA avx512
#define W 8
#define TARGET __attribute__((target("avx512f,fma,popcnt")))
#define FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define MIN(a, b) _mm512_min_pd(a, b)
#define MAX(a, b) _mm512_max_pd(a, b)
typedef __mmask8 Mask_avx512;
#define BELOW(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define COUNT(mask) __builtin_popcount((unsigned)(mask))
#define PACK(p, mask, v) _mm512_storeu_pd(p, _mm512_maskz_compress_pd(mask, v))
#include "_wacsf_kernel.h"
#undef ISA
#undef W
#undef TARGET
#undef FMA
#undef MIN
#undef MAX
#undef BELOW
#undef COUNT
#undef PACK
#endif

/* ---- memory -------------------------------------------------------------------------------- */

static int grow(double **array, int64_t n, int keep) {
    double *bigger;
    if (keep) {
        bigger = realloc(*array, (size_t)n * sizeof(double));
    } else {
        free(*array);
        *array = NULL;
        bigger = calloc((size_t)n, sizeof(double));
    }
    if (!bigger) return -1;
    *array = bigger;
    return 0;
}

static int grow_side(Side *side, int64_t n, int keep) {
    return grow(&side->x, n, keep) | grow(&side->y, n, keep) | grow(&side->z, n, keep) |
           grow(&side->s, n, keep) | grow(&side->inverse, n, 0) | grow(&side->fade, n, 0);
}

/* Room for n neighbours and the padding; the neighbours gathered so far stay. */
static int reserve(Scratch *w, int64_t n) {
    if (n + PAD <= w->room) return 0;
    int64_t room = n + n / 2 + 64 + PAD, pairs = room + PAIRS;
    uint8_t *number = realloc(w->number, (size_t)room);
    if (!number) return -1;
    w->number = number;
    if (grow_side(&w->all, room, 1) | grow_side(&w->first, room, 0) |
        grow_side(&w->second, room, 0) | grow(&w->r, room, 0) | grow(&w->pair_s, pairs, 0) |
        grow(&w->pair_cosine, pairs, 0) | grow(&w->pair_spread, pairs, 0) |
        grow(&w->pair_strength, pairs, 0) | grow(&w->pair_angle, pairs * w->angles, 0))
        return -1;
    w->room = room;
    w->pair_room = pairs;
    return 0;
}

static void release_side(Side *side) {
    free(side->x), free(side->y), free(side->z);
    free(side->s), free(side->inverse), free(side->fade);
}

static void release(Scratch *w) {
    release_side(&w->all), release_side(&w->first), release_side(&w->second);
    free(w->number), free(w->r), free(w->pair_s), free(w->pair_cosine), free(w->pair_spread);
    free(w->pair_strength), free(w->pair_angle), free(w->sums);
}

static int prepare(Scratch *w, const Plan *plan) {
    memset(w, 0, sizeof *w);
    w->angles = w->n_sums = 1;
    for (int64_t i = 0; i < plan->ints[3]; i++) {
        const int64_t *b = plan->ints + 4 + i * BLOCK_INTS;
        int64_t angles = b[N_LAMBDA] * (int64_t)plan->floats[b[ZETA]];
        int64_t sums = padded(b[N_ETA]) * (b[KIND] == RADIAL ? b[N_GROUPS] : angles);
        if (b[KIND] == ANGULAR && angles > w->angles) w->angles = angles;
        if (sums > w->n_sums) w->n_sums = sums;
    }
    return grow(&w->sums, w->n_sums, 0) | reserve(w, 120) ? -1 : 0;
}

/* ---- neighbours ---------------------------------------------------------------------------- */

/* Write down a neighbour; it counts only where keep is 1. */
static inline void add(Scratch *w, double x, double y, double z, double s, uint8_t number, int keep) {
    int64_t n = w->all.n;
    w->all.x[n] = x, w->all.y[n] = y, w->all.z[n] = z, w->all.s[n] = s;
    w->number[n] = number;
    w->all.n = n + keep;
}

static int gather_molecule(Scratch *w, const Structure *a, int64_t atom, double limit) {
    const float *p = a->positions;
    double x0 = p[3 * atom], y0 = p[3 * atom + 1], z0 = p[3 * atom + 2];
    for (int64_t start = 0; start < a->n; start += 256) {
        int64_t end = start + 256 < a->n ? start + 256 : a->n;
        if (reserve(w, w->all.n + end - start)) return -1;
        for (int64_t i = start; i < end; i++) {
            double x = p[3 * i] - x0, y = p[3 * i + 1] - y0, z = p[3 * i + 2] - z0;
            double s = x * x + y * y + z * z;
            add(w, x, y, z, s, a->numbers[i], (s < limit) & (i != atom));
        }
    }
    return 0;
}

/* All images of the vector d within the cutoff: along each axis |fraction + n| <= reach. */
static int gather_images(Scratch *w, const Structure *a, int64_t i, int itself, const double *d,
                         const double *reach, double limit) {
    const double *c = a->cell;
    double low[3], high[3];
    for (int axis = 0; axis < 3; axis++) {
        const double *dual = a->duals + 3 * axis;
        double fraction = d[0] * dual[0] + d[1] * dual[1] + d[2] * dual[2];
        if (!(fabs(fraction) < 1e12)) return 0; /* not finite: near nothing */
        low[axis] = ceil(-fraction - reach[axis]);
        high[axis] = floor(-fraction + reach[axis]);
    }
    for (double l = low[0]; l <= high[0]; l++)
        for (double m = low[1]; m <= high[1]; m++) {
            int64_t count = high[2] >= low[2] ? (int64_t)(high[2] - low[2]) + 1 : 0;
            if (reserve(w, w->all.n + count)) return -1;
            for (double n = low[2]; n <= high[2]; n++) {
                double x = d[0] + ((l * c[0] + m * c[3]) + n * c[6]);
                double y = d[1] + ((l * c[1] + m * c[4]) + n * c[7]);
                double z = d[2] + ((l * c[2] + m * c[5]) + n * c[8]);
                double s = x * x + y * y + z * z;
                int same = itself & (l == 0.0) & (m == 0.0) & (n == 0.0);
                add(w, x, y, z, s, a->numbers[i], (s < limit) & !same);
            }
        }
    return 0;
}

static int gather_periodic(Scratch *w, const Structure *a, int64_t atom, double cutoff,
                           int64_t most) {
    const float *p = a->positions, *p0 = p + 3 * atom;
    double reach[3];
    for (int axis = 0; axis < 3; axis++) {
        const double *d = a->duals + 3 * axis;
        reach[axis] = cutoff * sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]) + 1e-9;
    }
    for (int64_t i = 0; i < a->n && w->all.n <= most; i++) {
        double d[3];
        for (int axis = 0; axis < 3; axis++) d[axis] = (double)p[3 * i + axis] - (double)p0[axis];
        if (gather_images(w, a, i, i == atom, d, reach, cutoff * cutoff)) return -1;
    }
    return 0;
}

static int gather_given(Scratch *w, const double *v, const uint8_t *numbers, int64_t n,
                        double limit) {
    if (reserve(w, n)) return -1;
    for (int64_t i = 0; i < n; i++, v += 3) {
        double s = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        add(w, v[0], v[1], v[2], s, numbers[i], s < limit);
    }
    return 0;
}

/* ---- sites ---------------------------------------------------------------------------------- */

const InstructionSet *instruction_sets(void) {
    static InstructionSet found[4];
    int n = 0;
    InstructionSet sets[4];
    memset(sets, 0, sizeof sets);
#ifdef HAVE_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma"))
        sets[n++] = (InstructionSet){"avx512", site_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        sets[n++] = (InstructionSet){"avx2", site_avx2};
#endif
    sets[n++] = (InstructionSet){"generic", site_generic};
    memcpy(found, sets, sizeof found);
    return found;
}

int64_t run_sites(const Plan *plan, SiteFunction site, const Structure *whole,
                  const int64_t *offsets, const int64_t *structure, const int64_t *atom,
                  int64_t n_sites, int64_t most, double *values, double *closest) {
    Scratch w;
    int64_t result = prepare(&w, plan) ? -2 : -1;
    for (int64_t i = 0; i < n_sites && result == -1; i++) {
        int64_t start = offsets[structure[i]];
        Structure a = {whole->positions + 3 * start, whole->numbers + start,
                       offsets[structure[i] + 1] - start, NULL, NULL};
        int periodic = 0;
        if (whole->cell) {
            a.cell = whole->cell + 9 * structure[i], a.duals = whole->duals + 9 * structure[i];
            for (int k = 0; k < 9; k++) periodic |= a.duals[k] != 0.0;
        }
        w.all.n = 0;
        if (periodic ? gather_periodic(&w, &a, atom[i], plan->cutoff, most)
                     : gather_molecule(&w, &a, atom[i], plan->cutoff * plan->cutoff))
            result = -2;
        else if (w.all.n > most)
            result = i;
        else
            site(plan, &w, values + i * plan->ints[0], closest + i);
    }
    release(&w);
    return result;
}

int run_given(const Plan *plan, SiteFunction site, const uint8_t *numbers, const double *vectors,
              const int64_t *offsets, int64_t n_sites, double *values, double *closest) {
    Scratch w;
    int failed = prepare(&w, plan);
    for (int64_t i = 0; i < n_sites && !failed; i++) {
        int64_t start = offsets[i];
        w.all.n = 0;
        failed = gather_given(&w, vectors + 3 * start, numbers + start, offsets[i + 1] - start,
                              plan->cutoff * plan->cutoff);
        if (!failed) site(plan, &w, values + i * plan->ints[0], closest + i);
    }
    release(&w);
    return failed;
}

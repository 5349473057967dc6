/* wACSF features of whole batches; the same function as the numpy reference in wacsf.py.
 *
 * Formulas and parameters: DescriptorSpec in descriptor_spec.py. Every parameter it can hold is
 * computed here. The way of one absorber:
 *
 *   1. find its neighbours, periodic images included (_frame.c), and sort them by element class, so
 *      that the two sides of every channel are ranges;
 *   2. per neighbour: r^2, r, 1/r, the cutoff function, the radial features (lanes over the grid),
 *      and its own part of every pair, w exp(-eta r^2) f_c(r), for each eta;
 *   3. per pair of neighbours (lanes over pairs): r_jk^2, the cosine, and (1 + lambda cos)^zeta by
 *      repeated squaring; pairs beyond the cutoff are dropped;
 *   4. per pair (lanes over eta): what belongs to both, exp(-eta r_jk^2) f_c(r_jk), from a table of
 *      polynomials in r_jk^2, times the two parts of the neighbours: its strength;
 *   5. the sums over pairs of strength times angle: a matrix product, in registers.
 *
 * Nowhere in it is a cos, exp or sqrt of the library. The table holds for each interval of r_jk^2 a
 * polynomial of degree 5, good to 1e-11 *relative*: what goes to zero at the cutoff is a factor apart.
 * Where etas are too large for it, exp is a polynomial for
 * 2^t and exponent arithmetic, and 0.5 (cos(pi r / r_c) + 1) = ((1 - x) q(x))^2 with
 * x = (r / r_c)^2, and q a polynomial (FADE) good to 1.5e-16 relative for 0 <= x <= 4, that is up to
 * 2 r_c, which the third distance reaches where it is not clipped.
 *
 * _wacsf_kernel.h and _frame_kernel.h are compiled once an instruction set; the processor chooses at
 * run time. Products and sums are not contracted to fused ones by the compiler (-ffp-contract=off),
 * so that distances have the same bits as in numpy; FMA is written where it is wanted.
 */
#include "_wacsf.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "_frame.h"
#include "_plan.h"

#define PAIRS 128              /* pairs are finished in portions of this or more, to stay in L1 */
#define ROOM (2 * PAIRS + PAD) /* a row is added in parts of PAIRS to fewer than PAIRS */
#define FAR_AWAY 1e300         /* a padding atom: its squared distance is infinite */
#define TOO_FAR 1e300          /* added to squared distances that are not to count */
#define BELOW_TOO_FAR 1e299

/* Two neighbours as one double that counts up with the second: bits in the mantissa. */
#define PAIR_BITS 26
#define PAIR_CODE(j, k) (0x1p52 + (double)(((int64_t)(j) << PAIR_BITS) + (k)))
#define SECOND_OF(code) ((int64_t)((code) & ((1u << PAIR_BITS) - 1)))
#define FIRST_OF(code) SECOND_OF((code) >> PAIR_BITS)

static const double COUNTING[PAD] = {0, 1, 2, 3, 4, 5, 6, 7};

typedef struct {
    int64_t n;
    double s[ROOM], cosine[ROOM], code[ROOM]; /* r_jk^2; PAIR_CODE */
    double place[ROOM];   /* the interval of the table, in the low bits */
    double rest[ROOM];    /* where in the interval; without a table: the cutoff function */
    double squared[ROOM]; /* the factor that the table leaves out */
} Pairs;

struct Scratch {
    Near found, near; /* as found, and sorted by class */
    int64_t class_start[ELEMENTS + 1];
    int64_t room;                /* for neighbours */
    double *r, *inverse, *fade;  /* 1 / r is 0 where r = 0 */
    double *own;                 /* [groups of two vectors of etas][neighbour][etas] */
    double *strength;            /* [pair][two vectors of etas] */
    double *angle;               /* [lambda and zeta][ROOM] */
    double *gaussian;            /* [neighbour][two vectors] */
    double *sums, *row;
    int64_t width; /* of the widest grid of angular features, padded */
    Pairs pairs;
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

static inline uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* ---- instruction sets --------------------------------------------------------------------------- */

/* two lanes, whatever the processor has */
#define SET generic
#define W 2
#define TARGET
#ifdef __FP_FAST_FMA
#define FMA(a, b, c) \
    ((V){__builtin_fma((a)[0], (b)[0], (c)[0]), __builtin_fma((a)[1], (b)[1], (c)[1])})
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
#define CHOOSE(mask, a, b) ((V)(((mask) & (NAME(I))(a)) | (~(mask) & (NAME(I))(b))))
#define MIN(a, b) CHOOSE((a) < (b), a, b)
#define MAX(a, b) CHOOSE((a) > (b), a, b)
typedef int Mask_generic;
#define BELOW(a, b) (((a)[0] < (b)[0]) | (((a)[1] < (b)[1]) << 1))
#define COUNT(mask) (((mask) & 1) + ((mask) >> 1))
#define PACK(p, mask, v) ((p)[0] = (v)[!((mask) & 1)], (p)[1] = (v)[1])
#include "_instruction_set.h"

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

#define SET avx2
#define W 4
#define TARGET __attribute__((target("avx2,fma,popcnt")))
#define FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define MIN(a, b) _mm256_min_pd(a, b)
#define MAX(a, b) _mm256_max_pd(a, b)
typedef int Mask_avx2;
#define BELOW(a, b) _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ))
#define COUNT(mask) __builtin_popcount((unsigned)(mask))
#define PACK(p, mask, v)                                      \
    _mm256_storeu_pd(p, _mm256_castps_pd(_mm256_permutevar8x32_ps( \
                            _mm256_castpd_ps(v),              \
                            _mm256_loadu_si256((const __m256i *)CHOSEN[mask]))))
#include "_instruction_set.h"

#define SET avx512
#define W 8
#define TARGET __attribute__((target("avx512f,fma,popcnt")))
#define FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define MIN(a, b) _mm512_min_pd(a, b)
#define MAX(a, b) _mm512_max_pd(a, b)
typedef __mmask8 Mask_avx512;
#define BELOW(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define COUNT(mask) __builtin_popcount((unsigned)(mask))
#define PACK(p, mask, v) _mm512_storeu_pd(p, _mm512_maskz_compress_pd(mask, v))
#include "_instruction_set.h"
#endif

const InstructionSet *instruction_sets(void) {
    static InstructionSet found[4];
    int n = 0;
    InstructionSet sets[4];
    memset(sets, 0, sizeof sets);
#ifdef HAVE_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma"))
        sets[n++] = (InstructionSet){"avx512", 8, site_avx512, search_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        sets[n++] = (InstructionSet){"avx2", 4, site_avx2, search_avx2};
#endif
    sets[n++] = (InstructionSet){"generic", 2, site_generic, search_generic};
    memcpy(found, sets, sizeof found);
    return found;
}

/* ---- memory ------------------------------------------------------------------------------------- */

/* Room for n doubles, on a line of the cache; the first `keep` stay. */
static int grow(double **array, int64_t n, int64_t keep) {
    size_t bytes = ((size_t)n * sizeof(double) + 127) / 64 * 64;
    double *bigger = aligned_alloc(64, bytes);
    if (!bigger) return -1;
    memset(bigger, 0, bytes);
    if (keep) memcpy(bigger, *array, (size_t)keep * sizeof(double));
    free(*array);
    *array = bigger;
    return 0;
}

int reserve_near(Near *a, int64_t n) {
    if (n + PAD <= a->room) return 0;
    int64_t room = n + n / 2 + 120 + PAD, keep = a->n;
    uint8_t *number = realloc(a->number, (size_t)room);
    if (!number) return -1;
    a->number = number;
    if (grow(&a->x, room, keep) || grow(&a->y, room, keep) || grow(&a->z, room, keep) ||
        grow(&a->s, room, keep))
        return -1;
    a->room = room;
    return 0;
}

void release_near(Near *a) { free(a->x), free(a->y), free(a->z), free(a->s), free(a->number); }

/* Room for n neighbours and their features. */
static int reserve(Scratch *w, int64_t n) {
    if (n + PAD <= w->room) return 0;
    int64_t room = n + n / 2 + 120 + PAD;
    if (n >= (int64_t)1 << PAIR_BITS || reserve_near(&w->near, room) || grow(&w->r, room, 0) ||
        grow(&w->inverse, room, 0) || grow(&w->fade, room, 0) ||
        grow(&w->own, room * w->width, 0) || grow(&w->gaussian, room * 2 * PAD, 0))
        return -1;
    w->room = room;
    return 0;
}

static void release(Scratch *w) {
    if (!w) return;
    release_near(&w->found), release_near(&w->near);
    free(w->r), free(w->inverse), free(w->fade), free(w->own), free(w->strength);
    free(w->angle), free(w->sums), free(w->gaussian), free(w->row), free(w);
}

static int64_t padded(int64_t n) { return (n + PAD - 1) / PAD * PAD; }

static Scratch *new_scratch(const Plan *plan) {
    Scratch *w = calloc(1, sizeof *w);
    int64_t angles = 1, sums = 1, grid = PAD;
    if (!w) return NULL;
    for (int64_t i = 0; i < plan->ints[N_FAMILIES]; i++) {
        const int64_t *f = plan->ints + HEAD_INTS + i * FAMILY_INTS;
        if (f[N_SUMS] > sums) sums = f[N_SUMS];
        if (padded(f[N_GRID]) > grid) grid = padded(f[N_GRID]);
        if (f[KIND] == ANGULAR && f[N_LAMBDA] * f[N_ZETA] > angles) angles = f[N_LAMBDA] * f[N_ZETA];
    }
    w->width = grid;
    if (grow(&w->strength, 2 * PAD * ROOM, 0) || grow(&w->angle, angles * ROOM, 0) ||
        grow(&w->sums, sums, 0) || grow(&w->row, plan->ints[N_FEATURES], 0) || reserve(w, 64)) {
        release(w);
        return NULL;
    }
    return w;
}

/* ---- sites -------------------------------------------------------------------------------------- */

/* The neighbours that were found, sorted by class and within it by element. */
static int sort_by_element(const Plan *plan, Scratch *w) {
    const int16_t *rank = plan->tables, *class_begin = plan->tables + ELEMENTS;
    const Near *from = &w->found;
    Near *to = &w->near;
    int64_t next[ELEMENTS + 1] = {0};
    int64_t low = ELEMENTS, high = 0; /* of the ranks that occur */
    if (reserve(w, from->n)) return -1;
    for (int64_t i = 0; i < from->n; i++) {
        int64_t r = rank[from->number[i]];
        next[r + 1]++;
        low = r < low ? r : low, high = r > high ? r : high;
    }
    for (int64_t r = low; r <= high; r++) next[r + 1] += next[r];
    for (int64_t c = 0; c <= plan->ints[N_CLASSES]; c++) {
        int64_t r = class_begin[c];
        w->class_start[c] = r <= low ? 0 : r > high ? from->n : next[r];
    }
    for (int64_t i = 0; i < from->n; i++) {
        int64_t k = next[rank[from->number[i]]]++;
        to->x[k] = from->x[i], to->y[k] = from->y[i], to->z[k] = from->z[i], to->s[k] = from->s[i];
        to->number[k] = from->number[i];
    }
    to->n = from->n;
    return 0;
}

static int site_features(const Plan *plan, const InstructionSet *set, Scratch *w, int64_t i,
                         Output output) {
    const int64_t n = plan->ints[N_FEATURES];
    if (sort_by_element(plan, w)) return -1;
    if (!output.single) {
        set->site(plan, w, output.rows + i * n, output.closest + i);
        return 0;
    }
    set->site(plan, w, w->row, output.closest + i);
    float *row = output.single + i * n;
    for (int64_t k = 0; k < n; k++) row[k] = (float)w->row[k];
    return 0;
}

/* How many sites from the first one on are in the same structure. */
static int64_t sites_together(const SiteList *sites, int64_t first) {
    int64_t i = first;
    while (i < sites->n && sites->structure[i] == sites->structure[first]) i++;
    return i - first;
}

/* Find the neighbours of site i; its structure is laid out when the first of its sites comes. */
static int64_t search_site(Frame *frame, double cutoff, const InstructionSet *set,
                           const Structures *all, const SiteList *sites, int64_t i, Near *near) {
    if (i == 0 || sites->structure[i] != sites->structure[i - 1])
        if (lay_out(frame, all, sites->structure[i], cutoff, sites_together(sites, i)))
            return NO_MEMORY;
    if (find_neighbours(frame, set, sites->atom[i], sites->most, near)) return NO_MEMORY;
    return near->n > sites->most ? i : ALL_DONE;
}

int64_t run_sites(const Plan *plan, const InstructionSet *set, const Structures *all,
                  const SiteList *sites, Output output) {
    Scratch *w = new_scratch(plan);
    Frame *frame = new_frame();
    int64_t result = w && frame ? ALL_DONE : NO_MEMORY;
    for (int64_t i = 0; i < sites->n && result == ALL_DONE; i++) {
        result = search_site(frame, plan->cutoff, set, all, sites, i, &w->found);
        if (result == ALL_DONE && site_features(plan, set, w, i, output)) result = NO_MEMORY;
    }
    release_frame(frame);
    release(w);
    return result;
}

/* Those of n given neighbours that are within the cutoff. */
static int take_given(Near *a, const double *v, const uint8_t *numbers, int64_t n, double limit) {
    a->n = 0;
    if (reserve_near(a, n)) return -1;
    for (int64_t i = 0; i < n; i++, v += 3) {
        double s = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        a->x[a->n] = v[0], a->y[a->n] = v[1], a->z[a->n] = v[2], a->s[a->n] = s;
        a->number[a->n] = numbers[i];
        a->n += s < limit;
    }
    return 0;
}

int64_t run_given(const Plan *plan, const InstructionSet *set, const uint8_t *numbers,
                  const double *vectors, const int64_t *offsets, int64_t n_sites, Output output) {
    Scratch *w = new_scratch(plan);
    int failed = !w;
    for (int64_t i = 0; i < n_sites && !failed; i++) {
        int64_t start = offsets[i];
        failed = take_given(&w->found, vectors + 3 * start, numbers + start,
                            offsets[i + 1] - start, plan->cutoff * plan->cutoff) ||
                 site_features(plan, set, w, i, output);
    }
    release(w);
    return failed ? NO_MEMORY : ALL_DONE;
}

/* ---- neighbours alone --------------------------------------------------------------------------- */

static int append(Found *found, const Near *near) {
    int64_t n = found->n + near->n;
    if (n > found->room) {
        int64_t room = 2 * n + 1024;
        double *vectors = realloc(found->vectors, (size_t)room * 3 * sizeof(double));
        if (vectors) found->vectors = vectors;
        uint8_t *numbers = realloc(found->numbers, (size_t)room);
        if (numbers) found->numbers = numbers;
        if (!vectors || !numbers) return -1;
        found->room = room;
    }
    double *v = found->vectors + 3 * found->n;
    for (int64_t i = 0; i < near->n; i++, v += 3)
        v[0] = near->x[i], v[1] = near->y[i], v[2] = near->z[i];
    if (near->n) memcpy(found->numbers + found->n, near->number, (size_t)near->n);
    found->n = n;
    return 0;
}

int64_t run_search(double cutoff, const InstructionSet *set, const Structures *all,
                   const SiteList *sites, Found *found) {
    Near near = {0};
    Frame *frame = new_frame();
    int64_t result = frame ? ALL_DONE : NO_MEMORY;
    for (int64_t i = 0; i < sites->n && result == ALL_DONE; i++) {
        result = search_site(frame, cutoff, set, all, sites, i, &near);
        if (result == ALL_DONE && append(found, &near)) result = NO_MEMORY;
        found->ends[i] = found->n;
    }
    release_frame(frame);
    release_near(&near);
    return result;
}

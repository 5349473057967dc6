/* One absorber, for one instruction set; included by _wacsf.c once for each.
 *
 * Needs ISA (its name), W (doubles in a vector), TARGET (the function attribute), and FMA, MIN, MAX,
 * BELOW (a mask of lanes), COUNT (of a mask), PACK (store the lanes of a mask side by side).
 */

typedef double NAME(V) __attribute__((vector_size(8 * W)));
typedef int64_t NAME(I) __attribute__((vector_size(8 * W)));
typedef double NAME(Unaligned) __attribute__((vector_size(8 * W), aligned(8), may_alias));
#define V NAME(V)
#define INLINE static inline TARGET __attribute__((always_inline))
#define LOAD(p) ((V) * (const NAME(Unaligned) *)(p))
#define STORE(p, v) (*(NAME(Unaligned) *)(p) = (v))
#define ALL(x) ((x) - (V){0}) /* x - 0 is x, bit for bit: a broadcast */

/* 2^t for t <= 0; 2^-1000 below that. Adding 1.5 * 2^52 leaves the nearest whole number in the low
 * bits, from where it moves into the exponent. */
INLINE V NAME(exp2)(V t) {
    const V magic = ALL(0x1.8p52);
    t = MAX(t, ALL(-1000.0));
    V shifted = t + magic;
    V rest = t - (shifted - magic);
    V p = ALL(EXP2[10]);
#pragma GCC unroll 10
    for (int i = 9; i >= 0; i--) p = FMA(p, rest, ALL(EXP2[i]));
    return (V)((NAME(I))p + ((NAME(I))shifted << 52));
}

/* The cutoff function of s = r^2, 0 <= s <= 4 limit; limit is cutoff^2, scale 1 / cutoff^2. */
INLINE V NAME(fade)(V s, V limit, V scale) {
    V x = s * scale;
    V q = ALL(FADE[11]);
#pragma GCC unroll 11
    for (int i = 10; i >= 0; i--) q = FMA(q, x, ALL(FADE[i]));
    q *= (limit - s) * scale;
    return q * q;
}

/* The neighbours that belong to one side, with weight times cutoff function. */
static TARGET void NAME(select)(const Scratch *w, const int16_t *member, const double *weight,
                                Side *side) {
    const Side *a = &w->all;
    int64_t n = 0;
    for (int64_t i = 0; i < a->n; i++) {
        side->x[n] = a->x[i], side->y[n] = a->y[i], side->z[n] = a->z[i];
        side->s[n] = a->s[i], side->inverse[n] = a->inverse[i];
        side->fade[n] = a->fade[i] * weight[w->number[i]];
        n += member[w->number[i]] != 0;
    }
    side->n = n;
    for (int64_t i = n; i < n + PAD; i++) {
        side->x[i] = FAR_AWAY;
        side->y[i] = side->z[i] = side->s[i] = side->inverse[i] = side->fade[i] = 0.0;
    }
}

/* Append the partners of neighbour j, from b[from] on, that are closer than the limit to it to the m
 * pairs already there; how many there are now. */
INLINE int64_t NAME(add_row)(Scratch *w, const Side *a, int64_t j, const Side *b, int64_t from,
                             double limit, int64_t m, V *nearest) {
    const V xj = ALL(a->x[j]), yj = ALL(a->y[j]), zj = ALL(a->z[j]), sj = ALL(a->s[j]);
    const V inverse = ALL(a->inverse[j]), fade = ALL(a->fade[j]), below = ALL(limit);
    V least = *nearest;
    for (int64_t k = from; k < b->n; k += W) {
        V xk = LOAD(b->x + k), yk = LOAD(b->y + k), zk = LOAD(b->z + k);
        V x = xk - xj, y = yk - yj, z = zk - zj;
        V s = x * x + y * y + z * z;
        V cosine = FMA(xk, xj, FMA(yk, yj, zk * zj)) * inverse * LOAD(b->inverse + k);
        V spread = sj + LOAD(b->s + k) + s, strength = fade * LOAD(b->fade + k);
        least = MIN(least, s);
        NAME(Mask) mask = BELOW(s, below);
        PACK(w->pair_s + m, mask, s);
        PACK(w->pair_cosine + m, mask, cosine);
        PACK(w->pair_spread + m, mask, spread);
        PACK(w->pair_strength + m, mask, strength);
        m += COUNT(mask);
    }
    *nearest = least;
    return m;
}

/* base^zeta, base >= 0; before is base^zeta_before. */
INLINE V NAME(power)(V base, double zeta, V before, double zeta_before) {
    if (zeta == 2.0 * zeta_before) return before * before;
    V result;
    int whole = zeta == floor(zeta);
    for (int i = 0; i < W; i++)
        result[i] = whole ? power_of_whole(base[i], (int64_t)zeta) : pow(base[i], zeta);
    return result;
}

/* Finish m pairs: strength, and (1 + lambda cos)^zeta for each lambda and zeta. */
static TARGET void NAME(finish_pairs)(Scratch *w, const Plan *plan, const int64_t *b, int64_t m) {
    const double *lambda = plan->floats + b[LAMBDA], *zeta = plan->floats + b[ZETA] + 1;
    const int64_t n_zeta = (int64_t)plan->floats[b[ZETA]], n_lambda = b[N_LAMBDA];
    const int64_t room = w->pair_room;
    const double *s = w->pair_s, *cosines = w->pair_cosine;
    double *strength = w->pair_strength;
    const V limit = ALL(plan->cutoff * plan->cutoff), scale = ALL(1.0) / limit;
    for (int64_t k = 0; k < m; k += W) {
        STORE(strength + k, LOAD(strength + k) * NAME(fade)(LOAD(s + k), limit, scale));
        V cosine = MIN(MAX(LOAD(cosines + k), ALL(-1.0)), ALL(1.0));
        double *angle = w->pair_angle + k;
        for (int64_t i = 0; i < n_lambda; i++) {
            V base = FMA(ALL(lambda[i]), cosine, ALL(1.0)), before = base;
            for (int64_t l = 0; l < n_zeta; l++, angle += room) {
                if (zeta[l] == 1.0)
                    before = base;
                else
                    before = NAME(power)(base, zeta[l], before, l ? zeta[l - 1] : 1.0);
                STORE(angle, before);
            }
        }
    }
}

/* Add m pairs to n angular features of W etas. */
INLINE void NAME(sum_angles)(const Scratch *w, V eta, int64_t m, const double *angle, double *sums,
                             const int n) {
    V part[8];
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) part[i] = LOAD(sums + i * W);
    for (int64_t k = 0; k < m; k++) {
        V radial = NAME(exp2)(eta * ALL(w->pair_spread[k])) * ALL(w->pair_strength[k]);
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) part[i] = FMA(radial, ALL(angle[i * w->pair_room + k]), part[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) STORE(sums + i * W, part[i]);
}

static TARGET void NAME(sum_pairs)(const Scratch *w, const double *eta, int64_t n_eta,
                                 int64_t n_angles, int64_t m, double *sums) {
    for (int64_t e = 0; e < n_eta; e += W) {
        V exponent = LOAD(eta + e);
        int64_t i = 0;
        for (int64_t left = n_angles; left; left = n_angles - i) {
            const double *angle = w->pair_angle + i * w->pair_room;
            double *part = sums + (e / W * n_angles + i) * W;
            if (left >= 8) NAME(sum_angles)(w, exponent, m, angle, part, 8), i += 8;
            else if (left >= 4) NAME(sum_angles)(w, exponent, m, angle, part, 4), i += 4;
            else if (left >= 2) NAME(sum_angles)(w, exponent, m, angle, part, 2), i += 2;
            else NAME(sum_angles)(w, exponent, m, angle, part, 1), i += 1;
        }
    }
}

/* Whether every two neighbours were looked at, so that nearest is the closest pair. */
static TARGET int NAME(angular)(const Plan *plan, Scratch *w, const int64_t *b, double *values,
                                V *nearest) {
    const double *weight = plan->floats + b[WEIGHT], *factor = plan->floats + b[FACTOR];
    const double limit = plan->ints[2] ? plan->cutoff * plan->cutoff : DBL_MAX;
    const int64_t n_angles = b[N_LAMBDA] * (int64_t)plan->floats[b[ZETA]], n_eta = b[N_ETA];
    const Side *second = &w->second, *first = b[SAME] ? second : &w->first;
    NAME(select)(w, plan->tables + b[SECOND], weight, &w->second);
    if (!b[SAME]) NAME(select)(w, plan->tables + b[FIRST], weight, &w->first);
    memset(w->sums, 0, (size_t)(padded(n_eta) * n_angles) * sizeof(double));
    int64_t m = 0;
    for (int64_t j = 0; j < first->n; j++) {
        m = NAME(add_row)(w, first, j, second, b[SAME] ? j + 1 : 0, limit, m, nearest);
        if (m < PAIRS && j + 1 < first->n) continue;
        NAME(finish_pairs)(w, plan, b, m);
        NAME(sum_pairs)(w, plan->floats + b[ETA], n_eta, n_angles, m, w->sums);
        m = 0;
    }
    values += b[COLUMN];
    for (int64_t e = 0; e < n_eta; e++)
        for (int64_t i = 0; i < n_angles; i++)
            *values++ = factor[i] * w->sums[(e / W * n_angles + i) * W + e % W];
    return b[SAME] && second->n == w->all.n;
}

static TARGET void NAME(radial)(const Plan *plan, Scratch *w, const int64_t *b, double *values) {
    const double *eta = plan->floats + b[ETA], *mu = plan->floats + b[MU];
    const int64_t n = b[N_ETA], width = padded(n);
    memset(w->sums, 0, (size_t)(width * b[N_GROUPS]) * sizeof(double));
    for (int64_t j = 0; j < w->all.n; j++) {
        int group = plan->tables[b[FIRST] + w->number[j]];
        if (group < 0) continue;
        V r = ALL(w->r[j]), strength = ALL(w->all.fade[j] * plan->floats[b[WEIGHT] + w->number[j]]);
        double *sums = w->sums + group * width;
        for (int64_t i = 0; i < n; i += W) {
            V d = r - LOAD(mu + i);
            STORE(sums + i, FMA(NAME(exp2)(LOAD(eta + i) * (d * d)), strength, LOAD(sums + i)));
        }
    }
    for (int64_t group = 0; group < b[N_GROUPS]; group++)
        memcpy(values + b[COLUMN] + group * n, w->sums + group * width, (size_t)n * sizeof(double));
}

static TARGET void NAME(look_at_pairs)(const Side *a, V *nearest) {
    V least = *nearest;
    for (int64_t j = 0; j < a->n; j++)
        for (int64_t k = j + 1; k < a->n; k += W) {
            V x = LOAD(a->x + k) - ALL(a->x[j]), y = LOAD(a->y + k) - ALL(a->y[j]);
            V z = LOAD(a->z + k) - ALL(a->z[j]);
            least = MIN(least, x * x + y * y + z * z);
        }
    *nearest = least;
}

static TARGET void NAME(site)(const Plan *plan, Scratch *w, double *values, double *closest) {
    Side *a = &w->all;
    double sum = 0.0, least = INFINITY;
    for (int64_t i = a->n; i < a->n + PAD; i++)
        a->x[i] = FAR_AWAY, a->y[i] = a->z[i] = a->s[i] = 0.0;
    const V limit = ALL(plan->cutoff * plan->cutoff), scale = ALL(1.0) / limit;
    for (int64_t i = 0; i < a->n; i += W)
        STORE(a->fade + i, NAME(fade)(LOAD(a->s + i), limit, scale));
    for (int64_t i = 0; i < a->n; i++) {
        double r = sqrt(a->s[i]);
        w->r[i] = r;
        a->inverse[i] = r > 0.0 ? 1.0 / r : 0.0;
        sum += a->fade[i];
        least = a->s[i] < least ? a->s[i] : least;
    }
    if (plan->ints[1]) values[0] = sum;
    V nearest = ALL(least);
    int complete = 0;
    for (int64_t i = 0; i < plan->ints[3]; i++) {
        const int64_t *b = plan->ints + 4 + i * BLOCK_INTS;
        if (b[KIND] == RADIAL) NAME(radial)(plan, w, b, values);
        else complete |= NAME(angular)(plan, w, b, values, &nearest);
    }
    if (!complete) NAME(look_at_pairs)(a, &nearest);
    for (int i = 0; i < W; i++) least = nearest[i] < least ? nearest[i] : least;
    *closest = sqrt(least);
}

#undef V
#undef INLINE
#undef LOAD
#undef STORE
#undef ALL

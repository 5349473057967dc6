/* Features of one absorber, for one instruction set; included by _wacsf.c once for each. */

/* 2^t for t <= 1000; 2^-1000 where t is less than that. Adding 1.5 * 2^52 leaves the nearest whole
 * number in the low bits, from where it moves into the exponent. */
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

/* ---- radial features --------------------------------------------------------------------------- */

/* On an even grid with one eta each vector of f_c(r) exp(-eta (r - mu)^2) is the one before, a step
 * of h below, times exp(eta h (2 (r - mu) - h)), and this ratio changes by exp(-2 eta h^2). The first
 * vector and ratio of each neighbour: */
static TARGET void NAME(set_gaussians)(Scratch *w, double eta, const double *mu, double h) {
    for (int64_t j = 0; j < w->near.n; j++) {
        V d = ALL(w->r[j]) - LOAD(mu);
        STORE(w->gaussian + 2 * W * j, NAME(exp2)(ALL(eta) * (d * d)) * ALL(w->fade[j]));
        STORE(w->gaussian + 2 * W * j + W, NAME(exp2)(ALL(-eta * h) * (d + d - ALL(h))));
    }
}

/* Sums over the neighbours begin..end, for n vectors of such a grid; what comes next is put back. */
INLINE void NAME(multiply_gaussians)(Scratch *w, int64_t begin, int64_t end, V constant,
                                     double *sums, const int n) {
    V sum[8];
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) sum[i] = ALL(0.0);
    for (int64_t j = begin; j < end; j++) {
        double *gaussian = w->gaussian + 2 * W * j;
        V value = LOAD(gaussian), ratio = LOAD(gaussian + W);
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            sum[i] += value;
            value *= ratio, ratio *= constant;
        }
        STORE(gaussian, value);
        STORE(gaussian + W, ratio);
    }
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) STORE(sums + i * W, sum[i]);
}

static TARGET void NAME(sum_even_grid)(Scratch *w, int64_t begin, int64_t end, double eta, double h,
                                       int64_t width, double *sums) {
    const V constant = NAME(exp2)(ALL(2.0 * eta * h * h));
    int64_t i = 0;
    for (; i + 8 * W <= width; i += 8 * W)
        NAME(multiply_gaussians)(w, begin, end, constant, sums + i, 8);
    for (; i + 4 * W <= width; i += 4 * W)
        NAME(multiply_gaussians)(w, begin, end, constant, sums + i, 4);
    for (; i < width; i += W)
        NAME(multiply_gaussians)(w, begin, end, constant, sums + i, 1);
}

static TARGET void NAME(sum_grid)(const Scratch *w, int64_t begin, int64_t end, const double *eta,
                                  const double *mu, int64_t width, double *sums) {
    for (int64_t i = 0; i < width; i += W) {
        V sum = ALL(0.0);
        for (int64_t j = begin; j < end; j++) {
            V d = ALL(w->r[j]) - LOAD(mu + i);
            sum += NAME(exp2)(LOAD(eta + i) * (d * d)) * ALL(w->fade[j]);
        }
        STORE(sums + i, sum);
    }
}

/* Add the sums over neighbours of one element to every block that counts it. */
static TARGET void NAME(add_element)(const Plan *plan, const Scratch *w, const int64_t *f,
                                     int64_t number, double *values) {
    const int64_t n = f[N_GRID];
    for (int64_t i = 0; i < f[N_BLOCKS]; i++) {
        const int64_t *b = plan->ints + f[BLOCKS] + i * RADIAL_INTS;
        const int64_t group = plan->tables[b[GROUPS] + number];
        if (group < 0) continue;
        const double weight = plan->floats[b[WEIGHT] + number];
        double *to = values + b[COLUMN] + group * n;
        for (int64_t k = 0; k < n; k++) to[k] += weight * w->sums[k];
    }
}

static TARGET void NAME(radial)(const Plan *plan, Scratch *w, const int64_t *f, double *values) {
    const double *eta = plan->floats + f[ETA], *mu = plan->floats + f[MU];
    const int64_t width = (f[N_GRID] + W - 1) / W * W;
    const uint8_t *number = w->near.number;
    if (f[EVEN]) NAME(set_gaussians)(w, *eta, mu, mu[W] - mu[0]);
    for (int64_t begin = 0, end; begin < w->near.n; begin = end) {
        for (end = begin + 1; end < w->near.n && number[end] == number[begin];) end++;
        if (f[EVEN])
            NAME(sum_even_grid)(w, begin, end, *eta, mu[W] - mu[0], width, w->sums);
        else
            NAME(sum_grid)(w, begin, end, eta, mu, width, w->sums);
        NAME(add_element)(plan, w, f, number[begin], values);
    }
}

/* ---- pairs of neighbours ------------------------------------------------------------------------ */

/* Append neighbour j with those of begin..end that are closer than the limit to it; the smallest
 * squared distance seen goes into nearest. */
INLINE void NAME(add_row)(Scratch *w, int64_t j, int64_t begin, int64_t end, double limit,
                          V *nearest) {
    const Near *a = &w->near;
    Pairs *pairs = &w->pairs;
    const V xj = ALL(a->x[j]), yj = ALL(a->y[j]), zj = ALL(a->z[j]);
    const V inverse = ALL(w->inverse[j]), below = ALL(limit);
    const V last = ALL(PAIR_CODE(j, end - 1));
    V code = LOAD(COUNTING) + ALL(PAIR_CODE(j, begin)), least = *nearest;
    int64_t m = pairs->n;
    for (int64_t k = begin; k < end; k += W, code += ALL((double)W)) {
        V xk = LOAD(a->x + k), yk = LOAD(a->y + k), zk = LOAD(a->z + k);
        V x = xk - xj, y = yk - yj, z = zk - zj;
        V s = x * x + y * y + z * z;
        V cosine = FMA(xk, xj, FMA(yk, yj, zk * zj)) * inverse * LOAD(w->inverse + k);
        if (k + W > end) s += MAX(code - last, ALL(0.0)) * ALL(TOO_FAR);
        least = MIN(least, s);
        NAME(Mask) mask = BELOW(s, below);
        PACK(pairs->s + m, mask, s);
        PACK(pairs->cosine + m, mask, cosine);
        PACK(pairs->code + m, mask, code);
        m += COUNT(mask);
    }
    *nearest = least;
    pairs->n = m;
}

/* base^zeta; where it is whole by repeated squaring. */
INLINE V NAME(power)(V base, double zeta) {
    V result = ALL(1.0);
    if (zeta == floor(zeta)) {
        for (int64_t bits = (int64_t)zeta; bits; bits >>= 1, base *= base)
            if (bits & 1) result *= base;
        return result;
    }
    for (int i = 0; i < W; i++) result[i] = pow(base[i], zeta);
    return result;
}

/* (1 + lambda cos)^zeta of all pairs, for each lambda and zeta; each zeta that is twice the one
 * before by squaring. */
static TARGET void NAME(set_angles)(Scratch *w, const Plan *plan, const int64_t *f) {
    const double *lambda = plan->floats + f[LAMBDA], *zeta = plan->floats + f[ZETA];
    const int64_t m = w->pairs.n;
    double *angle = w->angle;
    for (int64_t k = 0; k < m; k += W)
        STORE(w->pairs.cosine + k, MIN(MAX(LOAD(w->pairs.cosine + k), ALL(-1.0)), ALL(1.0)));
    for (int64_t i = 0; i < f[N_LAMBDA]; i++)
        for (int64_t l = 0; l < f[N_ZETA]; l++, angle += ROOM) {
            const double *cosine = w->pairs.cosine, *before = angle - ROOM;
            const V slope = ALL(lambda[i]), one = ALL(1.0);
            if (zeta[l] == 1.0)
                for (int64_t k = 0; k < m; k += W)
                    STORE(angle + k, FMA(slope, LOAD(cosine + k), one));
            else if (l && zeta[l] == 2.0 * zeta[l - 1])
                for (int64_t k = 0; k < m; k += W)
                    STORE(angle + k, LOAD(before + k) * LOAD(before + k));
            else
                for (int64_t k = 0; k < m; k += W)
                    STORE(angle + k, NAME(power)(FMA(slope, LOAD(cosine + k), one), zeta[l]));
        }
}

/* Where each pair's s lies in the table of its family: which interval, and how far from its middle;
 * adding 1.5 * 2^52 leaves the nearest whole number in the low bits. */
static TARGET void NAME(set_places)(Scratch *w, double limit, double per_interval) {
    const V magic = ALL(0x1.8p52), zero = ALL(limit), scale = ALL(per_interval);
    for (int64_t k = 0; k < w->pairs.n; k += W) {
        V v = (zero - LOAD(w->pairs.s + k)) * scale;
        V shifted = v + magic;
        STORE(w->pairs.place + k, shifted);
        STORE(w->pairs.squared + k, v * v);
        STORE(w->pairs.rest + k, v - (shifted - magic));
    }
}

static TARGET void NAME(set_fades)(Scratch *w, double limit) {
    for (int64_t k = 0; k < w->pairs.n; k += W)
        STORE(w->pairs.rest + k, NAME(fade)(LOAD(w->pairs.s + k), ALL(limit), ALL(1.0 / limit)));
}

/* exp(-eta (r_ij^2 + r_ik^2 + r_jk^2)) times the three cutoff functions and both weights, for n
 * vectors of etas of each pair: what belongs to j, times what belongs to k, times what belongs to
 * both, from the table. */
INLINE void NAME(set_strengths)(Scratch *w, const double *own, const double *table, const int n) {
    for (int64_t p = 0; p < w->pairs.n; p++) {
        const uint64_t code = bits_of(w->pairs.code[p]);
        const double *j = own + FIRST_OF(code) * (n * W), *k = own + SECOND_OF(code) * (n * W);
        const double *c = table + (int32_t)bits_of(w->pairs.place[p]) * (TERMS * n * W);
        const V t = ALL(w->pairs.rest[p]), t2 = t * t, squared = ALL(w->pairs.squared[p]);
#pragma GCC unroll 2
        for (int i = 0; i < n * W; i += W) { /* even and odd powers apart: a shorter chain */
            V even = LOAD(c + (TERMS - 2) * n * W + i), odd = LOAD(c + (TERMS - 1) * n * W + i);
#pragma GCC unroll 4
            for (int term = TERMS - 4; term >= 0; term -= 2) {
                even = FMA(even, t2, LOAD(c + term * n * W + i));
                odd = FMA(odd, t2, LOAD(c + (term + 1) * n * W + i));
            }
            V parts = LOAD(j + i) * LOAD(k + i) * squared;
            STORE(w->strength + p * (n * W) + i, FMA(odd, t, even) * parts);
        }
    }
}

/* The same where etas are too large for a table. */
INLINE void NAME(set_steep_strengths)(Scratch *w, const double *own, const double *eta,
                                      const int n) {
    for (int64_t p = 0; p < w->pairs.n; p++) {
        const uint64_t code = bits_of(w->pairs.code[p]);
        const double *j = own + FIRST_OF(code) * (n * W), *k = own + SECOND_OF(code) * (n * W);
        const V s = ALL(w->pairs.s[p]), fade = ALL(w->pairs.rest[p]);
#pragma GCC unroll 2
        for (int i = 0; i < n * W; i += W) {
            V both = NAME(exp2)(LOAD(eta + i) * s) * fade;
            STORE(w->strength + p * (n * W) + i, both * (LOAD(j + i) * LOAD(k + i)));
        }
    }
}

/* Add all pairs to the features of n vectors of etas and so many angles. */
INLINE void NAME(add_products)(const Scratch *w, const double *angle, double *sums, int64_t width,
                               const int n, const int angles) {
    V part[8];
#pragma GCC unroll 8
    for (int a = 0; a < n * angles; a++)
        part[a] = LOAD(sums + a / n * width + a % n * W);
    for (int64_t p = 0; p < w->pairs.n; p++) {
        const double *strength = w->strength + p * (n * W);
#pragma GCC unroll 8
        for (int a = 0; a < n * angles; a++)
            part[a] = FMA(LOAD(strength + a % n * W), ALL(angle[a / n * ROOM + p]), part[a]);
    }
#pragma GCC unroll 8
    for (int a = 0; a < n * angles; a++)
        STORE(sums + a / n * width + a % n * W, part[a]);
}

/* Add all pairs to the features of n vectors of etas, from the e-th eta on. */
INLINE void NAME(add_features)(const Plan *plan, Scratch *w, const int64_t *f, int64_t width,
                               int64_t e, const int n) {
    const int64_t angles = f[N_LAMBDA] * f[N_ZETA];
    const int64_t zero = f[TABLE_INTERVALS] - 1 - f[N_INTERVALS]; /* which one is interval 0 */
    const int64_t begin = f[TABLE] + TERMS * (e * f[TABLE_INTERVALS] + zero * n * W);
    const double *own = w->own + e * w->near.n;
    if (f[TABLE])
        NAME(set_strengths)(w, own, plan->floats + begin, n);
    else
        NAME(set_steep_strengths)(w, own, plan->floats + f[ETA] + e, n);
    for (int64_t i = 0; i < angles;) {
        const int64_t left = angles - i;
        const double *from = w->angle + i * ROOM;
        double *to = w->sums + i * width + e;
        if (n == 1 && left >= 8) NAME(add_products)(w, from, to, width, n, 8 / n), i += 8;
        else if (left >= 4) NAME(add_products)(w, from, to, width, n, 4), i += 4;
        else if (left >= 2) NAME(add_products)(w, from, to, width, n, 2), i += 2;
        else NAME(add_products)(w, from, to, width, n, 1), i += 1;
    }
}

/* Add the pairs collected so far to the sums. */
static TARGET void NAME(add_pairs)(const Plan *plan, Scratch *w, const int64_t *f) {
    const int64_t width = (f[N_GRID] + W - 1) / W * W;
    const double limit = plan->cutoff * plan->cutoff;
    if (f[TABLE]) NAME(set_places)(w, limit, (double)f[N_INTERVALS] / limit);
    else NAME(set_fades)(w, limit);
    NAME(set_angles)(w, plan, f);
    int64_t e = 0;
    for (; e + 2 * W <= width; e += 2 * W) NAME(add_features)(plan, w, f, width, e, 2);
    if (e < width) NAME(add_features)(plan, w, f, width, e, 1);
    w->pairs.n = 0;
}

/* ---- angular features --------------------------------------------------------------------------- */

/* What each neighbour gives to its pairs: w exp(-eta r^2) f_c(r), for n vectors of etas. */
INLINE void NAME(set_own_part)(Scratch *w, const double *eta, const double *weight, double *own,
                               const int n) {
    for (int64_t j = 0; j < w->near.n; j++, own += n * W) {
        V strength = ALL(w->fade[j] * weight[w->near.number[j]]), s = ALL(w->near.s[j]);
#pragma GCC unroll 2
        for (int i = 0; i < n * W; i += W)
            STORE(own + i, NAME(exp2)(LOAD(eta + i) * s) * strength);
    }
}

static TARGET void NAME(set_own)(const Plan *plan, Scratch *w, const int64_t *f) {
    const double *eta = plan->floats + f[ETA], *weight = plan->floats + f[FAMILY_WEIGHT];
    const int64_t n = w->near.n;
    int64_t e = 0;
    for (; e + W < f[N_GRID]; e += 2 * W)
        NAME(set_own_part)(w, eta + e, weight, w->own + e * n, 2);
    if (e < f[N_GRID]) NAME(set_own_part)(w, eta + e, weight, w->own + e * n, 1);
}

/* Every neighbour of one range with every one of another; of the same range: every two. How many
 * pairs were close enough. */
static TARGET int64_t NAME(add_rectangle)(const Plan *plan, Scratch *w, const int64_t *f,
                                          const int64_t *rectangle, V *nearest) {
    const double limit = plan->ints[CLIP_THIRD] ? plan->cutoff * plan->cutoff : BELOW_TOO_FAR;
    const int same = rectangle[0] == rectangle[2];
    int64_t begin = w->class_start[rectangle[0]], end = w->class_start[rectangle[1]];
    int64_t from = w->class_start[rectangle[2]], to = w->class_start[rectangle[3]];
    if (to - from < end - begin) {
        int64_t b = begin, e = end;
        begin = from, end = to, from = b, to = e;
    }
    int64_t found = 0;
    for (int64_t j = begin; j < end; j++)
        for (int64_t k = same ? j + 1 : from; k < to; k += PAIRS) {
            int64_t before = w->pairs.n;
            NAME(add_row)(w, j, k, k + PAIRS < to ? k + PAIRS : to, limit, nearest);
            found += w->pairs.n - before;
            if (w->pairs.n >= PAIRS) NAME(add_pairs)(plan, w, f);
        }
    return found;
}

static TARGET void NAME(angular_block)(const Plan *plan, Scratch *w, const int64_t *f,
                                       const int64_t *b, double *values, V *nearest) {
    const int64_t angles = f[N_LAMBDA] * f[N_ZETA], width = (f[N_GRID] + W - 1) / W * W;
    const double *factor = plan->floats + b[FACTOR];
    int64_t found = 0;
    memset(w->sums, 0, (size_t)(width * angles) * sizeof(double));
    for (int64_t i = 0; i < b[N_RECTANGLES]; i++)
        found += NAME(add_rectangle)(plan, w, f, plan->ints + b[RECTANGLES] + 4 * i, nearest);
    if (!found) return;
    if (w->pairs.n) NAME(add_pairs)(plan, w, f);
    values += b[COLUMN];
    for (int64_t e = 0; e < f[N_GRID]; e++)
        for (int64_t a = 0; a < angles; a++) *values++ = factor[a] * w->sums[a * width + e];
}

static TARGET void NAME(look_at_pairs)(const Near *a, V *nearest) {
    V least = *nearest;
    for (int64_t j = 0; j < a->n; j++)
        for (int64_t k = j + 1; k < a->n; k += W) {
            V x = LOAD(a->x + k) - ALL(a->x[j]), y = LOAD(a->y + k) - ALL(a->y[j]);
            V z = LOAD(a->z + k) - ALL(a->z[j]);
            least = MIN(least, x * x + y * y + z * z);
        }
    *nearest = least;
}

/* ---- one absorber ------------------------------------------------------------------------------- */

static TARGET void NAME(set_neighbours)(const Plan *plan, Scratch *w, double *values,
                                        double *least) {
    Near *a = &w->near;
    const V limit = ALL(plan->cutoff * plan->cutoff), scale = ALL(1.0) / limit;
    double sum = 0.0;
    for (int64_t i = a->n; i < a->n + PAD; i++) /* read with the last ones, and never near */
        a->x[i] = FAR_AWAY, a->y[i] = a->z[i] = a->s[i] = w->inverse[i] = 0.0;
    for (int64_t i = 0; i < a->n; i += W)
        STORE(w->fade + i, NAME(fade)(LOAD(a->s + i), limit, scale));
    for (int64_t i = 0; i < a->n; i++) {
        double r = sqrt(a->s[i]);
        w->r[i] = r;
        w->inverse[i] = r > 0.0 ? 1.0 / r : 0.0;
        sum += w->fade[i];
        *least = a->s[i] < *least ? a->s[i] : *least;
    }
    if (plan->ints[HAS_G1]) values[0] = sum;
}

static TARGET void NAME(site)(const Plan *plan, Scratch *w, double *values, double *closest) {
    double least = INFINITY;
    memset(values, 0, (size_t)plan->ints[N_FEATURES] * sizeof(double));
    NAME(set_neighbours)(plan, w, values, &least);
    V nearest = ALL(least);
    int complete = 0;
    for (int64_t i = 0; i < plan->ints[N_FAMILIES]; i++) {
        const int64_t *f = plan->ints + HEAD_INTS + i * FAMILY_INTS;
        if (f[KIND] == RADIAL) {
            NAME(radial)(plan, w, f, values);
            continue;
        }
        NAME(set_own)(plan, w, f);
        for (int64_t k = 0; k < f[N_BLOCKS]; k++)
            NAME(angular_block)(plan, w, f, plan->ints + f[BLOCKS] + k * ANGULAR_INTS, values,
                                &nearest);
        complete |= f[COMPLETE] != 0;
    }
    if (!complete) NAME(look_at_pairs)(&w->near, &nearest);
    for (int i = 0; i < W; i++) least = nearest[i] < least ? nearest[i] : least;
    *closest = sqrt(least);
}

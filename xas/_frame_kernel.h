/* The search among atoms that stand side by side; included by _wacsf.c once an instruction set. */

#define PORTION 64

/* Append those of begin..end that are closer than the limit; there is room for all. Distances are
 * reckoned in the order of operations of neighbours.py, whatever the images: the same bits. */
INLINE void NAME(search_images)(const Frame *f, const Query *q, int64_t begin, int64_t end,
                                  Near *near, const int images) {
    const V x0 = ALL(q->x), y0 = ALL(q->y), z0 = ALL(q->z), limit = ALL(q->limit);
    const V magic = ALL(0x1.8p52), last = ALL((double)(end - 1));
    const double *c = f->cell, *dual = f->duals;
    double index[PORTION + PAD];
    for (int64_t i = begin; i < end;) {
        int64_t stop = i + PORTION < end ? i + PORTION : end, first = near->n, n = first;
        for (; i < stop; i += W) {
            V x = SINGLE(f->x + i) - x0, y = SINGLE(f->y + i) - y0, z = SINGLE(f->z + i) - z0;
            V n0, n1, n2;
            if (images == NEAREST) { /* the one whose fractional distances lie in -0.5..0.5 */
                n0 = FMA(x, ALL(dual[0]), FMA(y, ALL(dual[1]), z * ALL(dual[2])));
                n1 = FMA(x, ALL(dual[3]), FMA(y, ALL(dual[4]), z * ALL(dual[5])));
                n2 = FMA(x, ALL(dual[6]), FMA(y, ALL(dual[7]), z * ALL(dual[8])));
                n0 = magic - (n0 + magic), n1 = magic - (n1 + magic), n2 = magic - (n2 + magic);
            } else if (images == SHIFTED) {
                n0 = ALL(q->shift[0]) - LOAD(f->shift[0] + i);
                n1 = ALL(q->shift[1]) - LOAD(f->shift[1] + i);
                n2 = ALL(q->shift[2]) - LOAD(f->shift[2] + i);
            }
            if (images != NONE) {
                x += (n0 * ALL(c[0]) + n1 * ALL(c[3])) + n2 * ALL(c[6]);
                y += (n0 * ALL(c[1]) + n1 * ALL(c[4])) + n2 * ALL(c[7]);
                z += (n0 * ALL(c[2]) + n1 * ALL(c[5])) + n2 * ALL(c[8]);
            }
            V s = x * x + y * y + z * z, at = LOAD(COUNTING) + ALL((double)i);
            /* lanes beyond the end are moved beyond every limit */
            NAME(Mask) mask = BELOW(FMA(MAX(at - last, ALL(0.0)), ALL(1e300), s), limit);
            PACK(near->x + n, mask, x);
            PACK(near->y + n, mask, y);
            PACK(near->z + n, mask, z);
            PACK(near->s + n, mask, s);
            PACK(index + (n - first), mask, at);
            n += COUNT(mask);
        }
        for (int64_t k = first; k < n; k++)
            near->number[k] = f->number[(int64_t)index[k - first]];
        near->n = n;
    }
}

static TARGET void NAME(search)(const Frame *f, const Query *q, int64_t begin, int64_t end,
                                Near *near) {
    if (f->images == NONE) NAME(search_images)(f, q, begin, end, near, NONE);
    else if (f->images == NEAREST) NAME(search_images)(f, q, begin, end, near, NEAREST);
    else NAME(search_images)(f, q, begin, end, near, SHIFTED);
}

#undef PORTION

/* One structure laid out for the search, and one question to it; see _frame.c. */
#ifndef FRAME_H
#define FRAME_H

#include "_wacsf.h"

/* Which images of an atom a search looks at: itself; the one that is nearest along the axes; the one
 * that the query and the atom's own shift name. */
enum { NONE, NEAREST, SHIFTED };

struct Frame {
    int binned, images;
    double cutoff;
    int64_t n, room;
    float *x, *y, *z;            /* (n) as they came; binned: sorted by bin */
    double *shift[3];            /* SHIFTED (n): which cell an atom lies in, along each axis */
    const uint8_t *number;       /* (n) in the same order */
    uint8_t *sorted_number;
    int64_t *turn;               /* SHIFTED (n, 3): the same as they came */
    int32_t *place;              /* binned (n): where atom i of the structure stands */
    int32_t *start;              /* binned (n_bins + 1): where each bin begins */
    int64_t start_room, bins[3]; /* bins along each axis, the last one runs fastest */
    int periodic[3];
    double axis[3][3];   /* an atom's coordinate along axis a: axis[a] . position - origin[a] */
    double origin[3];    /* 0 where periodic */
    double per_bin[3];   /* bins a unit of that coordinate */
    double reach[3];     /* how many bins the cutoff reaches, with a margin for rounding */
    const double *cell, *duals;
};

struct Query {
    double x, y, z;  /* of the absorber */
    double limit;    /* cutoff^2 */
    double shift[3]; /* SHIFTED: the image of an atom is this minus its own shift */
};

#endif

/* The entries of a plan; wacsf_plan.py writes them and says what they mean. */
#ifndef PLAN_H
#define PLAN_H

#define FAMILY_INTS 15
#define RADIAL_INTS 4
#define ANGULAR_INTS 4
/* A table is [groups of etas][TABLE_INTERVALS][TERMS][etas of the group]: groups of two vectors, the
 * last one of one. N_INTERVALS of them make up the squared cutoff, and below interval 0
 * there are more where the third distance is not clipped. */
#define TERMS 6

enum { RADIAL = 1, ANGULAR = 2 };

/* a family: blocks of features that share a grid; MU and EVEN of radial ones, the rest of angular */
enum { KIND, N_BLOCKS, BLOCKS, N_GRID, ETA, N_SUMS, FAMILY_WEIGHT, N_LAMBDA, LAMBDA, N_ZETA, ZETA,
       TABLE, N_INTERVALS, TABLE_INTERVALS, COMPLETE };
enum { MU = FAMILY_WEIGHT, EVEN = N_LAMBDA };

/* a block; GROUPS and WEIGHT of radial ones, FACTOR and RECTANGLES of angular ones */
enum { COLUMN, N_GROUPS, GROUPS, WEIGHT };
enum { FACTOR = N_GROUPS, N_RECTANGLES = GROUPS, RECTANGLES = WEIGHT };

#endif

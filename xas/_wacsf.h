/* What the kernel (_wacsf.c) and the way into it from Python (_wacsf_module.c) share.
 *
 * Parameters come as three arrays from wacsf_kernel.py, which alone calls the module:
 *   ints    n_features, has G1, clips the third distance, n_blocks, then BLOCK_INTS a block
 *   floats  cutoff, then grids and weights; a block holds where its own begin
 *   tables  for each atomic number (256): its group, or whether it belongs to a side of a pair
 */
#ifndef WACSF_H
#define WACSF_H

#include <stdint.h>

#define BLOCK_INTS 12

typedef struct {
    const int64_t *ints;
    const double *floats;
    const int16_t *tables;
    double cutoff;
} Plan;

/* One structure: positions, numbers, lattice. */
typedef struct {
    const float *positions;
    const uint8_t *numbers;
    int64_t n;
    const double *cell, *duals; /* NULL: not periodic */
} Structure;

typedef struct Scratch Scratch;
typedef void (*SiteFunction)(const Plan *, Scratch *, double *values, double *closest);

typedef struct {
    const char *name;
    SiteFunction site;
} InstructionSet;

/* Those that this processor can run, fastest first, ended by a NULL name. */
const InstructionSet *instruction_sets(void);

/* Features of sites in structures. whole holds all structures, one after the other; offsets,
 * structure and atom are as in StructureBatch and Sites and have been checked.
 * -1: all done; -2: no memory; else the first site with more than most neighbours. */
int64_t run_sites(const Plan *plan, SiteFunction site, const Structure *whole,
                  const int64_t *offsets, const int64_t *structure, const int64_t *atom,
                  int64_t n_sites, int64_t most, double *values, double *closest);

/* Features of given neighbours; 0, or not: no memory. */
int run_given(const Plan *plan, SiteFunction site, const uint8_t *numbers, const double *vectors,
              const int64_t *offsets, int64_t n_sites, double *values, double *closest);

#endif

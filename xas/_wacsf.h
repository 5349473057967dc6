/* What the files of the kernel share.
 *
 *   _wacsf_module.c   the way in from Python; checks every array
 *   _wacsf.c          loops over sites; memory; the instruction sets
 *   _wacsf_kernel.h   features of one absorber, compiled once an instruction set
 *   _frame.c          one structure, laid out for the search: plain, wrapped or in bins
 *   _frame_kernel.h   the search itself, compiled once an instruction set
 */
#ifndef WACSF_H
#define WACSF_H

#include <stdint.h>

#define PAD 8 /* the widest vector: arrays may be read and written this far beyond their end */

#define ELEMENTS 256 /* tables have an entry for each uint8 */

/* A spec as wacsf_plan.py packs it, which documents the three arrays; ints begins with HEAD. */
enum { N_FEATURES, HAS_G1, CLIP_THIRD, N_FAMILIES, N_CLASSES, HEAD_INTS };

typedef struct {
    const int64_t *ints;
    const double *floats;
    const int16_t *tables;
    double cutoff;
} Plan;

/* Structures, one after the other, as in StructureBatch. */
typedef struct {
    const float *positions;
    const uint8_t *numbers;
    const int64_t *offsets;
    const double *cells, *duals; /* NULL: none is periodic */
} Structures;

/* Sites, as in Sites; an absorber may have at most this many neighbours. */
typedef struct {
    const int64_t *structure, *atom;
    int64_t n, most;
} SiteList;

/* Where features go: rows of double, or of float where single is not NULL. */
typedef struct {
    double *rows;
    float *single;
    double *closest;
} Output;

/* Neighbours of one absorber: from it, squared distance, whose. */
typedef struct {
    int64_t n, room;
    double *x, *y, *z, *s;
    uint8_t *number;
} Near;

/* Neighbours of many absorbers, end to end; ends has one entry a site. */
typedef struct {
    int64_t n, room;
    double *vectors;
    uint8_t *numbers;
    int64_t *ends;
} Found;

typedef struct Scratch Scratch;
typedef struct Frame Frame;
typedef struct Query Query;

typedef struct {
    const char *name;
    int lanes; /* doubles in a vector; plans are packed for it */
    void (*site)(const Plan *, Scratch *, double *values, double *closest);
    void (*search)(const Frame *, const Query *, int64_t begin, int64_t end, Near *);
} InstructionSet;

/* Those that this processor can run, fastest first, ended by a NULL name. */
const InstructionSet *instruction_sets(void);

/* Each of these: ALL_DONE, NO_MEMORY, or the first site with more neighbours than it may have. */
enum { ALL_DONE = -1, NO_MEMORY = -2 };
int64_t run_sites(const Plan *, const InstructionSet *, const Structures *, const SiteList *, Output);
int64_t run_given(const Plan *, const InstructionSet *, const uint8_t *numbers,
                  const double *vectors, const int64_t *offsets, int64_t n_sites, Output);
int64_t run_search(double cutoff, const InstructionSet *, const Structures *, const SiteList *,
                   Found *);

/* Room for n neighbours and the padding; those found so far stay. Not 0: no memory. */
int reserve_near(Near *, int64_t n);
void release_near(Near *);

Frame *new_frame(void);
void release_frame(Frame *);
/* Lay out structure i for n_sites searches within the cutoff. Not 0: no memory. */
int lay_out(Frame *, const Structures *, int64_t i, double cutoff, int64_t n_sites);
/* All neighbours of an atom; may stop beyond most. Not 0: no memory. */
int find_neighbours(const Frame *, const InstructionSet *, int64_t atom, int64_t most, Near *);

#endif

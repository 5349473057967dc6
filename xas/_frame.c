/* Neighbours of many atoms of one structure, periodic images included.
 *
 * A structure is laid out once for all its searches. Its atoms stay as they come, and every one is
 * looked at; or they are sorted into bins (cell lists), and only bins within reach are looked at: in
 * large structures with many absorbers, and in small cells, whose bins come back as images.
 *
 * Bins are parallelepipeds: along a periodic axis an atom's coordinate is its fraction of the cell,
 * folded into 0..1; the other axes are perpendicular to the periodic ones, and to each other. Along
 * each, two atoms within the cutoff differ by no more than `reach`, which is all that bins need, so
 * that skewed, flat and tiny cells are no special case.
 */
#include "_frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS_A_CUTOFF 2.0 /* half as wide as the cutoff: 5^3 small bins hold less than 3^3 large */
#define FEW_ATOMS 2048    /* below, looking at all costs less than the features of one absorber */
#define FEW_SITES 12      /* below, looking at all costs less than sorting */
#define PORTION 256

Frame *new_frame(void) { return calloc(1, sizeof(Frame)); }

void release_frame(Frame *f) {
    if (!f) return;
    free(f->x), free(f->y), free(f->z), free(f->shift[0]), free(f->shift[1]), free(f->shift[2]);
    free(f->sorted_number), free(f->turn), free(f->place), free(f->start), free(f);
}

static int grow(void *array, int64_t n, size_t item) {
    void **place = array;
    free(*place);
    *place = calloc((size_t)n, item);
    return !*place;
}

static int reserve_atoms(Frame *f, int64_t n) {
    if (n + PAD <= f->room) return 0;
    int64_t room = n + n / 4 + 64 + PAD;
    f->room = 0;
    if (grow(&f->x, room, 4) || grow(&f->y, room, 4) || grow(&f->z, room, 4)) return -1;
    free(f->place);
    f->place = NULL; /* the rest has to grow, too, once it is needed */
    f->room = room;
    return 0;
}

static int reserve_bins(Frame *f, int64_t n_bins) {
    if (!f->place) {
        if (grow(&f->sorted_number, f->room, 1) || grow(&f->place, f->room, 4)) return -1;
        free(f->turn);
        f->turn = NULL;
    }
    if (f->images == SHIFTED && !f->turn) {
        for (int a = 0; a < 3; a++)
            if (grow(&f->shift[a], f->room, 8)) return -1;
        if (grow(&f->turn, 3 * f->room, 8)) return -1;
    }
    if (n_bins + 1 <= f->start_room) return 0;
    f->start_room = 0;
    if (grow(&f->start, 2 * n_bins + 1, 4)) return -1;
    f->start_room = 2 * n_bins + 1;
    return 0;
}

/* ---- axes ------------------------------------------------------------------------------------ */

static double length(const double *v) { return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]); }

/* A unit vector perpendicular to all periodic axes and to those already made perpendicular. */
static void add_perpendicular(Frame *f, int which, const int *known) {
    double best[3] = {0.0, 0.0, 0.0}, best_length = -1.0;
    double unit[3][3];
    int n = 0;
    for (int a = 0; a < 3; a++) { /* an orthonormal basis of what is known */
        if (!known[a]) continue;
        memcpy(unit[n], f->axis[a], sizeof unit[n]);
        for (int b = 0; b < n; b++) {
            double dot = unit[n][0] * unit[b][0] + unit[n][1] * unit[b][1] + unit[n][2] * unit[b][2];
            for (int k = 0; k < 3; k++) unit[n][k] -= dot * unit[b][k];
        }
        double size = length(unit[n]);
        for (int k = 0; k < 3; k++) unit[n][k] /= size;
        n++;
    }
    for (int d = 0; d < 3; d++) {
        double v[3] = {d == 0, d == 1, d == 2};
        for (int twice = 0; twice < 2; twice++)
            for (int b = 0; b < n; b++) {
                double dot = v[0] * unit[b][0] + v[1] * unit[b][1] + v[2] * unit[b][2];
                for (int k = 0; k < 3; k++) v[k] -= dot * unit[b][k];
            }
        if (length(v) <= best_length) continue;
        best_length = length(v);
        memcpy(best, v, sizeof best);
    }
    for (int k = 0; k < 3; k++) f->axis[which][k] = best[k] / best_length;
}

static void set_axes(Frame *f) {
    int known[3];
    for (int a = 0; a < 3; a++) {
        known[a] = f->periodic[a] = f->duals && length(f->duals + 3 * a) > 0.0;
        if (known[a]) memcpy(f->axis[a], f->duals + 3 * a, sizeof f->axis[a]);
    }
    for (int a = 0; a < 3; a++) {
        if (known[a]) continue;
        add_perpendicular(f, a, known);
        known[a] = 1;
    }
}

static double along(const Frame *f, int a, double x, double y, double z) {
    const double *axis = f->axis[a];
    return (axis[0] * x + axis[1] * y + axis[2] * z) - f->origin[a];
}

/* ---- bins ------------------------------------------------------------------------------------ */

/* From where to where the atoms reach along an axis. */
static void find_extent(const Frame *f, int a, double *low, double *high) {
    *low = INFINITY, *high = -INFINITY;
    for (int64_t i = 0; i < f->n; i++) {
        double u = along(f, a, f->x[i], f->y[i], f->z[i]);
        *low = u < *low ? u : *low, *high = u > *high ? u : *high;
    }
}

/* How many bins along each axis: as narrow as it helps, but no more in all than atoms. */
static void set_bins(Frame *f) {
    double reach[3], extent[3], size[3], total = 1.0;
    for (int a = 0; a < 3; a++) {
        double low = 0.0, high = 1.0;
        f->origin[a] = 0.0;
        if (!f->periodic[a]) find_extent(f, a, &low, &high);
        f->origin[a] = low;
        extent[a] = high - low;
        reach[a] = f->cutoff * length(f->axis[a]);
        size[a] = fmax(1.0, extent[a] * BINS_A_CUTOFF / reach[a]);
        total *= size[a];
    }
    for (; total > (double)f->n + 64.0; total = size[0] * size[1] * size[2]) {
        int a = size[0] >= size[1] && size[0] >= size[2] ? 0 : size[1] >= size[2] ? 1 : 2;
        size[a] = fmax(1.0, 0.75 * size[a]);
    }
    for (int a = 0; a < 3; a++) {
        double rounding = 1e-9 + 1e-9 * reach[a];
        f->bins[a] = (int64_t)size[a];
        f->per_bin[a] = extent[a] > 0.0 ? (double)f->bins[a] / extent[a] : 0.0;
        f->reach[a] = (reach[a] + rounding) * f->per_bin[a] + 1e-9;
    }
}

/* The bin of a coordinate; what remains of it, and the cell that it lay in. */
static inline int64_t fold(const Frame *f, int a, double *u, int64_t *turn) {
    int64_t cell = 0;
    if (f->periodic[a]) { /* floor, which is slow where it is a call */
        cell = (int64_t)*u;
        cell -= *u < (double)cell;
    }
    *turn = cell;
    *u = (*u - (double)cell) * f->per_bin[a];
    int64_t bin = (int64_t)*u;
    return bin < 0 ? 0 : bin < f->bins[a] ? bin : f->bins[a] - 1;
}

/* Put each atom where its bin has room; atoms of one bin keep their order. */
static void scatter(Frame *f, const float *p, const uint8_t *number) {
    for (int64_t i = 0; i < f->n; i++) {
        int64_t k = f->start[f->place[i]]++;
        f->place[i] = (int32_t)k;
        f->x[k] = p[3 * i], f->y[k] = p[3 * i + 1], f->z[k] = p[3 * i + 2];
        f->sorted_number[k] = number[i];
    }
    for (int64_t i = 0; f->images == SHIFTED && i < f->n; i++)
        for (int a = 0; a < 3; a++) f->shift[a][f->place[i]] = (double)f->turn[3 * i + a];
    f->number = f->sorted_number;
}

/* Sort by bin, by counting. */
static int sort_into_bins(Frame *f, const float *p, const uint8_t *number) {
    set_axes(f);
    set_bins(f);
    int64_t n_bins = f->bins[0] * f->bins[1] * f->bins[2];
    if (reserve_bins(f, n_bins)) return -1;
    memset(f->start, 0, (size_t)(n_bins + 1) * sizeof *f->start);
    for (int64_t i = 0; i < f->n; i++) {
        int64_t bin = 0, turn[3];
        for (int a = 0; a < 3; a++) {
            double u = along(f, a, f->x[i], f->y[i], f->z[i]);
            bin = bin * f->bins[a] + fold(f, a, &u, turn + a);
        }
        if (f->images == SHIFTED) memcpy(f->turn + 3 * i, turn, sizeof turn);
        f->place[i] = (int32_t)bin;
        f->start[bin + 1]++;
    }
    for (int64_t b = 0; b < n_bins; b++) f->start[b + 1] += f->start[b];
    scatter(f, p, number);
    memmove(f->start + 1, f->start, (size_t)n_bins * sizeof *f->start);
    f->start[0] = 0;
    return 0;
}

/* Whether no two images of one atom can be within the cutoff of another atom. */
static int one_image(const double *duals, double cutoff) {
    for (int a = 0; a < 3; a++)
        if (!(cutoff * length(duals + 3 * a) < 0.499)) return 0;
    return 1;
}

int lay_out(Frame *f, const Structures *all, int64_t i, double cutoff, int64_t n_sites) {
    static const double nowhere[9];
    const int64_t begin = all->offsets[i];
    const float *p = all->positions + 3 * begin;
    f->n = all->offsets[i + 1] - begin;
    f->number = all->numbers + begin;
    f->cutoff = cutoff;
    f->duals = all->duals ? all->duals + 9 * i : nowhere;
    f->cell = all->duals ? all->cells + 9 * i : nowhere;
    if (f->n > INT32_MAX || reserve_atoms(f, f->n)) return -1;
    int periodic = memcmp(f->duals, nowhere, sizeof nowhere) != 0;
    for (int64_t k = 0; k < f->n; k++)
        f->x[k] = p[3 * k], f->y[k] = p[3 * k + 1], f->z[k] = p[3 * k + 2];
    f->images = !periodic ? NONE : one_image(f->duals, cutoff) ? NEAREST : SHIFTED;
    f->binned = f->images == SHIFTED || (f->n > FEW_ATOMS && n_sites >= FEW_SITES);
    return f->binned ? sort_into_bins(f, p, all->numbers + begin) : 0;
}

/* ---- search ----------------------------------------------------------------------------------- */

/* begin..end without the absorber itself, if it stands there. */
static int search_without(const Frame *f, const InstructionSet *set, const Query *q, int64_t begin,
                          int64_t end, int64_t itself, int64_t most, Near *near) {
    if (begin <= itself && itself < end)
        return search_without(f, set, q, begin, itself, -1, most, near) ||
               search_without(f, set, q, itself + 1, end, -1, most, near);
    for (; begin < end && near->n <= most; begin += PORTION) {
        int64_t stop = begin + PORTION < end ? begin + PORTION : end;
        if (reserve_near(near, near->n + stop - begin)) return -1;
        set->search(f, q, begin, stop, near);
    }
    return 0;
}

static int64_t quotient(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/* The bins low..high along the last axis, images of them where these lie outside the cell. */
static int search_row(const Frame *f, const InstructionSet *set, Query *q, const double *shift,
                      const int64_t *image, int64_t row, int64_t low, int64_t high, int64_t itself,
                      int64_t most, Near *near) {
    const int64_t bins = f->bins[2];
    for (int64_t turn = quotient(low, bins); low <= high; low = ++turn * bins) {
        int64_t last = (turn + 1) * bins - 1 < high ? (turn + 1) * bins - 1 : high;
        const int32_t *start = f->start + (row * bins + low - turn * bins);
        int home = f->images != SHIFTED || (!image[0] && !image[1] && !turn);
        q->shift[2] = shift[2] + (double)turn;
        if (search_without(f, set, q, start[0], start[last + 1 - low], home ? itself : -1, most,
                           near))
            return -1;
    }
    return 0;
}

static int search_bins(const Frame *f, const InstructionSet *set, Query *q, int64_t itself,
                       int64_t most, Near *near) {
    int64_t low[3], high[3], image[2];
    double shift[3];
    for (int a = 0; a < 3; a++) {
        double u = along(f, a, q->x, q->y, q->z);
        int64_t turn;
        fold(f, a, &u, &turn);
        shift[a] = (double)turn;
        low[a] = (int64_t)floor(u - f->reach[a]), high[a] = (int64_t)floor(u + f->reach[a]);
        if (!f->periodic[a]) { /* there is nothing beyond the last bin */
            low[a] = low[a] < 0 ? 0 : low[a];
            high[a] = high[a] < f->bins[a] ? high[a] : f->bins[a] - 1;
        } else if (f->images == NEAREST && high[a] >= low[a] + f->bins[a]) { /* each bin once */
            high[a] = low[a] + f->bins[a] - 1;
        }
    }
    for (int64_t i = low[0]; i <= high[0]; i++)
        for (int64_t j = low[1]; j <= high[1] && near->n <= most; j++) {
            image[0] = quotient(i, f->bins[0]), image[1] = quotient(j, f->bins[1]);
            q->shift[0] = shift[0] + (double)image[0], q->shift[1] = shift[1] + (double)image[1];
            int64_t row = (i - image[0] * f->bins[0]) * f->bins[1] + j - image[1] * f->bins[1];
            if (search_row(f, set, q, shift, image, row, low[2], high[2], itself, most, near))
                return -1;
        }
    return 0;
}

int find_neighbours(const Frame *f, const InstructionSet *set, int64_t atom, int64_t most,
                    Near *near) {
    int64_t itself = f->binned ? f->place[atom] : atom;
    Query q = {f->x[itself], f->y[itself], f->z[itself], f->cutoff * f->cutoff, {0.0, 0.0, 0.0}};
    near->n = 0;
    if (f->binned) return search_bins(f, set, &q, itself, most, near);
    return search_without(f, set, &q, 0, f->n, itself, most, near);
}

/* The Python module xas._wacsf: checks the arrays it is given, releases the interpreter's lock and
 * calls the kernel. Built for the stable ABI of Python 3.11. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "_plan.h"
#include "_wacsf.h"

static const InstructionSet *find_set(const char *name) {
    for (const InstructionSet *set = instruction_sets(); set->name; set++)
        if (!strcmp(set->name, name)) return set;
    PyErr_Format(PyExc_ValueError, "this processor cannot run '%s'", name);
    return NULL;
}

static PyObject *py_instruction_sets(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *sets = PyDict_New();
    if (!sets) return NULL;
    for (const InstructionSet *set = instruction_sets(); set->name; set++) {
        PyObject *lanes = PyLong_FromLong(set->lanes);
        int failed = !lanes || PyDict_SetItemString(sets, set->name, lanes);
        Py_XDECREF(lanes);
        if (failed) {
            Py_DECREF(sets);
            return NULL;
        }
    }
    return sets;
}

/* ---- views of arrays ----------------------------------------------------------------------------- */

#define MAX_VIEWS 14

/* Buffers held during a call. */
typedef struct {
    Py_buffer held[MAX_VIEWS];
    int n;
} Views;

static void let_go(Views *views) {
    while (views->n) PyBuffer_Release(&views->held[--views->n]);
}

/* The data of a contiguous array of items of this size, and how many; NULL with an error set. */
static void *view(Views *views, PyObject *object, size_t item, int writable, int64_t *n) {
    Py_buffer *b = &views->held[views->n];
    if (PyObject_GetBuffer(object, b, writable ? PyBUF_CONTIG : PyBUF_CONTIG_RO)) return NULL;
    views->n++;
    if (item && (size_t)b->itemsize != item) {
        PyErr_SetString(PyExc_TypeError, "an array has items of another size than expected");
        return NULL;
    }
    *n = b->len / b->itemsize;
    return b->buf;
}

static int refuse(int wrong, const char *words) {
    if (wrong) PyErr_SetString(PyExc_ValueError, words);
    return wrong;
}

static int view_plan(Views *views, PyObject *const *o, Plan *plan) {
    int64_t n_ints, n, n_tables;
    plan->ints = view(views, o[0], 8, 0, &n_ints);
    if (!plan->ints || !(plan->floats = view(views, o[1], 8, 0, &n)) ||
        !(plan->tables = view(views, o[2], 2, 0, &n_tables)))
        return -1;
    if (refuse(n_ints < HEAD_INTS ||
                   n_ints < HEAD_INTS + plan->ints[N_FAMILIES] * FAMILY_INTS || n < 1 ||
                   n_tables < 256,
               "not a plan"))
        return -1;
    plan->cutoff = plan->floats[0];
    return 0;
}

static int rising(const int64_t *offsets, int64_t n, int64_t end) {
    if (n < 1 || offsets[0] != 0 || offsets[n - 1] != end) return 0;
    for (int64_t i = 1; i < n; i++)
        if (offsets[i] < offsets[i - 1]) return 0;
    return 1;
}

static int sites_exist(const int64_t *offsets, int64_t n_structures, const SiteList *sites) {
    for (int64_t i = 0; i < sites->n; i++) {
        int64_t s = sites->structure[i];
        if (s < 0 || s >= n_structures || sites->atom[i] < 0 ||
            sites->atom[i] >= offsets[s + 1] - offsets[s])
            return 0;
    }
    return 1;
}

/* numbers, positions, offsets, cells or None, duals, structure and atom of each site */
static int view_sites(Views *views, PyObject *const *o, Structures *all, SiteList *sites) {
    int64_t n, n_coordinates, n_offsets, n_atom, n_cell = 0, n_dual = 0;
    if (!(all->numbers = view(views, o[0], 1, 0, &n)) ||
        !(all->positions = view(views, o[1], 4, 0, &n_coordinates)) ||
        !(all->offsets = view(views, o[2], 8, 0, &n_offsets)) ||
        (o[3] != Py_None && (!(all->cells = view(views, o[3], 8, 0, &n_cell)) ||
                             !(all->duals = view(views, o[4], 8, 0, &n_dual)))) ||
        !(sites->structure = view(views, o[5], 8, 0, &sites->n)) ||
        !(sites->atom = view(views, o[6], 8, 0, &n_atom)))
        return -1;
    return refuse(n_coordinates != 3 * n, "positions do not match the atomic numbers") ||
           refuse(!rising(all->offsets, n_offsets, n), "offsets do not rise to the last atom") ||
           refuse(all->cells && (n_cell != 9 * (n_offsets - 1) || n_dual != n_cell),
                  "cells missing") ||
           refuse(n_atom != sites->n || !sites_exist(all->offsets, n_offsets - 1, sites),
                  "no such site");
}

/* values, of float or double, and closest */
static int view_output(Views *views, PyObject *const *o, int64_t n_sites, int64_t n_features,
                       Output *output) {
    int64_t n_values, n_closest;
    void *values = view(views, o[0], 0, 1, &n_values);
    if (!values) return -1;
    size_t item = (size_t)views->held[views->n - 1].itemsize;
    if (refuse(item != 4 && item != 8, "values are neither float32 nor float64")) return -1;
    output->rows = item == 8 ? values : NULL;
    output->single = item == 4 ? values : NULL;
    if (!(output->closest = view(views, o[1], 8, 1, &n_closest))) return -1;
    return refuse(n_closest != n_sites || n_values != n_sites * n_features,
                  "arrays of different lengths");
}

/* ---- calls --------------------------------------------------------------------------------------- */

static PyObject *py_featurise(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *o[12];
    SiteList sites = {0};
    const char *name;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOOOLs", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6,
                          o + 7, o + 8, o + 9, o + 10, o + 11, &sites.most, &name))
        return NULL;
    Views views = {.n = 0};
    Plan plan;
    Structures all = {0};
    Output output;
    const InstructionSet *set = find_set(name);
    if (!set || view_plan(&views, o, &plan) || view_sites(&views, o + 3, &all, &sites) ||
        view_output(&views, o + 10, sites.n, plan.ints[N_FEATURES], &output)) {
        let_go(&views);
        return NULL;
    }
    int64_t result;
    Py_BEGIN_ALLOW_THREADS
    result = run_sites(&plan, set, &all, &sites, output);
    Py_END_ALLOW_THREADS
    let_go(&views);
    return result == NO_MEMORY ? PyErr_NoMemory() : PyLong_FromLongLong(result);
}

static PyObject *py_from_neighbours(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *o[8];
    const char *name;
    if (!PyArg_ParseTuple(args, "OOOOOOOOs", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6, o + 7,
                          &name))
        return NULL;
    Views views = {.n = 0};
    Plan plan;
    Output output;
    const uint8_t *numbers;
    const double *vectors;
    const int64_t *offsets;
    int64_t n, n_coordinates, n_offsets;
    const InstructionSet *set = find_set(name);
    if (!set || view_plan(&views, o, &plan) || !(numbers = view(&views, o[3], 1, 0, &n)) ||
        !(vectors = view(&views, o[4], 8, 0, &n_coordinates)) ||
        !(offsets = view(&views, o[5], 8, 0, &n_offsets)) ||
        refuse(n_coordinates != 3 * n, "vectors do not match the atomic numbers") ||
        refuse(!rising(offsets, n_offsets, n), "offsets do not rise to the last neighbour") ||
        view_output(&views, o + 6, n_offsets - 1, plan.ints[N_FEATURES], &output)) {
        let_go(&views);
        return NULL;
    }
    int64_t result;
    Py_BEGIN_ALLOW_THREADS
    result = run_given(&plan, set, numbers, vectors, offsets, n_offsets - 1, output);
    Py_END_ALLOW_THREADS
    let_go(&views);
    if (result == NO_MEMORY) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* (vectors, numbers), or the first site with too many neighbours */
static PyObject *answer(int64_t result, const Found *found) {
    if (result == NO_MEMORY) return PyErr_NoMemory();
    if (result != ALL_DONE) return PyLong_FromLongLong(result);
    const char *vectors = (const char *)found->vectors, *numbers = (const char *)found->numbers;
    return Py_BuildValue("NN",
                         PyByteArray_FromStringAndSize(vectors, found->n * 3 * (int64_t)sizeof(double)),
                         PyByteArray_FromStringAndSize(numbers, found->n));
}

static PyObject *py_neighbours(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *o[8];
    SiteList sites = {0};
    double cutoff;
    const char *name;
    if (!PyArg_ParseTuple(args, "dOOOOOOOOLs", &cutoff, o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6,
                          o + 7, &sites.most, &name))
        return NULL;
    Views views = {.n = 0};
    Structures all = {0};
    Found found = {0};
    int64_t n_ends;
    const InstructionSet *set = find_set(name);
    if (!set || view_sites(&views, o, &all, &sites) ||
        !(found.ends = view(&views, o[7], 8, 1, &n_ends)) ||
        refuse(n_ends != sites.n, "arrays of different lengths") ||
        refuse(!(cutoff > 0.0 && cutoff < 1e6), "no such cutoff")) {
        let_go(&views);
        return NULL;
    }
    int64_t result;
    Py_BEGIN_ALLOW_THREADS
    result = run_search(cutoff, set, &all, &sites, &found);
    Py_END_ALLOW_THREADS
    let_go(&views);
    PyObject *reply = answer(result, &found);
    free(found.vectors), free(found.numbers);
    return reply;
}

static PyMethodDef methods[] = {
    {"instruction_sets", py_instruction_sets, METH_NOARGS,
     "What this processor can run, fastest first, and how many doubles each has in a vector."},
    {"featurise", py_featurise, METH_VARARGS,
     "Fill values and closest for sites of a batch; -1, or the first site with too many neighbours."},
    {"from_neighbours", py_from_neighbours, METH_VARARGS,
     "Fill values and closest for given neighbours."},
    {"neighbours", py_neighbours, METH_VARARGS,
     "Vectors and numbers of the neighbours of sites; fills where those of each site end."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "xas._wacsf",
    .m_doc = "wACSF features in C; called by xas.wacsf_kernel.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__wacsf(void);
PyMODINIT_FUNC PyInit__wacsf(void) { return PyModuleDef_Init(&definition); }

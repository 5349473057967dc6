/* The Python module xas._wacsf: checks the arrays it is given, releases the interpreter's lock and
 * calls the kernel. Built for the stable ABI of Python 3.11. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "_wacsf.h"

static SiteFunction find_set(const char *name) {
    for (const InstructionSet *set = instruction_sets(); set->name; set++)
        if (!strcmp(set->name, name)) return set->site;
    PyErr_Format(PyExc_ValueError, "this processor cannot run '%s'", name);
    return NULL;
}

static PyObject *py_instruction_sets(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    if (!names) return NULL;
    for (const InstructionSet *set = instruction_sets(); set->name; set++) {
        PyObject *name = PyUnicode_FromString(set->name);
        int failed = !name || PyList_Append(names, name);
        Py_XDECREF(name);
        if (failed) {
            Py_DECREF(names);
            return NULL;
        }
    }
    return names;
}

#define MAX_VIEWS 12

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
    if ((size_t)b->itemsize != item) {
        PyErr_SetString(PyExc_TypeError, "an array has items of another size than expected");
        return NULL;
    }
    *n = b->len / (int64_t)item;
    return b->buf;
}

static int refuse(int wrong, const char *words) {
    if (wrong) PyErr_SetString(PyExc_ValueError, words);
    return wrong;
}

static int view_plan(Views *views, PyObject *ints, PyObject *floats, PyObject *tables, Plan *plan) {
    int64_t n_ints, n;
    plan->ints = view(views, ints, 8, 0, &n_ints);
    if (!plan->ints || !(plan->floats = view(views, floats, 8, 0, &n)) ||
        !(plan->tables = view(views, tables, 2, 0, &n)))
        return -1;
    if (refuse(n_ints < 4 || n_ints != 4 + plan->ints[3] * BLOCK_INTS, "not a plan")) return -1;
    plan->cutoff = plan->floats[0];
    return 0;
}

static int rising(const int64_t *offsets, int64_t n, int64_t end) {
    if (n < 1 || offsets[0] != 0 || offsets[n - 1] != end) return 0;
    for (int64_t i = 1; i < n; i++)
        if (offsets[i] < offsets[i - 1]) return 0;
    return 1;
}

static int sites_exist(const int64_t *offsets, int64_t n_structures, const int64_t *structure,
                       const int64_t *atom, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (structure[i] < 0 || structure[i] >= n_structures || atom[i] < 0 ||
            atom[i] >= offsets[structure[i] + 1] - offsets[structure[i]])
            return 0;
    return 1;
}

static PyObject *py_featurise(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *o[12];
    Py_ssize_t most;
    const char *set;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOOOns", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6, o + 7,
                          o + 8, o + 9, o + 10, o + 11, &most, &set))
        return NULL;
    Views views = {.n = 0};
    Plan plan;
    Structure whole = {NULL, NULL, 0, NULL, NULL};
    const int64_t *offsets, *structure, *atom;
    double *values, *closest;
    int64_t n_coordinates, n_offsets, n_sites, n_atom, n_values, n_closest, n_cell = 0, n_dual = 0;
    SiteFunction site = find_set(set);
    if (!site || view_plan(&views, o[0], o[1], o[2], &plan) ||
        !(whole.numbers = view(&views, o[3], 1, 0, &whole.n)) ||
        !(whole.positions = view(&views, o[4], 4, 0, &n_coordinates)) ||
        !(offsets = view(&views, o[5], 8, 0, &n_offsets)) ||
        (o[6] != Py_None && (!(whole.cell = view(&views, o[6], 8, 0, &n_cell)) ||
                             !(whole.duals = view(&views, o[7], 8, 0, &n_dual)))) ||
        !(structure = view(&views, o[8], 8, 0, &n_sites)) ||
        !(atom = view(&views, o[9], 8, 0, &n_atom)) ||
        !(values = view(&views, o[10], 8, 1, &n_values)) ||
        !(closest = view(&views, o[11], 8, 1, &n_closest)) ||
        refuse(n_coordinates != 3 * whole.n, "positions do not match the atomic numbers") ||
        refuse(!rising(offsets, n_offsets, whole.n), "offsets do not rise to the last atom") ||
        refuse(whole.cell && (n_cell != 9 * (n_offsets - 1) || n_dual != n_cell), "cells missing") ||
        refuse(n_atom != n_sites || n_closest != n_sites || n_values != n_sites * plan.ints[0],
               "arrays of different lengths") ||
        refuse(!sites_exist(offsets, n_offsets - 1, structure, atom, n_sites), "no such site")) {
        let_go(&views);
        return NULL;
    }
    int64_t result;
    Py_BEGIN_ALLOW_THREADS
    result = run_sites(&plan, site, &whole, offsets, structure, atom, n_sites, most, values, closest);
    Py_END_ALLOW_THREADS
    let_go(&views);
    return result == -2 ? PyErr_NoMemory() : PyLong_FromLongLong(result);
}

static PyObject *py_from_neighbours(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *o[8];
    const char *set;
    if (!PyArg_ParseTuple(args, "OOOOOOOOs", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6, o + 7,
                          &set))
        return NULL;
    Views views = {.n = 0};
    Plan plan;
    const uint8_t *numbers;
    const double *vectors;
    const int64_t *offsets;
    double *values, *closest;
    int64_t n, n_coordinates, n_offsets, n_values, n_closest;
    SiteFunction site = find_set(set);
    if (!site || view_plan(&views, o[0], o[1], o[2], &plan) ||
        !(numbers = view(&views, o[3], 1, 0, &n)) ||
        !(vectors = view(&views, o[4], 8, 0, &n_coordinates)) ||
        !(offsets = view(&views, o[5], 8, 0, &n_offsets)) ||
        !(values = view(&views, o[6], 8, 1, &n_values)) ||
        !(closest = view(&views, o[7], 8, 1, &n_closest)) ||
        refuse(n_coordinates != 3 * n, "vectors do not match the atomic numbers") ||
        refuse(!rising(offsets, n_offsets, n), "offsets do not rise to the last neighbour") ||
        refuse(n_closest != n_offsets - 1 || n_values != n_closest * plan.ints[0],
               "arrays of different lengths")) {
        let_go(&views);
        return NULL;
    }
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = run_given(&plan, site, numbers, vectors, offsets, n_offsets - 1, values, closest);
    Py_END_ALLOW_THREADS
    let_go(&views);
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"instruction_sets", py_instruction_sets, METH_NOARGS,
     "What this processor can run, fastest first."},
    {"featurise", py_featurise, METH_VARARGS,
     "Fill values and closest for sites of a batch; -1, or the first site with too many neighbours."},
    {"from_neighbours", py_from_neighbours, METH_VARARGS,
     "Fill values and closest for given neighbours."},
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

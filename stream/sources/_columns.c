/* The Python module stream.sources._columns: rows of text to numbers and labels. Built for the
 * stable ABI of Python 3.11; stream/sources/columns.py says the same in Python.
 *
 * A number is read exactly as Python's float() reads it: up to 19 digits and small exponents in
 * integers here, correctly rounded; everything else (longer, nan, inf) by Python's own function.
 * Where a row is not what was asked for, reading stops: the caller finds out what is wrong. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MAX_DIGITS = 19, MAX_TOKEN = 400, MAX_LABEL = 8 };

static const uint64_t TENS[MAX_DIGITS + 1] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL,
    1000000000ULL, 10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL,
    100000000000000ULL, 1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL,
    1000000000000000000ULL, 10000000000000000000ULL};

/* Only what both bytes.split() and str.split() part words at, and what no word of ours holds. */
static inline int is_blank(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n'); }
static inline int is_word(unsigned char c) { return c > ' ' && c < 127; }
static inline unsigned digit(unsigned char c) { return (unsigned)c - '0'; }

/* digits * 10^exponent, correctly rounded; -1 where that takes more than these few lines. */
static int scaled(uint64_t digits, int exponent, double *value) {
    if (digits <= 1ULL << 53 && exponent >= -MAX_DIGITS && exponent <= MAX_DIGITS) {
        /* Both are exact doubles up to 10^22, so one operation rounds once (Clinger 1990). */
        double power = (double)TENS[exponent < 0 ? -exponent : exponent];
        *value = exponent < 0 ? (double)digits / power : (double)digits * power;
        return 0;
    }
#ifdef __SIZEOF_INT128__
    if (exponent <= 0 && exponent >= -MAX_DIGITS) {
        /* A quotient of 63 or 64 bits; what remains is folded into its last bit, far below the 53
         * that stay, so that the conversion rounds as the true quotient would. */
        int up = __builtin_clzll(digits), power_up = __builtin_clzll(TENS[-exponent]);
        uint64_t power = TENS[-exponent] << power_up;
        unsigned __int128 dividend = (unsigned __int128)(digits << up) << 63;
        uint64_t quotient = (uint64_t)(dividend / power);
        quotient |= (unsigned __int128)quotient * power != dividend;
        *value = ldexp((double)quotient, power_up - up - 63);
        return 0;
    }
#endif
    return -1;
}

/* Whatever Python's float() takes, underscores aside. */
static int unusual(const char *token, size_t length, double *value) {
    char copy[MAX_TOKEN + 1];
    if (length > MAX_TOKEN) return -1;
    memcpy(copy, token, length);
    copy[length] = 0;
    PyGILState_STATE state = PyGILState_Ensure();
    *value = PyOS_string_to_double(copy, NULL, NULL);
    int failed = PyErr_Occurred() != NULL;
    PyErr_Clear();
    PyGILState_Release(state);
    return failed ? -1 : 0;
}

/* Read the word between these two as a number; -1 where it is none. */
static int number(const char *at, const char *end, double *value) {
    const char *start = at;
    int negative = *at == '-', exponent = 0, n_digits = 0;
    uint64_t digits = 0;
    if (negative || *at == '+') at++;
    const char *first = at;
    for (; at < end && digit(*at) < 10; at++) digits = 10 * digits + digit(*at);
    n_digits = (int)(at - first);
    if (at < end && *at == '.') {
        const char *point = ++at;
        for (; at < end && digit(*at) < 10; at++) digits = 10 * digits + digit(*at);
        exponent = (int)(point - at);
        n_digits += (int)(at - point);
    }
    if (n_digits < 1 || end - first > MAX_TOKEN) return unusual(start, (size_t)(end - start), value);
    if (at < end && (*at == 'e' || *at == 'E')) {
        int below = ++at < end && *at == '-', power = 0;
        if (below || (at < end && *at == '+')) at++;
        if (at == end || end - at > 3) return unusual(start, (size_t)(end - start), value);
        for (; at < end && digit(*at) < 10; at++) power = 10 * power + (int)digit(*at);
        exponent += below ? -power : power;
    }
    if (at < end || n_digits > MAX_DIGITS || scaled(digits, exponent, value))
        return unusual(start, (size_t)(end - start), value);
    if (negative) *value = -*value;
    return 0;
}

/* Pack a word of at most eight letters, the first one lowest; -1 where it is longer. */
static int label(const char *at, const char *end, uint64_t *value) {
    if (end - at > MAX_LABEL) return -1;
    uint64_t packed = 0;
    for (int shift = 0; at < end; at++, shift += 8) packed |= (uint64_t)(unsigned char)*at << shift;
    *value = packed;
    return 0;
}

typedef struct {
    const char *columns;
    Py_ssize_t n_columns, n_numbers, n_labels; /* of them */
    double *numbers;
    uint64_t *labels;
} Plan;

/* Read one row, and return where the next one begins; NULL where it is not as planned. */
static const char *row(const char *at, const char *end, Plan *plan) {
    for (Py_ssize_t i = 0; i < plan->n_columns; i++) {
        while (at < end && is_blank(*at)) at++;
        const char *word = at;
        while (at < end && is_word(*at)) at++;
        if (at == word || (at < end && *at != '\n' && !is_blank(*at))) return NULL;
        if (plan->columns[i] == 'f' && number(word, at, plan->numbers++)) return NULL;
        if (plan->columns[i] == 's' && label(word, at, plan->labels++)) return NULL;
    }
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    return line_end ? line_end + 1 : end;
}

static Py_ssize_t rows(const char *at, const char *end, Py_ssize_t n_rows, Plan plan) {
    for (Py_ssize_t i = 0; i < n_rows; i++) {
        at = row(at, end, &plan);
        if (!at) return i;
    }
    return n_rows;
}

static PyObject *py_read_rows(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer text, numbers, labels;
    Py_ssize_t n_rows, n_read = -1;
    Plan plan = {0};
    if (!PyArg_ParseTuple(args, "y*ny#w*w*:read_rows", &text, &n_rows, &plan.columns,
                          &plan.n_columns, &numbers, &labels))
        return NULL;
    for (Py_ssize_t i = 0; i < plan.n_columns; i++) {
        plan.n_numbers += plan.columns[i] == 'f';
        plan.n_labels += plan.columns[i] == 's';
    }
    plan.numbers = numbers.buf;
    plan.labels = labels.buf;
    if (n_rows < 0 || (plan.n_numbers && numbers.len / 8 / plan.n_numbers < n_rows) ||
        (plan.n_labels && labels.len / 8 / plan.n_labels < n_rows)) {
        PyErr_SetString(PyExc_ValueError, "arrays too small for these rows");
    } else {
        const char *start = text.buf;
        Py_BEGIN_ALLOW_THREADS
        n_read = rows(start, start + text.len, n_rows, plan);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&text);
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&labels);
    return n_read < 0 ? NULL : PyLong_FromSsize_t(n_read);
}

static PyObject *py_behind_lines(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer text;
    Py_ssize_t at, n_lines;
    if (!PyArg_ParseTuple(args, "y*nn:behind_lines", &text, &at, &n_lines)) return NULL;
    const char *start = text.buf;
    for (; at >= 0 && n_lines > 0; n_lines--) {
        const char *found =
            at < text.len ? memchr(start + at, '\n', (size_t)(text.len - at)) : NULL;
        at = found ? found - start + 1 : -1;
    }
    PyBuffer_Release(&text);
    return PyLong_FromSsize_t(at);
}

static PyMethodDef methods[] = {
    {"read_rows", py_read_rows, METH_VARARGS, "Fill numbers and labels; how many rows were good."},
    {"behind_lines", py_behind_lines, METH_VARARGS, "Where the line after the next n begins, or -1."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "stream.sources._columns",
    .m_doc = "Columns of text in C; called by stream.sources.columns.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__columns(void);
PyMODINIT_FUNC PyInit__columns(void) { return PyModuleDef_Init(&definition); }
